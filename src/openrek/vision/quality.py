"""Brightness and sharpness of a region of a picture, 0..100."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 64  # regions are compared at this size: faces of 40 and of 400 pixels blurred alike then score alike
_WINDOW = 5
_BLURRED, _SHARP = 0.10, 0.60  # lost variation of a face blurred by 5 % of its height, and of a very sharp one


def brightness(pixels: NDArray[np.uint8]) -> float:
    """Mean luma (ITU-R BT.601) of (H, W, 3) RGB as a share of white: 0 is black, 100 white; 0 for an empty region."""
    if pixels.size == 0:
        return 0.0
    luma = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return float(luma.mean() / 255 * 100)


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """How much detail (H, W, 3) RGB holds for its size: 0 for none, 100 for all that its canonical size can show.

    The share of the neighbour differences that a further blur takes away (Crete et al., "The blur effect: perception
    and estimation with a new no-reference perceptual blur metric", 2007): a sharp region loses much, a blurred one
    little. The share does not depend on contrast, so dark regions are not counted as blurred. Regions are brought to
    one size first; enlarging adds no detail, so small regions score as the little detail they have.
    """
    if min(pixels.shape[:2]) < 2:
        return 0.0
    height, width = pixels.shape[:2]
    factor = _SIDE / max(height, width)
    size = max(8, round(width * factor)), max(8, round(height * factor))
    luma = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    resized = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    grey = np.asarray(resized, np.float32)
    lost = max(_lost_variation(grey), _lost_variation(np.ascontiguousarray(grey.T)))
    return float(np.clip((lost - _BLURRED) / (_SHARP - _BLURRED), 0, 1) * 100)


def _lost_variation(luma: NDArray[np.float32]) -> float:
    """Share of the differences along the rows that a moving average along the rows removes, 0..1."""
    blurred = cv2.blur(luma, (_WINDOW, 1), borderType=cv2.BORDER_REFLECT)
    before, after = np.abs(np.diff(luma, axis=1)), np.abs(np.diff(blurred, axis=1))
    total = float(before.sum())
    return float(np.maximum(before - after, 0).sum()) / total if total > luma.size * 0.02 else 0.0
