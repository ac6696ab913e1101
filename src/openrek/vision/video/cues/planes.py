"""Cheap views of a frame's planes: as stored, every n-th sample of them, or shrunk by a whole number."""

from functools import cache

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image.orientation import swaps_sides, upright
from openrek.vision.video.frame import Frame

Plane = NDArray[np.uint8] | NDArray[np.uint16]

_PLANAR = ("yuv4", "yuvj4", "gray")


def stored_luma(frame: Frame) -> tuple[Plane, int]:
    """The luma plane as stored, not turned, and its bits a sample; no copy where the format is planar YUV."""
    if bits := _planar_bits(frame):
        return _stored(frame, 0, bits), bits
    return frame.plane(0), 8


def stored_chroma(frame: Frame) -> tuple[Plane, Plane]:
    """Cb and Cr as stored (often at half the luma's size), not turned, at the luma's bits."""
    if bits := _planar_bits(frame):
        return _stored(frame, 1, bits), _stored(frame, 2, bits)
    return frame.plane(1), frame.plane(2)


def sampled_luma(frame: Frame, columns: int, rows: int) -> NDArray[np.uint8]:
    """About (rows, columns) luma samples spread evenly over the upright frame, as 8 bits."""
    plane, bits = stored_luma(frame)
    return _thin(plane, bits, frame.orientation, columns, rows)


def sampled_chroma(frame: Frame, columns: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Cb and Cr of about (rows, columns) samples of the upright frame, as 8 bits; None for a picture without colour."""
    if frame.native.format.name.startswith("gray"):
        return None
    bits = _planar_bits(frame)
    if not bits:
        planes = frame.yuv(columns, rows)
        return planes[1], planes[2]
    blue, red = stored_chroma(frame)
    turn = frame.orientation
    return _thin(blue, bits, turn, columns, rows), _thin(red, bits, turn, columns, rows)


def shrunk_luma(frame: Frame, longest: int) -> NDArray[np.uint8]:
    """Mean luma of blocks of whole samples, upright, its longest side between 2/3 of and all of `longest`."""
    plane = frame.plane(0)
    block = -(-max(plane.shape) // longest)
    if block > 1 and min(plane.shape) >= block:
        rows, columns = plane.shape[0] // block, plane.shape[1] // block
        whole = plane[: rows * block, : columns * block]
        plane = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return upright(np.ascontiguousarray(plane), frame.orientation)


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


def _thin(plane: Plane, bits: int, orientation: int, columns: int, rows: int) -> NDArray[np.uint8]:
    if swaps_sides(orientation):
        columns, rows = rows, columns
    down, right = max(1, plane.shape[0] // rows), max(1, plane.shape[1] // columns)
    few = plane[(plane.shape[0] - 1) % down :: down, right // 2 :: right]  # the last row too: it shows what comes in
    return upright(np.ascontiguousarray(few >> (bits - 8) if bits > 8 else few, np.uint8), orientation)
