"""What shot detection keeps of a frame: a thumbnail's worth of light and colour, and how it differs from earlier ones.

All costs here are per frame of the video, so they are counted in microseconds: about 100 altogether at 720p, where
decoding takes 1000 to 5000.
"""

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.frame import CHROMA_ROWS, LUMA_ROWS, Frame, row_step

Plane = NDArray[np.uint8]
Planes = NDArray[np.uint8]
"""(n, rows, columns)"""

HEIGHT, WIDTH = 18, 32
CHROMA_HEIGHT, CHROMA_WIDTH = 9, 16
SIGNATURE = (9, 16)
"""Rows and columns of luma that are kept of each frame for transitions of many frames."""
LOOK_BACK = 5
"""Frames after a suspected cut that are compared with the frame before it (a flash comes back, a cut does not)."""

LEAD = 2 * LOOK_BACK + 1
"""Frames before a frame on which its observation depends: suspects before it, and what was usual before those."""

_REACH_Y, _REACH_X = 3, 4
_SHIFTS = (2 * _REACH_Y + 1) * (2 * _REACH_X + 1)
_BLOCKS_Y, _BLOCKS_X = 3, 4
_BLOCKS = _BLOCKS_Y * _BLOCKS_X
_SUSPECT_LEAST, _SUSPECT_RATIO = 4.0, 2.0
_NUMBERS = 6 + LOOK_BACK
_PIXELS, _TINTS = HEIGHT * WIDTH, 2 * CHROMA_HEIGHT * CHROMA_WIDTH


class Sketcher:
    """Makes each frame's observation; remembers the few sketches before it."""

    def __init__(self) -> None:
        self._luma = np.empty((0, HEIGHT, WIDTH), np.uint8)
        self._chroma = np.empty((0, 2 * CHROMA_HEIGHT, CHROMA_WIDTH), np.uint8)
        self._suspects: deque[bool] = deque(maxlen=LOOK_BACK)
        self._raw: deque[float] = deque(maxlen=LOOK_BACK)
        self._shifted = np.empty((_SHIFTS, HEIGHT, WIDTH), np.uint8)
        self._repeated = np.empty((_SHIFTS, HEIGHT, WIDTH), np.uint8)
        self._difference = np.empty((_SHIFTS * HEIGHT, WIDTH), np.uint8)

    def observe(self, frames: Sequence[Frame]) -> list[bytes]:
        """The observations of the frames that follow those seen so far: see `Sketches` for what each holds.

        How frames are bundled changes nothing but the time it takes.
        """
        count, known = len(frames), len(self._luma)
        luma = np.concatenate([self._luma, np.empty((count, HEIGHT, WIDTH), np.uint8)])
        chroma = np.concatenate([self._chroma, np.empty((count, 2 * CHROMA_HEIGHT, CHROMA_WIDTH), np.uint8)])
        _sketch(frames, luma[known:], chroma[known:])
        numbers = np.full((count, _NUMBERS), np.nan, np.float32)
        numbers[:, 0], numbers[:, 1] = _light_and_contrast(luma[known:])
        first = 1 if not known else 0  # nothing comes before the first frame of all
        after, before = luma[known + first :], luma[known + first - 1 : -1]
        raw = _distance(before, after) / _PIXELS
        numbers[first:, 4] = raw
        numbers[first:, 5] = _distance(chroma[known + first - 1 : -1], chroma[known + first :]) / _TINTS
        blocks = self._blocks(before, after)
        numbers[first:, 2] = blocks.sum(axis=1) / _BLOCKS
        numbers[first:, 3] = np.sort(blocks, axis=1)[:, 3]
        for n, change in enumerate(raw.tolist(), first):
            for back, was_suspect in enumerate(reversed(self._suspects), 1):
                if was_suspect and back < known + n:
                    seen = self._compare(luma[known + n - 1 - back], luma[known + n])
                    numbers[n, 5 + back] = seen.sum() / _BLOCKS
            usual = sum(self._raw) / len(self._raw) if self._raw else 0.0
            self._suspects.append(change > _SUSPECT_LEAST and change > _SUSPECT_RATIO * (usual + 1.0))
            self._raw.append(change)
        self._luma, self._chroma = luma[-LOOK_BACK - 1 :], chroma[-LOOK_BACK - 1 :]
        # sketches below each other are reduced as one picture: blocks do not cross their borders
        rows, columns = SIGNATURE
        signatures = _means(luma[known:].reshape(-1, WIDTH), count * rows, columns).reshape(count, -1)
        tints = _means(chroma[known:].reshape(-1, CHROMA_WIDTH), count * 6, 4).reshape(count, -1)
        table = np.hstack([numbers.view(np.uint8), signatures, tints])
        size, packed = table.shape[1], table.tobytes()
        return [packed[place : place + size] for place in range(0, len(packed), size)]

    def _blocks(self, before: Planes, after: Planes) -> NDArray[np.uint8]:
        """(n, 12) `_compare` of each pair. Where nothing differs without a shift, none is tried."""
        if not len(after):
            return np.zeros((0, _BLOCKS), np.uint8)
        difference = np.asarray(cv2.absdiff(before.reshape(-1, WIDTH), after.reshape(-1, WIDTH)), np.uint8)
        blocks = _means(difference, len(after) * _BLOCKS_Y, _BLOCKS_X).reshape(-1, _BLOCKS)
        for n in np.flatnonzero(blocks.any(axis=1)).tolist():
            blocks[n] = self._compare(before[n], after[n])
        return blocks

    def _compare(self, before: Plane, after: Plane) -> NDArray[np.uint8]:
        """(12,) mean absolute difference of each of 3 x 4 blocks at the shift that fits it best."""
        wide = cv2.copyMakeBorder(before, _REACH_Y, _REACH_Y, _REACH_X, _REACH_X, cv2.BORDER_REPLICATE)
        shape = (2 * _REACH_Y + 1, 2 * _REACH_X + 1, HEIGHT, WIDTH)
        self._shifted.reshape(shape)[:] = np.ndarray(shape, np.uint8, wide, 0, (*wide.strides, *wide.strides))
        self._repeated.reshape(_SHIFTS, _PIXELS)[:] = after.ravel()
        rows = (_SHIFTS * HEIGHT, WIDTH)
        cv2.absdiff(self._shifted.reshape(rows), self._repeated.reshape(rows), self._difference)
        means = _means(self._difference, _SHIFTS * _BLOCKS_Y, _BLOCKS_X)
        return np.asarray(cv2.reduce(means.reshape(_SHIFTS, _BLOCKS), 0, cv2.REDUCE_MIN)[0], np.uint8)


