"""What a face looks like: age range, gender, smile, glasses, beard, expression, what hides it, and 30 landmarks.

One network sees each face once, upright and at one size (`align`), and answers everything; on smile, open mouth and
expression a second one is heard too, where one of them is asked for. Their cards say how they were trained and how well
they do for whom.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces import eyes
from openrek.vision.faces.align import align, inverse, transform
from openrek.vision.faces.pose import head_pose
from openrek.vision.faces.result import Faces
from openrek.vision.image import Picture
from openrek.vision.runtime import Model, Runtime

Floats = NDArray[np.float32]

MODEL: Final = "face-attributes"
SECOND: Final = "face-expressions"
_BATCH = 16

EMOTIONS: Final = ("happy", "sad", "angry", "confused", "disgusted", "surprised", "calm", "fear")
"""Columns of `FaceAttributes.emotions`."""

_FELT: Final = {  # the network's classes
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "disgusted": "disgust",
    "surprised": "surprise",
    "calm": "neutral",
    "fear": "fear",
}

LANDMARKS_30: Final = (
    "eyeLeft",
    "eyeRight",
    "mouthLeft",
    "mouthRight",
    "nose",
    "leftEyeBrowLeft",
    "leftEyeBrowRight",
    "leftEyeBrowUp",
    "rightEyeBrowLeft",
    "rightEyeBrowRight",
    "rightEyeBrowUp",
    "leftEyeLeft",
    "leftEyeRight",
    "leftEyeUp",
    "leftEyeDown",
    "rightEyeLeft",
    "rightEyeRight",
    "rightEyeUp",
    "rightEyeDown",
    "noseLeft",
    "noseRight",
    "mouthUp",
    "mouthDown",
    "leftPupil",
    "rightPupil",
    "upperJawlineLeft",
    "midJawlineLeft",
    "chinBottom",
    "midJawlineRight",
    "upperJawlineRight",
)
"""Left and right are the viewer's on an upright face."""

_SEEN: Final = [
    column
    for column, name in enumerate(LANDMARKS_30)
    if name.startswith(("mouth", "nose", "leftEye", "rightEye")) and "Brow" not in name
]
"""Columns of what must be in the picture: the outlines of eyes and mouth, and the nose."""


class Trait(StrEnum):
    """What can be asked for."""

    AGE = "age"
    GENDER = "gender"
    SMILE = "smile"
    EYEGLASSES = "eyeglasses"
    SUNGLASSES = "sunglasses"
    EYES_OPEN = "eyes_open"
    MOUTH_OPEN = "mouth_open"
    BEARD = "beard"
    MUSTACHE = "mustache"
    EMOTIONS = "emotions"
    OCCLUDED = "occluded"
    EYE_DIRECTION = "eye_direction"
    LANDMARKS = "landmarks"


