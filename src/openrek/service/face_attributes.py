"""Face attributes of an answer: which can be asked for, and what the networks read as members of FaceDetail."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from openrek.vision.faces import Faces
from openrek.vision.faces.attributes import EMOTIONS, LANDMARKS_30, FaceAttributes, Trait, face_attributes
from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime

MEMBERS: Final[Mapping[str, str]] = {
    "AGE_RANGE": "AgeRange",
    "SMILE": "Smile",
    "EYEGLASSES": "Eyeglasses",
    "SUNGLASSES": "Sunglasses",
    "GENDER": "Gender",
    "BEARD": "Beard",
    "MUSTACHE": "Mustache",
    "EYES_OPEN": "EyesOpen",
    "MOUTH_OPEN": "MouthOpen",
    "EMOTIONS": "Emotions",
    "FACE_OCCLUDED": "FaceOccluded",
    "EYE_DIRECTION": "EyeDirection",
}
"""Attributes that are computed only when asked for, and the member of FaceDetail that each one adds."""

ALL: Final = "ALL"
LANDMARKS: Final = "LANDMARKS"
"""Not an attribute of the API: what ALL adds to the others, the 30 landmarks in place of five."""

TRAITS: Final[Mapping[str, Trait]] = {
    "AGE_RANGE": Trait.AGE,
    "SMILE": Trait.SMILE,
    "EYEGLASSES": Trait.EYEGLASSES,
    "SUNGLASSES": Trait.SUNGLASSES,
    "GENDER": Trait.GENDER,
    "BEARD": Trait.BEARD,
    "MUSTACHE": Trait.MUSTACHE,
    "EYES_OPEN": Trait.EYES_OPEN,
    "MOUTH_OPEN": Trait.MOUTH_OPEN,
    "EMOTIONS": Trait.EMOTIONS,
    "FACE_OCCLUDED": Trait.OCCLUDED,
    "EYE_DIRECTION": Trait.EYE_DIRECTION,
    LANDMARKS: Trait.LANDMARKS,
}


def selected_attributes(names: Sequence[str]) -> tuple[str, ...]:
    """The attributes to compute beside the default members, each once, in the order of MEMBERS; ALL anywhere wins and
    adds LANDMARKS."""
    if ALL in names:
        return (*MEMBERS, LANDMARKS)
    return tuple(name for name in MEMBERS if name in names)


def read_attributes(
    picture: Picture, faces: Faces, runtime: Runtime, attributes: Sequence[str]
) -> list[dict[str, Any]]:
    """The members that `attributes` add, face by face. Raises ModelError."""
    return attribute_members(read_traits(picture, faces, runtime, attributes), picture, faces, attributes)


def read_traits(picture: Picture, faces: Faces, runtime: Runtime, attributes: Sequence[str]) -> FaceAttributes:
    """What `attributes` need, of all faces; the networks run once for all of them. Raises ModelError."""
    if not attributes or not len(faces):
        return FaceAttributes()
    return face_attributes(picture, faces, runtime, {TRAITS[name] for name in attributes})


def attribute_members(
    found: FaceAttributes, picture: Picture, faces: Faces, attributes: Sequence[str]
) -> list[dict[str, Any]]:
    """The members that `attributes` add, face by face, of what `read_traits` found.

    Where that gave all 30 landmarks, Pose is there too: it is surer than the one from five.
    """
    more = [
        {MEMBERS.get(name, "Landmarks"): _VALUES[name](found, index, picture) for name in attributes}
        for index in range(len(faces))
    ]
    if found.pose is not None:
        for members, (roll, yaw, pitch) in zip(more, found.pose.tolist(), strict=True):
            members["Pose"] = {"Roll": roll, "Yaw": yaw, "Pitch": pitch}
    return more


Value = Callable[[FaceAttributes, int, Picture], Any]


def _yes_or_no(column: str) -> Value:
    """A flag whose Confidence refers to the Value stated: a sure "no" is false with a high one."""

    def value(found: FaceAttributes, index: int, _: Picture) -> dict[str, Any]:
        probability = float(getattr(found, column)[index])
        return {"Value": probability >= 0.5, "Confidence": 100 * max(probability, 1 - probability)}

    return value


def _age(found: FaceAttributes, index: int, _: Picture) -> dict[str, int]:
    assert found.age is not None
    return {"Low": int(found.age[index, 0]), "High": int(found.age[index, 1])}


def _gender(found: FaceAttributes, index: int, _: Picture) -> dict[str, Any]:
    assert found.male is not None
    male = float(found.male[index])
    return {"Value": "Male" if male >= 0.5 else "Female", "Confidence": 100 * max(male, 1 - male)}


def _emotions(found: FaceAttributes, index: int, _: Picture) -> list[dict[str, Any]]:
    assert found.emotions is not None
    scores = zip(EMOTIONS, (100 * float(score) for score in found.emotions[index]), strict=True)
    return [{"Type": name.upper(), "Confidence": score} for name, score in sorted(scores, key=lambda each: -each[1])]


def _direction(found: FaceAttributes, index: int, _: Picture) -> dict[str, float]:
    assert found.eye_direction is not None
    yaw, pitch, confidence = (float(value) for value in found.eye_direction[index])
    return {"Yaw": yaw, "Pitch": pitch, "Confidence": 100 * confidence}


def _landmarks(found: FaceAttributes, index: int, picture: Picture) -> list[dict[str, Any]]:
    assert found.landmarks is not None
    return [
        {"Type": name, "X": float(x) / picture.width, "Y": float(y) / picture.height}
        for name, (x, y) in zip(LANDMARKS_30, found.landmarks[index], strict=True)
    ]


_VALUES: Final[Mapping[str, Value]] = {
    "AGE_RANGE": _age,
    "SMILE": _yes_or_no("smile"),
    "EYEGLASSES": _yes_or_no("eyeglasses"),
    "SUNGLASSES": _yes_or_no("sunglasses"),
    "GENDER": _gender,
    "BEARD": _yes_or_no("beard"),
    "MUSTACHE": _yes_or_no("mustache"),
    "EYES_OPEN": _yes_or_no("eyes_open"),
    "MOUTH_OPEN": _yes_or_no("mouth_open"),
    "EMOTIONS": _emotions,
    "FACE_OCCLUDED": _yes_or_no("occluded"),
    "EYE_DIRECTION": _direction,
    LANDMARKS: _landmarks,
}
