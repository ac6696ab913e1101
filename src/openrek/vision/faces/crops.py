"""Crops of faces to keep: upright, with room around the face, so that another model's own alignment fits into them.

A kept crop is small (a face of 64 pixels between the eyes gives 256 x 256 pixels; smaller faces are kept at their own
size) and holds the five points as they lie in it, so that a model cuts out of it what it would have cut out of the
photo.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces.align import SIZE, TEMPLATE, cut, similarity, transform
from openrek.vision.faces.embedding import FACE_MODEL, Reading, cut_out, embed_crops, raw_embeddings
from openrek.vision.faces.result import Floats
from openrek.vision.image import Picture, UnreadableImageError
from openrek.vision.runtime import Runtime

SIDE: Final = 256
EYES: Final = 64.0
"""Pixels between the eyes in a crop of SIDE, the most that is kept."""

QUALITY: Final = 92
MAGIC: Final = b"face"
_POINTS: Final = np.dtype(("<f4", (5, 2)))


def keep_crops(picture: Picture, landmarks: Floats) -> list[bytes]:
    """A crop to keep for each face with `landmarks` (N, 5, 2) in a picture."""
    return [_packed(picture.pixels, points) for points in landmarks]


def _packed(pixels: NDArray[np.uint8], points: Floats) -> bytes:
    apart = float(np.hypot(*(points[1] - points[0])))
    scale = min(1.0, max(apart, 1.0) / EYES)
    room = EYES / float(TEMPLATE[1, 0] - TEMPLATE[0, 0])  # from the analysis crop to this one
    middle = np.float32((SIZE - 1) / 2)
    side = max(16, round(SIDE * scale))
    target = (TEMPLATE - middle) * np.float32(room * scale) + np.float32((side - 1) / 2)
    matrices = similarity(points[None], target)
    crop = cut(pixels, matrices[0], side)
    flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), flags)
    if not done:
        raise UnreadableImageError("a crop of a face could not be written")
    placed = transform(matrices, points[None])[0]
    return b"".join((MAGIC, placed.astype("<f4").tobytes(), data.tobytes()))


def read_crop(data: bytes) -> tuple[NDArray[np.uint8], Floats]:
    """Pixels (S, S, 3) RGB and points (5, 2) of a kept crop; raises UnreadableImageError."""
    start = len(MAGIC) + _POINTS.itemsize
    found = cv2.imdecode(np.frombuffer(data, np.uint8, offset=start), cv2.IMREAD_COLOR) if len(data) > start else None
    if not data.startswith(MAGIC) or found is None:
        raise UnreadableImageError("this is no kept crop of a face")
    points = np.frombuffer(data, "<f4", 10, offset=len(MAGIC)).reshape(5, 2)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8), points.astype(np.float32)


def embed_kept(crops: Sequence[bytes], runtime: Runtime, *, model: str = FACE_MODEL) -> Floats:
    """One vector of length 1 for each kept crop, (N, D), by a model. Raises as `embed_faces` does, and
    UnreadableImageError."""
    loaded = runtime.model(model)
    reading = Reading.of(loaded.card)
    if not crops:
        return raw_embeddings(loaded, np.zeros((0, reading.size, reading.size, 3), np.uint8))
    parts = [cut_out(pixels, points[None], reading, runtime) for pixels, points in map(read_crop, crops)]
    return embed_crops(loaded, np.concatenate(parts), reading)