def _sketch(frames: Sequence[Frame], luma: Planes, chroma: Planes) -> None:
    """Fill in (n, 18, 32) luma, and (n, 18, 16) with Cb above Cr; stored orientation, which differences do not mind."""
    planes = [frame.planes() for frame in frames]
    _reduce([each[0] for each in planes], LUMA_ROWS, luma)
    if len(planes[0]) < 3:
        chroma[:] = 128
        return
    _reduce([each[1] for each in planes], CHROMA_ROWS, chroma[:, :CHROMA_HEIGHT])
    _reduce([each[2] for each in planes], CHROMA_ROWS, chroma[:, CHROMA_HEIGHT:])


def _reduce(planes: Sequence[Plane], rows: int, into: Planes) -> None:
    """Means of areas of some rows. Averaging is many times faster over whole numbers of samples, so what is left over
    at the right and bottom edge is not looked at."""
    (height, width), (down, across) = planes[0].shape, into.shape[1:]
    step = row_step(height, rows)
    rows = -(-height // step)
    if rows >= down and width >= across:
        rows, width = rows // down * down, width // across * across
    where, size = (slice(0, rows * step, step), slice(0, width)), (across, down)
    for plane, small in zip(planes, into, strict=True):
        cv2.resize(plane[where], size, small, 0, 0, cv2.INTER_AREA)


def _means(plane: Plane, rows: int, columns: int) -> Plane:
    return np.asarray(cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _light_and_contrast(sketches: Planes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each."""
    flat = sketches.reshape(len(sketches), -1)
    mean = flat.sum(axis=1, dtype=np.int64) / _PIXELS
    square = np.square(flat, dtype=np.int64).sum(axis=1) / _PIXELS
    return mean, np.sqrt(np.maximum(square - mean * mean, 0.0))


def _distance(before: Planes, after: Planes) -> NDArray[np.int64]:
    """Sum of absolute differences of each pair."""
    if not len(after):
        return np.zeros(0, np.int64)
    columns = after.shape[2]
    difference = np.asarray(cv2.absdiff(before.reshape(-1, columns), after.reshape(-1, columns)), np.uint8)
    return np.asarray(difference.reshape(len(after), -1).sum(axis=1, dtype=np.int64), np.int64)


class Sketches:
    """Observations of consecutive frames as columns.

    light, contrast: mean and standard deviation of luma, 0..255.
    moved: mean absolute difference to the frame before, after motion compensation of blocks.
    spread: the same of the block at the first quartile: high only where most of the picture changes.
    raw, colour: mean absolute difference of luma and of chroma, without motion compensation.
    back: (n, LOOK_BACK) where the frame k + 1 before is a suspected cut, `moved` measured from the frame before that;
    else not a number.
    signature: (n, 9, 16) luma; tint: (n, 24) chroma.
    """

    def __init__(self, frames: NDArray[np.int64], observations: list[bytes]) -> None:
        count = _NUMBERS
        table = np.frombuffer(b"".join(observations), np.uint8).reshape(len(observations), -1)
        numbers = np.ascontiguousarray(table[:, : 4 * count]).view(np.float32).astype(np.float64)
        self.frames = frames
        self.light, self.contrast, self.moved, self.spread, self.raw, self.colour = numbers[:, :6].T
        self.back = numbers[:, 6:]
        pixels = SIGNATURE[0] * SIGNATURE[1]
        self.signature = table[:, 4 * count : 4 * count + pixels].reshape(-1, *SIGNATURE)
        self.tint = table[:, 4 * count + pixels :]
