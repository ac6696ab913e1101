"""Five points of the one face that a training picture shows, by the product's own detector.

So training crops and the service's crops are cut alike.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces import centerface
from openrek.vision.runtime import Model

CANVAS = 160
"""Side of the square picture that the detector gets."""
FACE = 96
"""Side of the face in it."""
_REACH = 0.2  # the face's middle lies at most this far from the canvas's, in parts of its side
_BATCH = 32


@dataclass(frozen=True)
class Found:
    """`points` (N, 5, 2) in pixels of each picture, in the order of `LANDMARKS`, and `score` (N,) 0..1."""

    points: NDArray[np.float32]
    score: NDArray[np.float32]


def find(detector: Model, pictures: list[NDArray[np.uint8]], boxes: NDArray[np.float32]) -> Found:
    """The face of each picture; `boxes` (N, 4) xyxy is about where it lies."""
    points, scores = [], []
    for start in range(0, len(pictures), _BATCH):
        part = slice(start, start + _BATCH)
        placed = [_place(*pair) for pair in zip(pictures[part], boxes[part], strict=True)]
        maps = centerface.run(detector, np.stack([canvas for canvas, _ in placed]))
        faces = centerface.strongest(maps, _REACH)
        scales = np.array([matrix[0, 0] for _, matrix in placed])
        shifts = np.stack([matrix[:, 2] for _, matrix in placed])
        points.append((faces.landmarks - shifts[:, None]) / scales[:, None, None])
        scores.append(faces.scores)
    return Found(np.concatenate(points).astype(np.float32), np.concatenate(scores))


def _place(pixels: NDArray[np.uint8], box: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture on a canvas with the box in its middle, and the matrix that puts it there."""
    scale = FACE / float(max(box[2] - box[0], box[3] - box[1]))
    middle = (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, CANVAS / 2 - scale * middle[0]], [0, scale, CANVAS / 2 - scale * middle[1]]])
    how = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
    canvas = cv2.warpAffine(pixels, matrix, (CANVAS, CANVAS), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(canvas, np.uint8), matrix
