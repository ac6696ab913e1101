"""What the analyser keeps of each frame, as a few bytes, and all of it as columns."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.info import VideoInfo

Line = tuple[int, int, int, int]
"""x, y, width, height of a line of text, in 1/1000 of the frame."""

LIGHT = 64
"""Steps of `Glance.light` for each of luma."""

ROW = np.dtype(
    [
        ("black", np.bool_),
        ("light", "<u2"),
        ("background", np.uint8),
        ("plain", np.uint8),
        ("lit", "<u2"),
        ("top", np.uint8),
        ("bottom", np.uint8),
        ("left", np.uint8),
        ("right", np.uint8),
        ("bars", np.uint8),
        ("vivid", np.uint8),
        ("looked", np.bool_),
    ]
)
"""A glance as it is kept: see `Glance`; `looked` is whether lines were sought. The lines follow, eight bytes each."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One frame.

    black: passes the black test. light: mean luma, of 255 * `LIGHT`.
    background: its most frequent luma; plain: share of the frame near it, of 200.
    lit: share of the frame that differs from the background, of 10,000; top, bottom, left, right: where, of 200.
    bars: likeness of colour bars, vivid: share of the frame in one vivid hue, of 200.
    lines: lines of text; None where they were not sought.
    """

    black: bool
    light: int
    background: int
    plain: int
    lit: int
    top: int
    bottom: int
    left: int
    right: int
    bars: int
    vivid: int
    lines: tuple[Line, ...] | None

    def packed(self) -> bytes:
        """The glance as bytes: a dozen, and eight more for each line."""
        numbers = (
            self.black,
            self.light,
            self.background,
            self.plain,
            self.lit,
            self.top,
            self.bottom,
            self.left,
            self.right,
        )
        row = np.array((*numbers, self.bars, self.vivid, self.lines is not None), ROW).tobytes()
        return row + np.array(self.lines, "<i2").tobytes() if self.lines else row


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """All frames of a video as columns (count,) of `Glance`; a frame that could not be decoded repeats the one before.

    lines: (frame, its lines of text) where they were sought.
    """

    info: VideoInfo
    black: NDArray[np.bool_]
    light: NDArray[np.uint16]
    background: NDArray[np.uint8]
    plain: NDArray[np.uint8]
    lit: NDArray[np.uint16]
    top: NDArray[np.uint8]
    bottom: NDArray[np.uint8]
    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    bars: NDArray[np.uint8]
    vivid: NDArray[np.uint8]
    lines: list[tuple[int, tuple[Line, ...]]]

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.black)

    @classmethod
    def gather(cls, info: VideoInfo, observations: Iterable[tuple[int, bytes]]) -> "Seen":
        """Columns of the packed glances of a video, in frame order. A video without any is `info.frames` of nothing."""
        count = max(1, info.frames)
        rows = bytearray(count * ROW.itemsize)
        known = np.zeros(count, bool)
        lines: list[tuple[int, tuple[Line, ...]]] = []
        for frame, packed in observations:
            if frame >= count:
                break
            known[frame] = True
            rows[frame * ROW.itemsize : (frame + 1) * ROW.itemsize] = packed[: ROW.itemsize]
            if packed[ROW.itemsize - 1]:
                boxes = np.frombuffer(packed[ROW.itemsize :], "<i2").reshape(-1, 4).tolist()
                lines.append((frame, tuple((x, y, w, h) for x, y, w, h in boxes)))
        table = np.frombuffer(bytes(rows), ROW)
        if known.any():
            last = np.maximum.accumulate(np.where(known, np.arange(count), -1))
            table = table[np.where(last < 0, int(np.argmax(known)), last)]
        columns = {name: np.ascontiguousarray(table[name]) for name in ROW.names or () if name != "looked"}
        return cls(info, lines=lines, **columns)
