"""Brightness and sharpness of a region of a picture, 0..100."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SIDE = 64  # regions are compared at this size: faces of 40 and of 400 pixels blurred alike then score alike
_FURTHER = 1.5  # pixels, standard deviation of the further blur
_EDGES = 0.9  # share of the steps that are too small for edges
_FAINTEST = 0.05  # grey levels a pixel: smaller steps come of rounding
_BLURRED, _SHARP = 1.08, 2.0  # gradient ratio of a face blurred by 6 % of its height, and of a very sharp one
_DIRECTIONS: Final = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns


def brightness(pixels: NDArray[np.uint8]) -> float:
    """Mean luma (ITU-R BT.601) of (H, W, 3) RGB as a share of white: 0 is black, 100 white; 0 for an empty region."""
    if pixels.size == 0:
        return 0.0
    luma = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return float(luma.mean() / 255 * 100)


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """How much detail (H, W, 3) RGB holds for its size: 0 for none, 100 for all that its canonical size can show.

    How much flatter a further blur makes the edges (the gradient ratio of Zhuo and Sim, "Defocus map estimation from a
    single image", 2011): sharp ones lose much, blurred ones little. The worst of four directions counts, as a moving
    camera blurs along its way alone. Edges are looked for in the blurred copy, so noise, compression and rounding are
    no detail; a ratio does not depend on brightness or contrast. Regions are brought to one size first; enlarging adds
    no detail, so small regions score as the little detail they have.
    """
    if min(pixels.shape[:2]) < 2:
        return 0.0
    height, width = pixels.shape[:2]
    factor = _SIDE / max(height, width)
    size = max(8, round(width * factor)), max(8, round(height * factor))
    # resized in floats: the few levels of a dark region must not be rounded again
    luma = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)
    resized = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    grey = np.asarray(resized, np.float32)
    blurred = np.asarray(cv2.GaussianBlur(grey, (0, 0), _FURTHER), np.float32)
    worst = min(_gradient_ratio(grey, blurred, direction) for direction in _DIRECTIONS)
    return float(np.clip((worst - _BLURRED) / (_SHARP - _BLURRED), 0, 1) * 100)


def _gradient_ratio(luma: Floats, blurred: Floats, direction: tuple[int, int]) -> float:
    """How many times steeper than in the blurred copy its edges along one direction are; 0 where it has none."""
    down, right = direction
    step = np.zeros((3, 3), np.float32)
    step[1, 1], step[1 + down, 1 + right] = -1, 1
    line = np.zeros((3, 3), np.uint8)
    line[1, 1] = line[1 + down, 1 + right] = line[1 - down, 1 - right] = 1
    before = cv2.filter2D(luma, -1, step, borderType=cv2.BORDER_REPLICATE)
    after = cv2.filter2D(blurred, -1, step, borderType=cv2.BORDER_REPLICATE)
    size, rank = np.abs(after), int(_EDGES * after.size)
    least = max(float(np.partition(size, rank, axis=None)[rank]), _FAINTEST)
    edge = (size >= least) & (size >= cv2.dilate(size, line))  # the peak of each, where it is steepest
    before, after = before[edge], after[edge]
    return float(before @ after / (after @ after)) if after.size else 0.0
