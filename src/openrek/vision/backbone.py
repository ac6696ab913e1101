"""The backbone: one pass of an ImageNet network over the picture, for everything that reads its features.

The picture keeps its shape (up to 2:1), and parts of it are named from the same pass: a region's embedding is the mean
of the last feature map over the region, so ten regions cost no more than one. On photos with several things this finds
as much as separate passes over crops, at a third of their time (see training/tagger/README.md).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime

MODEL: Final = "tagger"
SHORT_SIDE: Final = 256
LONGEST_SIDE: Final = 2 * SHORT_SIDE
STRIDE: Final = 32

_PART: Final = 0.6
"""Side of the small regions, as a share of the picture's short side."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the backbone sees. Region 0 is the whole picture.

    logits: (R, 1000), of the ImageNet classes, for each region.
    embeddings: (R, 1280), pooled features of each region; the logits are linear in them.
    """

    logits: Floats
    embeddings: Floats


def features(picture: Picture, runtime: Runtime) -> Features:
    """Run the backbone once over the picture. Raises ModelError where the model cannot be had or run."""
    pixels = fit(picture.pixels)
    rows, columns = (-(-side // STRIDE) for side in pixels.shape[:2])
    feeds: dict[str, NDArray[Any]] = {"pixels": pixels[None], "regions": regions(rows, columns)[None]}
    logits, embeddings = runtime.model(MODEL).run(feeds, ("logits", "embedding"))
    return Features(logits[0], embeddings[0])


def fit(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring (H, W, 3) to a short side of SHORT_SIDE; beyond 2:1 the long side is squeezed."""
    height, width = pixels.shape[:2]
    long_side = min(SHORT_SIDE * max(height, width) / min(height, width), LONGEST_SIDE)
    # whole cells, so that no region holds padding
    long_side = round(long_side / STRIDE) * STRIDE
    size = (long_side, SHORT_SIDE) if width >= height else (SHORT_SIDE, long_side)
    shrinks = size[0] <= width and size[1] <= height
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8)


@lru_cache(maxsize=64)
def regions(rows: int, columns: int) -> Floats:
    """(R, rows * columns) weights, each row summing to 1: the parts of a picture that are named by themselves.

    The whole; three squares along the long side of a picture that is not square; six smaller squares in the corners
    and the middle of the borders, and one in the centre.
    """
    short, long_side = min(rows, columns), max(rows, columns)
    part = int(np.ceil(short * _PART))
    boxes = {(0, 0, rows, columns): None}  # top, left, bottom, right; a dict drops doubles and keeps the order
    if long_side > short:
        for start in (0, (long_side - short) // 2, long_side - short):
            boxes[(0, start, short, start + short) if columns > rows else (start, 0, start + short, short)] = None
    for top in (0, rows - part):
        for left in (0, (columns - part) // 2, columns - part):
            boxes[(top, left, top + part, left + part)] = None
    top, left = (rows - part) // 2, (columns - part) // 2
    boxes[(top, left, top + part, left + part)] = None
    weights = np.zeros((len(boxes), rows, columns), np.float32)
    for weight, (top, left, bottom, right) in zip(weights, boxes, strict=True):
        weight[top:bottom, left:right] = 1 / ((bottom - top) * (right - left))
    weights.setflags(write=False)
    return weights.reshape(len(boxes), rows * columns)