_COLUMNS: Final = {
    Trait.GENDER: "male",
    Trait.SMILE: "smile",
    Trait.EYEGLASSES: "eyeglasses",
    Trait.SUNGLASSES: "sunglasses",
    Trait.MOUTH_OPEN: "mouth_open",
    Trait.BEARD: "beard",
    Trait.MUSTACHE: "mustache",
    Trait.OCCLUDED: "occluded",
}
_PROFILE: Final = (35.0, 50.0)
"""Degrees of yaw from which on the five points are heard, and alone heard."""
_EYES = frozenset({Trait.EYES_OPEN, Trait.EYE_DIRECTION})
_EXPRESSION = frozenset({Trait.SMILE, Trait.MOUTH_OPEN, Trait.EMOTIONS})
"""What a second network is heard on too."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceAttributes:
    """N faces, in columns, in the order of the `Faces` they were read from; what was not asked for is None.

    age: (N, 2) whole years, lower and upper end of the likely range.
    male: (N,) probability that the face looks male rather than female; not gender identity.
    smile, eyeglasses, sunglasses, eyes_open, mouth_open, beard, mustache: (N,) probability 0..1.
    occluded: (N,) probability that eyes, nose or mouth are covered or out of the picture.
    emotions: (N, 8) scores 0..1 of EMOTIONS: what the expression looks like.
    eye_direction: (N, 3) yaw and pitch of the gaze in degrees, (0, 0) into the camera, and a confidence 0..1.
    landmarks: (N, 30, 2) x, y of LANDMARKS_30 in pixels of the picture.
    pose: (N, 3) as `Faces.pose`, but from the 30 landmarks, except for faces turned far to the side; there whenever the
        landmarks were computed for something.
    """

    age: NDArray[np.int32] | None = None
    male: Floats | None = None
    smile: Floats | None = None
    eyeglasses: Floats | None = None
    sunglasses: Floats | None = None
    eyes_open: Floats | None = None
    mouth_open: Floats | None = None
    beard: Floats | None = None
    mustache: Floats | None = None
    occluded: Floats | None = None
    emotions: Floats | None = None
    eye_direction: Floats | None = None
    landmarks: Floats | None = None
    pose: Floats | None = None


def face_attributes(picture: Picture, faces: Faces, runtime: Runtime, wanted: Collection[Trait]) -> FaceAttributes:
    """The traits `wanted` of every face. Raises ModelUnavailableError where a model's file cannot be had."""
    asked = frozenset(wanted)
    outputs = _outputs_for(asked)
    if not outputs:
        return FaceAttributes()
    model = runtime.model(MODEL)
    crops, matrices = align(picture.pixels, faces.landmarks)
    raw = _run(model, {"crops": crops}, outputs)
    if asked & _EXPRESSION:
        said: dict[str, NDArray[Any]] = {"crops": crops, "attributes": raw["attributes"], "emotions": raw["emotions"]}
        joined = _run(runtime.model(SECOND), said, ["joined_attributes", "joined_emotions"])
        raw |= {"attributes": joined["joined_attributes"], "emotions": joined["joined_emotions"]}
    found: dict[str, NDArray[np.float32] | NDArray[np.int32]] = {}
    if "attributes" in raw:
        names = model.metadata["attributes"].split(",")
        for trait in asked & _COLUMNS.keys():
            found[_COLUMNS[trait]] = raw["attributes"][:, names.index(_COLUMNS[trait])]
    if "age" in raw:
        low, high = (float(level) for level in model.metadata["age_levels"].split(","))
        found["age"] = np.stack(age_ranges(raw["age"], (low, high)), axis=1)
    if Trait.EMOTIONS in asked:
        found["emotions"] = eight_emotions(raw["emotions"], model.metadata["emotions"].split(","))
    if "landmarks" in raw:
        places = transform(inverse(matrices), raw["landmarks"])
        found["pose"] = _surer_pose(head_pose(places), faces.pose)
        if Trait.LANDMARKS in asked:
            found["landmarks"] = places
        if Trait.OCCLUDED in asked:
            seen = np.concatenate([faces.landmarks, places[:, _SEEN]], axis=1)
            found["occluded"] = np.maximum(found["occluded"], _out_of_frame(seen, picture))
    if asked & _EYES:
        names = model.metadata["attributes"].split(",")
        dark = raw["attributes"][:, names.index("sunglasses")]
        patches = eyes.patches(picture.pixels, matrices, raw["landmarks"])
        opened = eyes.opened(patches, dark, runtime)
        if Trait.EYES_OPEN in asked:
            found["eyes_open"] = opened
        if Trait.EYE_DIRECTION in asked:
            found["eye_direction"] = eyes.direction(picture.pixels, matrices, raw["landmarks"], opened, dark)
    return FaceAttributes(**found)  # type: ignore[arg-type]  # each is what the field of its name holds


