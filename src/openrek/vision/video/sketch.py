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

LEAD = 2 * LOOK_BACK + 1
"""Frames before a frame on which its observation depends: suspects before it, and what was usual before those."""

_REACH_Y, _REACH_X = 3, 4
_SHIFTS = (2 * _REACH_Y + 1) * (2 * _REACH_X + 1)
_BLOCKS_Y, _BLOCKS_X = 3, 4
_ROWS_EACH = 4
_SUSPECT_LEAST, _SUSPECT_RATIO = 4.0, 2.0
_NUMBERS = 6 + LOOK_BACK
_EMPTY = np.full(_NUMBERS, np.nan, np.float32)


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
        mean, deviation = cv2.meanStdDev(luma)
        numbers = _EMPTY.copy()
        numbers[0], numbers[1] = mean.item(), deviation.item()
        if self._before:
            last, last_chroma = self._before[-1]
            blocks = self._compare(last, luma)
            raw = cv2.norm(last, luma, cv2.NORM_L1) / luma.size
            usual = sum(self._raw) / len(self._raw) if self._raw else 0.0
            numbers[2] = sum(blocks) / len(blocks)
            numbers[3] = sorted(blocks)[3]
            numbers[4] = raw
            numbers[5] = cv2.norm(last_chroma, chroma, cv2.NORM_L1) / chroma.size
            for back, was_suspect in enumerate(reversed(self._suspects), 1):
                if was_suspect and back < len(self._before):
                    blocks = self._compare(self._before[-1 - back][0], luma)
                    numbers[5 + back] = sum(blocks) / len(blocks)
            self._suspects.append(raw > _SUSPECT_LEAST and raw > _SUSPECT_RATIO * (usual + 1.0))
            self._raw.append(raw)
        self._before.append((luma, chroma))
        signature = cv2.resize(luma, SIGNATURE[::-1], interpolation=cv2.INTER_AREA)
        tint = cv2.resize(chroma, (4, 6), interpolation=cv2.INTER_AREA)
        return numbers.tobytes() + signature.tobytes() + tint.tobytes()

    def _compare(self, before: Plane, after: Plane) -> list[int]:
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
        best: list[int] = cv2.reduce(means.reshape(_SHIFTS, _BLOCKS_Y * _BLOCKS_X), 0, cv2.REDUCE_MIN)[0].tolist()
        return best


def _sketch(frame: Frame) -> tuple[Plane, Plane]:
    """(18, 32) luma, and (18, 16) with Cb above Cr; stored orientation, which differences do not mind."""
    luma, *chroma = frame.planes()
    small = _reduce(luma, WIDTH, HEIGHT)
    if not chroma:
        return small, np.full((2 * CHROMA_HEIGHT, CHROMA_WIDTH), 128, np.uint8)
    return small, np.concatenate([_reduce(plane, CHROMA_WIDTH, CHROMA_HEIGHT) for plane in chroma])


def _reduce(plane: Plane, width: int, height: int) -> Plane:
    """Means of areas, from four rows of the plane each. Averaging is many times faster over whole numbers of samples,
    so what is left over at the right and bottom edge is not looked at."""
    rows = plane[:: max(1, plane.shape[0] // (_ROWS_EACH * height))]
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
        count = _NUMBERS
        table = np.frombuffer(b"".join(observations), np.uint8).reshape(len(observations), -1)
        numbers = np.ascontiguousarray(table[:, : 4 * count]).view(np.float32).astype(np.float64)
        self.frames = frames
        self.light, self.contrast, self.moved, self.spread, self.raw, self.colour = numbers[:, :6].T
        self.back = numbers[:, 6:]
        pixels = SIGNATURE[0] * SIGNATURE[1]
        self.signature = table[:, 4 * count : 4 * count + pixels].reshape(-1, *SIGNATURE)
        self.tint = table[:, 4 * count + pixels :]
