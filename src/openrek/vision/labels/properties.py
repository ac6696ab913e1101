"""Image properties: brightness, sharpness, contrast and dominant colours of a picture, its foreground and background.

Everything is measured on reduced copies, so a large picture costs little more than a small one and the same photo at
half its size gives nearly the same figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image import Picture
from openrek.vision.labels.colours import WORKING_SIDE, DominantColour, dominant_colours, nearest_names, to_lab
from openrek.vision.labels.saliency import separate

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

DETAIL_SIDE = 512
"""Longest side in pixels at which sharpness is measured."""

_BLUR_WINDOW = 11
_BLUR_MIDDLE, _BLUR_WIDTH = 0.5, 0.08
_NOTICEABLE_STEP = 0.25


@dataclass(frozen=True, slots=True)
class Quality:
    """Each 0..100: `brightness` from black to white, `sharpness` from blurred to crisp, `contrast` from flat to black
    on white."""

    brightness: float
    sharpness: float
    contrast: float


@dataclass(frozen=True, slots=True)
class RegionProperties:
    """Properties of a part of the picture, or of all of it."""

    quality: Quality
    dominant_colours: list[DominantColour]


@dataclass(frozen=True, slots=True)
class ImageProperties:
    """`foreground` and `background` are both None where the picture has no clear subject."""

    image: RegionProperties
    foreground: RegionProperties | None
    background: RegionProperties | None


def image_properties(picture: Picture, *, max_colours: int = 10) -> ImageProperties:
    """All properties of a picture; at most `max_colours` (0..20) dominant colours in each list."""
    detail = _reduced(picture.pixels, DETAIL_SIDE)
    small = _reduced(detail, WORKING_SIDE)
    lab = to_lab(small)
    names = nearest_names(lab)
    grey = _grey(detail)

    def region(mask: Mask | None) -> RegionProperties:
        lightness = lab[..., 0] if mask is None else lab[..., 0][mask]
        quality = Quality(_brightness(lightness), _sharpness(grey, mask), _contrast(lightness))
        return RegionProperties(quality, dominant_colours(names, mask, limit=max_colours))

    separation = separate(small)
    if separation is None:
        return ImageProperties(region(None), None, None)
    return ImageProperties(region(None), region(separation.mask), region(~separation.mask))


def box_colours(picture: Picture, box: Sequence[float], *, max_colours: int = 10) -> list[DominantColour]:
    """Dominant colours inside one `xyxy` box in pixels of the picture; [] where it lies outside."""
    left, top = (max(0, int(value)) for value in box[:2])
    right, bottom = (max(0, int(np.ceil(value))) for value in box[2:])
    region = picture.pixels[top:bottom, left:right]
    if region.size == 0:
        return []
    return dominant_colours(nearest_names(to_lab(_reduced(region, WORKING_SIDE))), limit=max_colours)


def brightness(pixels: Pixels) -> float:
    """Mean CIELAB lightness of (H, W, 3) RGB pixels: 0 (black) to 100 (white)."""
    return _brightness(to_lab(_reduced(pixels, WORKING_SIDE))[..., 0])


def contrast(pixels: Pixels) -> float:
    """Contrast of (H, W, 3) RGB pixels: 0 (one lightness) to 100 (half black, half white).

    Twice the standard deviation of CIELAB lightness: RMS contrast, after Peli, "Contrast in complex images" (1990).
    """
    return _contrast(to_lab(_reduced(pixels, WORKING_SIDE))[..., 0])


def sharpness(pixels: Pixels) -> float:
    """Sharpness of (H, W, 3) RGB pixels: 0 (blurred, or nothing to see) to 100 (crisp).

    Crété-Roffet, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation with a new no-reference
    perceptual blur metric" (2007): how much of the steps between neighbouring pixels survives a strong blur, the worse
    direction counting. It does not depend on contrast or brightness. Noise counts as detail.
    """
    return _sharpness(_grey(_reduced(pixels, DETAIL_SIDE)), None)


def _reduced(pixels: Pixels, side: int) -> Pixels:
    """Pixels with a longest side of at most `side`."""
    height, width = pixels.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return pixels
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _grey(pixels: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def _brightness(lightness: NDArray[np.float32]) -> float:
    return float(np.clip(lightness.mean(), 0, 100)) if lightness.size else 0.0


def _contrast(lightness: NDArray[np.float32]) -> float:
    return float(min(100.0, 2 * lightness.std())) if lightness.size else 0.0


def _sharpness(grey: NDArray[np.float32], mask: Mask | None) -> float:
    height, width = grey.shape
    weight = np.ones_like(grey)
    if mask is not None:
        resized = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
        weight = np.asarray(resized, np.float32)
    worst, steepest = 0.0, 0.0
    for axis, window in ((0, (1, _BLUR_WINDOW)), (1, (_BLUR_WINDOW, 1))):
        step = np.abs(np.diff(grey, axis=axis))
        blurred_step = np.abs(np.diff(cv2.blur(grey, window), axis=axis))
        inside = weight[1:] if axis == 0 else weight[:, 1:]
        pixels, total = float(inside.sum()), float((step * inside).sum())
        if total > 0:
            worst = max(worst, float((np.minimum(step, blurred_step) * inside).sum()) / total)
            steepest = max(steepest, total / pixels)
    visible = steepest / (steepest + _NOTICEABLE_STEP)  # the noise of an empty picture is not detail
    return 100 * visible / (1 + float(np.exp((worst - _BLUR_MIDDLE) / _BLUR_WIDTH)))
