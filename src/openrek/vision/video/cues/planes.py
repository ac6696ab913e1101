"""Cheap views of a frame's planes: as stored, every n-th sample of them, or shrunk by a whole number."""

from functools import cache

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image.orientation import swaps_sides, upright
from openrek.vision.video.frame import Frame, some_rows

Plane = NDArray[np.uint8] | NDArray[np.uint16]

_PLANAR = ("yuv4", "yuvj4", "gray")


def stored_luma(frame: Frame) -> tuple[Plane, int]:
    """The luma plane as stored, not turned, and its bits a sample; no copy where the format is planar YUV."""
    if bits := _planar_bits(frame):
        return _stored(frame, 0, bits), bits
    return frame.plane(0), 8


def stored_chroma(frame: Frame) -> tuple[Plane, Plane] | None:
    """Cb and Cr as stored (often at half the luma's size), not turned, at the luma's bits; None without colour."""
    if frame.native.format.name.startswith("gray"):
        return None
    if bits := _planar_bits(frame):
        return _stored(frame, 1, bits), _stored(frame, 2, bits)
    full = frame.native.reformat(format="yuv444p")
    blue, red = (np.frombuffer(memoryview(plane), np.uint8).reshape(full.height, -1) for plane in full.planes[1:])
    return blue[:, : full.width], red[:, : full.width]


def thinned(plane: Plane, bits: int, orientation: int, columns: int, rows: int) -> NDArray[np.uint8]:
    """About (rows, columns) samples of a stored plane, spread evenly over the upright frame, as 8 bits.

    The stored plane's last row is among them: text that rolls in shows there first.
    """
    if swaps_sides(orientation):
        columns, rows = rows, columns
    down, right = max(1, plane.shape[0] // rows), max(1, plane.shape[1] // columns)
    few = plane[(plane.shape[0] - 1) % down :: down, right // 2 :: right]
    return upright(np.ascontiguousarray(few >> (bits - 8) if bits > 8 else few, np.uint8), orientation)


def spread(plane: Plane, bits: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """Samples of `some_rows` of a stored plane, about so many of each row, as 8 bits and not turned."""
    chosen = some_rows(plane, rows)
    right = max(1, chosen.shape[1] // columns)
    few = chosen[:, right // 2 :: right]
    return np.ascontiguousarray(few >> (bits - 8) if bits > 8 else few, np.uint8)


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


def _planar_bits(frame: Frame) -> int:
    """Bits a sample of a planar YUV or grey format in this machine's byte order; 0 for other formats."""
    return _bits_of(frame.native.format.name)


@cache
def _bits_of(name: str) -> int:
    bits = av.VideoFormat(name).components[0].bits
    usual = name.startswith(_PLANAR) and (bits == 8 or (8 < bits <= 16 and name.endswith("le")))
    return bits if usual else 0


def _stored(frame: Frame, index: int, bits: int) -> Plane:
    if bits == 8:
        return frame.plane(index)
    plane = frame.native.planes[index]
    return np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)[:, : plane.width]
