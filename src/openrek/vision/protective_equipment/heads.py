"""Heads: where each person's head is, and what one small network says of it.

A head is taken from the best hint there is: the person's face; a hard hat, bare head or mask that the detector found
in the upper part of the person; or, for a person seen from behind whom no hint gives away, the top of the person's box
at three sizes, of which the network chooses. The network sees every head at one size, cut from the picture's own
pixels, so it reads hats and masks that are too small in the detector's view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from openrek.vision import geometry
from openrek.vision.runtime import Model

Floats = NDArray[np.float32]

MODEL: Final = "ppe-heads"
SIDE: Final = 96
AROUND: Final = 1.8
"""Side of a crop, in longer sides of the head."""
DETAIL: Final = 40
"""Crops are shown no sharper than this many pixels a side. The hard hats it learnt from were small and the bare heads
large: of a sharper picture it takes the sharpness itself for a sign of a bare head."""
_BATCH: Final = 16
_GUESSES: Final = (0.30, 0.42, 0.62)
"""Side of a head's crop in sides of the person's box (of its height where it is narrow), tried for a person without a
hint: standing far away, standing near, cut off at the waist or nearer."""


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """What the network says of N crops, in columns; boxes (N, 4) xyxy in pixels of the picture.

    present, hat, mask: (N,) probability 0..1 of a head, of a hard hat or helmet on it, of a mask on its face.
    covers: (N,) probability that the mask, if there is one, covers nose and mouth.
    """

    boxes: Floats
    hat_boxes: Floats
    mask_boxes: Floats
    present: Floats
    hat: Floats
    mask: Floats
    covers: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: NDArray[np.intp]) -> "Heads":
        return Heads(*(getattr(self, column.name)[index] for column in fields(self)))


def head_of_face(box: ArrayLike) -> tuple[float, float, float, float]:
    """The head, hair or hat to chin, around a face's box, forehead to chin.

    >>> head_of_face([0, 0, 100, 100])
    (-8.0, -38.0, 108.0, 102.0)
    """
    left, top, right, bottom = (float(value) for value in np.asarray(box))
    width, height = right - left, bottom - top
    return left - 0.08 * width, top - 0.38 * height, right + 0.08 * width, bottom + 0.02 * height


def squares(heads: ArrayLike) -> Floats:
    """The crops (N, 4) of heads (N, 4): squares of AROUND longer sides about their middles."""
    boxes = geometry.as_boxes(heads)
    half = AROUND / 2 * np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.hstack([centre - half, centre + half])


def guesses(person: ArrayLike) -> Floats:
    """Crops (G, 4) where the head of a person (4,) may be, from the box alone."""
    left, top, right, bottom = (float(value) for value in np.asarray(person))
    width, height = right - left, bottom - top
    side = min(width * 1.6, height)
    found = []
    for share in _GUESSES:
        half = side * share / 2 * (AROUND / 1.5)
        middle, down = (left + right) / 2, top + half * 0.62
        found.append((middle - half, down - half, middle + half, down + half))
    return geometry.as_boxes(found)


def look(pixels: NDArray[np.uint8], crops: Floats, model: Model) -> Heads:
    """Run the network on square crops (N, 4) of a picture (H, W, 3). Raises ModelRunError."""
    answers: list[Floats] = [np.zeros((0, 4), np.float32)]
    places: list[Floats] = [np.zeros((0, 3, 4), np.float32)]
    for start in range(0, len(crops), _BATCH):
        batch = np.stack([coarse(cut(pixels, crop)) for crop in crops[start : start + _BATCH]])
        said, where = model.run({"crops": batch}, ("answers", "boxes"))
        answers.append(said)
        places.append(where)
    probability, boxes = np.concatenate(answers), np.concatenate(places)
    origin, side = crops[:, None, :2], (crops[:, 2] - crops[:, 0])[:, None, None]
    found = boxes * side + np.concatenate([origin, origin], axis=2)
    height, width = pixels.shape[:2]
    head, hat, mask = (geometry.clip(found[:, part], width, height) for part in range(3))
    present, wears, masked, covers = probability.T
    return Heads(head, hat, mask, present, wears, masked, covers)


def coarse(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop (SIDE, SIDE, 3) with no more than DETAIL pixels a side to be seen."""
    small = cv2.resize(crop, (DETAIL, DETAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def cut(pixels: NDArray[np.uint8], crop: Sequence[float] | Floats) -> NDArray[np.uint8]:
    """A square crop (4,) of a picture (H, W, 3) as the network wants it, (SIDE, SIDE, 3); beyond the picture its border
    goes on."""
    left, top, right, _ = (float(value) for value in crop)
    factor = SIDE / max(right - left, 1.0)
    matrix = np.array([[factor, 0, -left * factor], [0, factor, -top * factor]])
    if factor < 0.6:  # an average first, so that shrinking leaves no jagged edges
        reach = 0.1 * (right - left)
        height, width = pixels.shape[:2]
        x0, y0 = max(0, int(left - reach)), max(0, int(top - reach))
        x1, y1 = min(width, int(right + reach) + 1), min(height, int(top + (right - left) + reach) + 1)
        region = pixels[y0:y1, x0:x1]
        if region.size:
            size = max(1, round(region.shape[1] * factor)), max(1, round(region.shape[0] * factor))
            pixels = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
            ratio = size[0] / region.shape[1], size[1] / region.shape[0]
            matrix = np.array(
                [
                    [factor / ratio[0], 0, (x0 - left) * factor],
                    [0, factor / ratio[1], (y0 - top) * factor],
                ]
            )
    warped = cv2.warpAffine(pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)
