"""Black frames: the per-frame test, and the rule that black with sound is no black.

The test is the one of Rekognition Video's segment detection: a frame is black where at least a percentage of its pixels
(MinCoveragePercentage) has a BT.709 luma below a share (MaxPixelThreshold) of the stream's luma range.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.cues.planes import Plane, Stored
from openrek.vision.video.frame import LUMA_ROWS, Frame, row_step

_BT601 = frozenset({4, 5, 6, 7})
"""FFmpeg's numbers of the matrices with BT.601's (or nearly its) luma: FCC, 470BG, 170M, 240M."""

_TO_709 = (-0.118, -0.213)
"""What to add to BT.601 luma for BT.709's, per unit of Cb and Cr: R'G'B' by BT.601's inverse, luma of it by BT.709."""

_ROWS_AT_ONCE = 4
"""Every n-th row is counted, until there are too many bright pixels."""


@dataclass(frozen=True, slots=True)
class BlackRule:
    """When a frame is black.

    pixel: MaxPixelThreshold 0..1, of the luma range; coverage: MinCoveragePercentage 0..100.
    silence: dBFS, root mean square; black frames during louder sound are content.
    exact: whether the published test alone decides. It calls the first and last frames of a fade black in which the
    picture is dimly there already; else those are content.
    """

    pixel: float = 0.2
    coverage: float = 99.0
    silence: float = -60.0
    exact: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.pixel <= 1:
            raise ValueError(f"the pixel threshold is {self.pixel}; it must be from 0 to 1")
        if not 0 <= self.coverage <= 100:
            raise ValueError(f"the coverage is {self.coverage}; it must be from 0 to 100 percent")


@cache
def brightest_black(pixel: float, full_range: bool, bits: int = 8) -> int:
    """The highest luma code that counts as black, from the definition "below lo + pixel * (hi - lo)".

    Equality counts at a threshold of 0 only, so that pure black can match it. LIMITED codes below 16 are black too.
    """
    low, high = (0, (1 << bits) - 1) if full_range else (16 << (bits - 8), 235 << (bits - 8))
    limit = low + pixel * (high - low)
    if pixel == 0:
        return low
    # a limit that is a whole number but for rounding (0.2 * 255 = 51.000000000000007 or 50.99...) is that number
    nearest = round(limit)
    return nearest - 1 if abs(limit - nearest) < 1e-9 else math.floor(limit)


def is_black(frame: Frame, rule: BlackRule) -> bool:
    """The per-frame test, on every pixel of the stored frame."""
    return black_frames([frame], Stored.of([frame]), rule)[0]


def black_frames(frames: Sequence[Frame], stored: Stored, rule: BlackRule) -> list[bool]:
    """`is_black` of each of these frames, whose planes are at hand."""
    size, bits, full = stored.luma[0].size, stored.bits, frames[0].full_range
    top = brightest_black(rule.pixel, full, bits)
    allowed = size - math.ceil(rule.coverage / 100 * size - 1e-9)
    # BT.709 luma of saturated blue or red is lower than BT.601's by up to 14 percent of the range
    differs = stored.chroma is not None and frames[0].native.colorspace in _BT601
    certain = top + (math.ceil(0.15 * (1 << bits)) if differs else 0)
    first = slice(None, None, 2 * row_step(stored.luma[0].shape[0], LUMA_ROWS))
    found: list[bool] = []
    for n, luma in enumerate(stored.luma):
        # most frames are so bright that a few rows decide
        if np.count_nonzero(luma[first] > certain) > allowed:
            found.append(False)
        elif differs and stored.chroma is not None:
            seen = luma_709(luma, stored.chroma[0][n], stored.chroma[1][n], bits, full)
            found.append(bool(np.count_nonzero(seen > top + 0.5) <= allowed))
        else:
            found.append(_few_bright(luma, top, allowed))
    return found


def _few_bright(luma: Plane, top: int, allowed: int) -> bool:
    bright = 0
    for first in range(_ROWS_AT_ONCE):
        bright += int(np.count_nonzero(luma[first::_ROWS_AT_ONCE] > top))
        if bright > allowed:
            return False
    return True


def luma_709(luma: Plane, blue: Plane, red: Plane, bits: int, full_range: bool = False) -> NDArray[np.float32]:
    """BT.709 luma of a picture stored with BT.601's matrix; chroma planes of any subsampling, same range as stored."""
    height, width = luma.shape
    middle = float(1 << (bits - 1))
    out = luma.astype(np.float32)
    for plane, factor in zip((blue, red), _TO_709, strict=True):
        shift = (plane.astype(np.float32) - middle) * np.float32(factor if full_range else factor * 219 / 224)
        out += cv2.resize(shift, (width, height), interpolation=cv2.INTER_NEAREST)
    return out
