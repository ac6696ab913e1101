"""What shot detection keeps of a frame: a thumbnail's worth of light and colour, and how it differs from earlier ones.

All costs here are per frame of the video, so they are counted in microseconds: about 100 altogether at 720p, where
decoding takes 1000 to 5000.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.frame import Frame

Plane = NDArray[np.uint8]

HEIGHT, WIDTH = 18, 32
CHROMA_HEIGHT, CHROMA_WIDTH = 9, 16
SIGNATURE = (9, 16)
"""Rows and columns of luma that are kept of each frame for transitions of many frames."""
LOOK_BACK = 5
"""Frames after a suspected cut that are compared with the frame before it (a flash comes back, a cut does not)."""

_REACH_Y, _REACH_X = 3, 4
_SHIFTS = (2 * _REACH_Y + 1) * (2 * _REACH_X + 1)
_BLOCKS_Y, _BLOCKS_X = 3, 4
_ROWS_READ = 144
_SUSPECT_LEAST, _SUSPECT_RATIO = 4.0, 2.0


class Sketcher:
    """Makes each frame's observation; remembers the few sketches before it."""

    def __init__(self) -> None:
        self._before: deque[tuple[Plane, Plane]] = deque(maxlen=LOOK_BACK + 1)
        self._suspects: deque[bool] = deque(maxlen=LOOK_BACK)
        self._raw: deque[float] = deque(maxlen=LOOK_BACK)
        self._shifted = np.empty((_SHIFTS, HEIGHT, WIDTH), np.uint8)
        self._repeated = np.empty((_SHIFTS, HEIGHT, WIDTH), np.uint8)
        self._difference = np.empty((_SHIFTS * HEIGHT, WIDTH), np.uint8)

    def observe(self, frame: Frame) -> bytes:
        """The frame's observation: see `Sketches` for what it holds."""
        luma, chroma = _sketch(frame)
        numbers = np.full(7 + LOOK_BACK, np.nan, np.float32)
        numbers[0], numbers[1] = luma.mean(), luma.std()
        if self._before:
            last, last_chroma = self._before[-1]
            blocks = self._compare(last, luma)
            raw = cv2.norm(last, luma, cv2.NORM_L1) / luma.size
            numbers[2] = blocks.mean()
            numbers[3] = np.partition(blocks, 3)[3]
            numbers[4] = raw
            numbers[5] = cv2.norm(last_chroma, chroma, cv2.NORM_L1) / chroma.size
            numbers[6] = raw / (sum(self._raw) / len(self._raw) + 1.0) if self._raw else raw
            suspect = raw > _SUSPECT_LEAST and numbers[6] > _SUSPECT_RATIO
            for back, was_suspect in enumerate(reversed(self._suspects), 1):
                if was_suspect and back < len(self._before):
                    numbers[6 + back] = self._compare(self._before[-1 - back][0], luma).mean()
            self._suspects.append(suspect)
            self._raw.append(raw)
        self._before.append((luma, chroma))
        signature = cv2.resize(luma, SIGNATURE[::-1], interpolation=cv2.INTER_AREA)
        return (
            numbers.tobytes() + signature.tobytes() + cv2.resize(chroma, (4, 6), interpolation=cv2.INTER_AREA).tobytes()
        )

    def _compare(self, before: Plane, after: Plane) -> NDArray[np.float64]:
        """Mean absolute difference of each of 3 x 4 blocks at the shift that fits it best."""
        wide = cv2.copyMakeBorder(before, _REACH_Y, _REACH_Y, _REACH_X, _REACH_X, cv2.BORDER_REPLICATE)
        down, right = wide.strides
        shape = (2 * _REACH_Y + 1, 2 * _REACH_X + 1, HEIGHT, WIDTH)
        self._shifted.reshape(shape)[:] = np.lib.stride_tricks.as_strided(wide, shape, (down, right, down, right))
        self._repeated[:] = after
        rows = (_SHIFTS * HEIGHT, WIDTH)
        cv2.absdiff(self._shifted.reshape(rows), self._repeated.reshape(rows), self._difference)
        size = (_BLOCKS_X, _SHIFTS * _BLOCKS_Y)
        means = cv2.resize(self._difference, size, interpolation=cv2.INTER_AREA)
        best = means.reshape(_SHIFTS, _BLOCKS_Y * _BLOCKS_X).min(axis=0)
        return np.asarray(best, np.float64)


def _sketch(frame: Frame) -> tuple[Plane, Plane]:
    """(18, 32) luma, and (18, 16) with Cb above Cr; stored orientation, which differences do not mind."""
    luma = _reduce(frame.plane(0), WIDTH, HEIGHT)
    name = frame.native.format.name
    if name.startswith("gray"):
        return luma, np.full((2 * CHROMA_HEIGHT, CHROMA_WIDTH), 128, np.uint8)
    if name == "nv12":
        chroma = frame.plane(1)
        both = [np.ascontiguousarray(chroma[::2, i::2]) for i in (0, 1)]
    else:
        both = [frame.plane(1), frame.plane(2)]
    return luma, np.concatenate([_reduce(plane, CHROMA_WIDTH, CHROMA_HEIGHT) for plane in both])


def _reduce(plane: Plane, width: int, height: int) -> Plane:
    """Area means, of some of the rows. Averaging is many times faster over whole numbers of samples, so what is left
    over at the right and bottom edge is not looked at."""
    rows = plane[:: max(1, plane.shape[0] // _ROWS_READ)]
    if rows.shape[0] >= height and rows.shape[1] >= width:
        rows = rows[: rows.shape[0] // height * height, : rows.shape[1] // width * width]
    return np.asarray(cv2.resize(rows, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


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
        count = 7 + LOOK_BACK
        table = np.frombuffer(b"".join(observations), np.uint8).reshape(len(observations), -1)
        numbers = np.ascontiguousarray(table[:, : 4 * count]).view(np.float32).astype(np.float64)
        self.frames = frames
        self.light, self.contrast, self.moved, self.spread, self.raw, self.colour = numbers[:, :6].T
        self.back = numbers[:, 7:]
        pixels = SIGNATURE[0] * SIGNATURE[1]
        self.signature = table[:, 4 * count : 4 * count + pixels].reshape(-1, *SIGNATURE)
        self.tint = table[:, 4 * count + pixels :]
