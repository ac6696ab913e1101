"""Reducing pictures of any format as a JPEG decoder reduces its own, strip by strip as the pixels come."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCTIONS = (8, 4, 2)
_STRIP_PIXELS = 1 << 18  # small enough for the processor's cache


def reduction_for(side: int, longest: int | None) -> int:
    """8, 4 or 2 where a picture of that longest side keeps at least `longest` pixels of it, else 1."""
    if longest is None:
        return 1
    return next((r for r in REDUCTIONS if -(-side // r) >= longest), 1)


def reduced(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    """Both sides after a reduction; a part of a pixel counts as one, as in JPEG."""
    return -(-size[0] // reduction), -(-size[1] // reduction)


def strip_rows(width: int, pixels: int = _STRIP_PIXELS) -> int:
    """Rows of a strip of about so many pixels; a multiple of every reduction."""
    return max(8, pixels // width // 8 * 8)


def row_ranges(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Start and end of each strip of `rows` rows."""
    return ((start, min(start + rows, height)) for start in range(0, height, rows))


def assemble(strips: Iterable[NDArray[np.uint8]], width: int, height: int, reduction: int) -> NDArray[np.uint8]:
    """One picture (H, W, 3) at 1 / reduction out of strips (rows, width, 3) from the top.

    Every strip but the last has a multiple of `reduction` rows, and all of them together have `height`. A reduced pixel
    is the mean of those it covers; past the edges the last row and column are repeated, as JPEG encoders do.
    """
    columns, rows = reduced((width, height), reduction)
    picture: NDArray[np.uint8] | None = None
    at = 0
    for strip in strips:
        small = _mean(strip, reduction)
        if picture is None:
            if len(small) == rows and small.flags.owndata and small.flags.c_contiguous:
                return small
            picture = np.empty((rows, columns, 3), np.uint8)
        picture[at : at + len(small)] = small
        at += len(small)
    assert picture is not None
    assert at == rows
    return picture


def _mean(pixels: NDArray[np.uint8], reduction: int) -> NDArray[np.uint8]:
    if reduction == 1:
        return pixels
    height, width = pixels.shape[:2]
    columns, rows = reduced((width, height), reduction)
    below, right = rows * reduction - height, columns * reduction - width
    if below or right:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
