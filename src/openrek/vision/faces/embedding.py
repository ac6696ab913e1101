"""What makes a face that person's: a vector per face; the cosine of two vectors says how alike the faces are.

A face is cut out upright, its five landmarks brought to the places where the network expects them, and once more by
the corners of the eyes and the base of the nose, which the network of `attributes` places; crops are read as they are
or mirrored, and all readings are added. The card's table `preprocess` says how:

    size = 150                  # side of the crop in pixels
    points = [[47.7, 47.0], …]  # places of `LANDMARKS` in the crop, or what is closest by rotation, scale and shift
    corners = [[19.7, 47.1], …] # places of `CORNERS` in a second crop; no second crop where they are left out
    flip = "second"             # read the second crop mirrored; true: read every crop both ways; false: as they are
    centre = [0.01, …]          # a share of the mean vector of many people; none where it is left out

A vector is brought to length 1, `centre` is taken from it, and it is brought to length 1 again: what all faces have in
common tells nobody apart. `similarity` in the card is the scale on which cosines are compared.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces import align
from openrek.vision.faces.attributes import LANDMARKS_30, landmarks_30
from openrek.vision.faces.result import LANDMARKS, Faces
from openrek.vision.image import Picture
from openrek.vision.runtime import Model, Runtime
from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.errors import CardError

Floats = NDArray[np.float32]

FACE_MODEL: Final = "face-embedding"
"""The card of the model that faces are compared with."""

CORNERS: Final = ("leftEyeLeft", "leftEyeRight", "rightEyeLeft", "rightEyeRight", "nose base")
"""What a second crop is aligned by, left and right the viewer's; the base is midway between the nostrils."""

_EYES: Final = [LANDMARKS_30.index(name) for name in CORNERS[:4]]
_NOSTRILS: Final = [LANDMARKS_30.index(name) for name in ("noseLeft", "noseRight")]
_BATCH: Final = 32  # crops a run: bounds the memory of a picture with a hundred faces


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a model reads a face: the crop's side in pixels, the places of the landmarks in it (5, 2), what is mirrored,
    what is taken from a vector (D,), (0,) for nothing, and the places of `CORNERS` in a second crop (5, 2), None for no
    second one."""

    size: int
    points: Floats
    flip: bool | Literal["second"]
    centre: Floats
    corners: Floats | None = None

    @classmethod
    def of(cls, card: Card) -> "Reading":
        """What a card asks for; raises CardError where its table `preprocess` does not say it."""
        table: Mapping[str, Any] = card.preprocess
        try:
            size, flip = int(table["size"]), table.get("flip", False)
            points = np.array(table["points"], np.float32)
            centre = np.array(table.get("centre", ()), np.float32)
            corners = np.array(table["corners"], np.float32) if "corners" in table else None
        except (KeyError, TypeError, ValueError) as error:
            raise CardError(f"The card {card.name!r} does not say how a face is read: {error}.") from error
        for places in (points,) if corners is None else (points, corners):
            if size < 1 or places.shape != (len(LANDMARKS), 2) or not np.isfinite(places).all():
                raise CardError(f"The card {card.name!r} needs a size and {len(LANDMARKS)} points under [preprocess].")
        if not isinstance(flip, bool) and (flip != "second" or corners is None):
            raise CardError(f'The card {card.name!r} needs flip = true, false or, with corners, "second".')
        return cls(size, points, flip, centre, corners)


def embed_faces(
    picture: Picture, faces: Faces, runtime: Runtime, *, model: str = FACE_MODEL, thirty: Floats | None = None
) -> Floats:
    """One vector a face, (N, D), each of length 1 (D = 128 with the default model), in the faces' order.

    thirty: the faces' LANDMARKS_30 (N, 30, 2) in pixels, where `face_attributes` has read them.
    Raises ModelUnavailableError where a model's file cannot be had, CardError where its card does not say how a face is
    read.
    """
    loaded = runtime.model(model)
    reading = Reading.of(loaded.card)
    return embed_crops(loaded, cut_out(picture.pixels, faces.landmarks, reading, runtime, thirty), reading)


def embed_crops(loaded: Model, crops: NDArray[np.uint8], reading: Reading) -> Floats:
    """Vectors (N, D) of length 1 of crops (N, K, S, S, 3) that are cut out as the model reads faces."""
    ways = [crops[:, way] for way in range(crops.shape[1])]
    if reading.flip is True:
        ways += [shown[:, :, ::-1] for shown in ways]
    elif reading.flip == "second":
        ways[1] = ways[1][:, :, ::-1]
    raw = raw_embeddings(loaded, np.concatenate(ways))
    return finished(raw.reshape(len(ways), len(crops), raw.shape[1]).sum(axis=0), reading.centre)


def cut_out(
    pixels: NDArray[np.uint8], landmarks: Floats, reading: Reading, runtime: Runtime, thirty: Floats | None = None
) -> NDArray[np.uint8]:
    """The crops (N, K, size, size, 3) of faces with `landmarks` (N, 5, 2): by these and, where K is 2, by the corners;
    black where they reach beyond the picture. Raises ModelUnavailableError as `embed_faces` does."""
    matrices = [align.similarity(landmarks, reading.points)]
    if reading.corners is not None:
        if thirty is None:
            thirty = landmarks_30(pixels, landmarks, runtime)
        found = np.concatenate([thirty[:, _EYES], thirty[:, _NOSTRILS].mean(axis=1, keepdims=True)], axis=1)
        matrices.append(align.similarity(found, reading.corners))
    crops = np.zeros((len(landmarks), len(matrices), reading.size, reading.size, 3), np.uint8)
    for way, of_all in enumerate(matrices):
        for number, matrix in enumerate(of_all):
            crops[number, way] = align.cut(pixels, matrix, reading.size)
    return crops


def finished(raw: Floats, centre: Floats) -> Floats:
    """Vectors (N, D) of length 1 out of raw embeddings (N, D); `centre` is (D,), or (0,) to leave the mean in."""
    vectors = normalised(raw)
    return normalised(vectors - centre) if len(centre) else vectors


def normalised(vectors: Floats) -> Floats:
    """Rows (N, D) brought to length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def face_model_version(card: Card) -> str:
    """The FaceModelVersion that answers report: digits and dots, another one for every version of the model.

    It is the card's `version` where that is digits and dots; of another version its digits stay, followed by a number
    made of the file's SHA-256.
    """
    if re.fullmatch(r"[0-9]+(\.[0-9]+)*", card.version):
        return card.version
    digits = re.findall(r"[0-9]+", card.version)
    return ".".join([*digits[:2], str(int(card.sha256[:6], 16))])


def raw_embeddings(model: Model, crops: NDArray[np.uint8]) -> Floats:
    """Raw embeddings (N, D) of crops (N, S, S, 3), RGB."""
    name, batch = model.input_names[0], _batch(model.card.inputs[0].shape if model.card.inputs else ())
    width = model.card.outputs[0].shape[-1] if model.card.outputs else 0
    parts: list[Floats] = [np.zeros((0, width if isinstance(width, int) else 0), np.float32)]
    for start in range(0, len(crops), batch):
        planes = np.ascontiguousarray(crops[start : start + batch].transpose(0, 3, 1, 2), np.float32)
        parts.append(model.run({name: planes}, model.output_names[:1])[0])
    return np.concatenate(parts if len(parts) == 1 else parts[1:])


def _batch(shape: Sequence[int | str]) -> int:
    """How many crops a run takes: what a fixed first size says, else `_BATCH`."""
    return shape[0] if shape and isinstance(shape[0], int) else _BATCH
