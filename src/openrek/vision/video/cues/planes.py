"""Cheap views of a frame's planes: as stored, every n-th sample of them, or shrunk by a whole number."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image.orientation import swaps_sides, upright
from openrek.vision.video.frame import Frame, row_step

Plane = NDArray[np.uint8] | NDArray[np.uint16]

_PLANAR = ("yuv4", "yuvj4", "gray")


@dataclass(frozen=True, slots=True)
class Where:
    """Which samples of a plane are looked at: these rows, and one of `across` columns."""

    rows: slice
    across: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The planes of frames of one size and format as stored, not turned; no copies where the format is planar YUV.

    chroma: Cb and Cr of each frame, often at half the luma's size; None without colour. bits: of a sample.
    """

    luma: list[Plane]
    chroma: tuple[list[Plane], list[Plane]] | None
    bits: int

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> "Stored":
        """frames: at least one."""
        bits = _bits_of(frames[0].native.format.name)
        planes: list[list[Plane]] = [_deep_planes(frame) if bits > 8 else [*frame.planes()] for frame in frames]
        luma, *chroma = map(list, zip(*planes, strict=True))
        return cls(luma, (chroma[0], chroma[1]) if chroma else None, max(8, bits))

    def samples(self, planes: Sequence[Plane], where: Where) -> NDArray[np.uint8]:
        """(len(planes), rows, columns) of the samples at `where` in each of these planes, as 8 bits."""
        width, kind = planes[0].shape[1], planes[0].dtype
        # the first of every 2, 4 or 8 samples is the low end of an integer: reading those is faster than skipping
        together = min(where.across, 8 // kind.itemsize)
        whole = width // together * together
        joined = np.dtype(f"<u{together * kind.itemsize}")
        few = [plane[where.rows, :whole].view(joined)[:, :: where.across // together] for plane in planes]
        taken = np.empty((len(few), *few[0].shape), kind)
        for place, each in zip(taken, few, strict=True):
            place[:] = each
        return np.asarray(taken >> (self.bits - 8) if self.bits > 8 else taken, np.uint8)


def thinned(plane: Plane, orientation: int, columns: int, rows: int) -> Where:
    """At least (rows, columns) samples of a stored plane, spread evenly over the frame when it is turned upright.

    The stored plane's last row is among them: text that rolls in shows there first.
    """
    if swaps_sides(orientation):
        columns, rows = rows, columns
    down = max(1, plane.shape[0] // rows)
    return Where(slice((plane.shape[0] - 1) % down, None, down), _power_of_two(plane.shape[1] // columns))


def spread(plane: Plane, rows: int, every: int, columns: int) -> Where:
    """Every n-th of `rows` rows (see `row_step`) of a stored plane, and at least so many columns."""
    return Where(slice(None, None, every * row_step(plane.shape[0], rows)), _power_of_two(plane.shape[1] // columns))


def _power_of_two(most: int) -> int:
    return 1 << max(0, most.bit_length() - 1)


def shrunk_luma(frame: Frame, longest: int) -> NDArray[np.uint8]:
    """Mean luma of blocks of whole samples, upright, its longest side between 2/3 of and all of `longest`."""
    plane = frame.plane(0)
    block = -(-max(plane.shape) // longest)
    while block % 2 == 0:  # averaging two by two is much faster than any other block
        plane, block = _averaged(plane, 2), block // 2
    if block > 1:
        plane = _averaged(plane, block)
    return upright(np.ascontiguousarray(plane), frame.orientation)


def _averaged(plane: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    rows, columns = plane.shape[0] // block, plane.shape[1] // block
    if not rows or not columns:
        return plane
    whole = plane[: rows * block, : columns * block]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _bits_of(name: str) -> int:
    """Bits a sample of a planar YUV or grey format in this machine's byte order; 0 for other formats."""
    bits = av.VideoFormat(name).components[0].bits
    usual = name.startswith(_PLANAR) and (bits == 8 or (8 < bits <= 16 and name.endswith("le")))
    return bits if usual else 0


def _deep_planes(frame: Frame) -> list[Plane]:
    return [
        np.ndarray((plane.height, plane.width), np.uint16, memoryview(plane), 0, (plane.line_size, 2))
        for plane in frame.native.planes[:3]
    ]