def landmarks_30(pixels: NDArray[np.uint8], five: Floats, runtime: Runtime) -> Floats:
    """LANDMARKS_30 alone, (N, 30, 2) in pixels, of faces in `pixels` (H, W, 3) with the detector's points (N, 5, 2).
    Raises as `face_attributes` does."""
    crops, matrices = align(pixels, five)
    return transform(inverse(matrices), _run(runtime.model(MODEL), {"crops": crops}, ["landmarks"])["landmarks"])


def _outputs_for(asked: frozenset[Trait]) -> list[str]:
    """The network's outputs that answer the question."""
    outputs = []
    if asked & (_COLUMNS.keys() | _EYES | _EXPRESSION):
        outputs.append("attributes")
    if Trait.AGE in asked:
        outputs.append("age")
    if asked & _EXPRESSION:
        outputs.append("emotions")
    if asked & (_EYES | {Trait.LANDMARKS, Trait.OCCLUDED}):
        outputs.append("landmarks")
    return outputs


def _run(model: Model, feeds: Mapping[str, NDArray[Any]], outputs: list[str]) -> dict[str, Floats]:
    """Outputs by name, each with a row a face; `feeds` have one too."""
    count = len(feeds["crops"])
    parts: list[list[Floats]] = [[] for _ in outputs]
    for start in range(0, max(count, 1), _BATCH):
        batch = {name: value[start : start + _BATCH] for name, value in feeds.items()}
        if count == 0:
            batch = {name: np.zeros((1, *value.shape[1:]), value.dtype) for name, value in feeds.items()}
        for kept, value in zip(parts, model.run(batch, outputs), strict=True):
            kept.append(value[: count - start] if count else value[:0])
    return {name: np.concatenate(part) for name, part in zip(outputs, parts, strict=True)}


def _out_of_frame(points: Floats, picture: Picture) -> Floats:
    """1 where one of a face's `points` (N, K, 2) lies outside the picture, else 0: (N,)."""
    size = np.array([picture.width, picture.height], np.float32)
    outside = np.any((points < 0) | (points >= size), axis=(1, 2))
    return np.asarray(outside, np.float32)


def _surer_pose(thirty: Floats, five: Floats) -> Floats:
    """The pose from 30 points, and that from the detector's five for faces in profile, (N, 3): the network that places
    the 30 learnt from faces that show both eyes, and draws others towards those."""
    low, high = _PROFILE
    share = np.clip((np.abs(five[:, 1:2]) - low) / (high - low), 0, 1)
    mixed = thirty + share * ((five - thirty + 180) % 360 - 180)
    return np.asarray((mixed + 180) % 360 - 180, np.float32)


def age_ranges(distribution: Floats, levels: tuple[float, float]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Lower and upper age (N,) between which the share of `levels` of a distribution over whole years (N, A) lies."""
    cumulated = np.cumsum(distribution, axis=1)
    low = (cumulated < levels[0]).sum(axis=1)
    high = (cumulated < levels[1]).sum(axis=1)
    last = distribution.shape[1] - 1
    return np.minimum(low, last).astype(np.int32), np.minimum(high, last).astype(np.int32)


def eight_emotions(probability: Floats, names: list[str]) -> Floats:
    """Scores of EMOTIONS (N, 8) from the probabilities (N, 7) of the network's classes `names`.

    There is no labelled set of confused faces. Being confused is read from the network's own indecision: a quarter of
    the squared relative entropy of the seven, so it stays small on a clear expression and never exceeds 0.25; the
    others share the rest.
    """
    clipped = probability.clip(1e-9, 1)
    entropy = -(clipped * np.log(clipped)).sum(axis=1) / np.log(probability.shape[1])
    confused = 0.25 * entropy**2
    scores = np.empty((len(probability), len(EMOTIONS)), np.float32)
    for column, name in enumerate(EMOTIONS):
        if name == "confused":
            scores[:, column] = confused
        else:
            scores[:, column] = probability[:, names.index(_FELT[name])] * (1 - confused)
    return scores
