"""How loud the sound of a video is, block by block."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SILENCE = -120.0
"""dBFS reported for blocks without any sound (or no sound track there)."""

_TOGETHER = 64
"""Frames, at most, that are measured at a time."""
_NO_GAP = 0.001
"""Seconds by which the start of a frame may differ from the end of the one before it and still follow it."""
_PLANES = 8
"""PyAV reads past the end of planar samples of so many channels or more, and crashes."""
_FULL_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "flt": 1.0, "dbl": 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class Loudness:
    """Root mean square level of the sound in blocks of equal length, counted from the file's time 0.

    step: length of a block in seconds.
    dbfs: (blocks,) float32 in dB relative to full scale, of the loudest audio stream; a full-scale square wave is 0.
    """

    step: Fraction
    dbfs: NDArray[np.float32]

    def between(self, start_ms: int, end_ms: int) -> float:
        """The loudest block that touches a span of time, in dBFS; `SILENCE` where there is none."""
        first = max(0, int(Fraction(start_ms, 1000) // self.step))
        last = int(-(-Fraction(max(end_ms, start_ms + 1), 1000) // self.step))
        blocks = self.dbfs[first:last]
        return float(blocks.max()) if blocks.size else SILENCE


class LoudnessMeter:
    """Adds up the energy of decoded audio in blocks of time.

    Frames that follow one another are measured some at a time: most of them hold a few hundredths of a second.
    """

    def __init__(self, step: Fraction, end: Fraction | None = None) -> None:
        """end: the time in seconds from which nothing is measured; broken times of sound may lie years ahead."""
        self.step = step
        self._last = float("inf") if end is None else float(end)
        self._packer: av.AudioResampler | None = None
        self._packed: tuple[str, str, int] = ("", "", 0)
        self._energy: NDArray[np.float64] = np.zeros(1024)
        self._samples: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._blocks = 0
        self._waiting: list[NDArray[Any]] = []
        self._kind: tuple[str, int, int] = ("", 0, 0)
        self._start = self._end = 0.0

    def add(self, frame: av.AudioFrame, start: float) -> None:
        """frame: decoded samples; start: the time of the first one in seconds."""
        if start >= self._last:
            return
        name = frame.format.name
        if name.removesuffix("p") not in _FULL_SCALE or (
            frame.format.is_planar and frame.layout.nb_channels >= _PLANES
        ):
            for packed in self._in_one_plane(frame):
                self.add(packed, start)
                start += packed.samples / packed.sample_rate
            return
        kind = frame.format.name, frame.layout.nb_channels, frame.sample_rate
        follows = abs(start - self._end) <= _NO_GAP and len(self._waiting) < _TOGETHER
        if self._waiting and not (follows and kind == self._kind):
            self._measure()
        if not self._waiting:
            self._start, self._kind = start, kind
        self._waiting.append(np.asarray(frame.to_ndarray()))  # planar (channels, n) or packed (1, n * channels)
        self._end = start + frame.samples / frame.sample_rate

    def _in_one_plane(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """The samples as packed floats, for what cannot be made an array as it is."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if self._packer is None or kind != self._packed:
            self._packer = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
            self._packed = kind
        frame.pts = None  # what comes out is counted from what goes in
        return self._packer.resample(frame)

    def _measure(self) -> None:
        """Add what waits, which is samples of one kind without a gap."""
        if not self._waiting:
            return
        name, channels, rate = self._kind
        samples = np.concatenate(self._waiting, axis=1).astype(np.float32)
        self._waiting = []
        if not name.endswith("p"):
            samples = samples.reshape(-1, channels).T
        kind = name.removesuffix("p")
        if kind == "u8":
            samples -= 128.0
        energy = np.square(samples / _FULL_SCALE.get(kind, 1.0)).mean(axis=0, dtype=np.float64)
        count, length = energy.size, float(self.step * rate)
        first = round(self._start * rate, 6)
        low, high = (max(0, int(place // length)) for place in (first, first + count - 1))
        # the first sample of each block, from the exact position of the first of all
        inner = np.ceil(np.arange(low + 1, high + 1) * length - first)
        bounds = np.concatenate([[0.0], np.clip(inner, 0, count), [count]]).astype(np.int64)
        if high >= self._energy.size:
            grown = max(high + 1, self._energy.size * 2)
            self._energy = np.concatenate([self._energy, np.zeros(grown - self._energy.size)])
            self._samples = np.concatenate([self._samples, np.zeros(grown - self._samples.size, np.int64)])
        self._energy[low : high + 1] += np.diff(np.concatenate([[0.0], energy.cumsum()])[bounds])
        self._samples[low : high + 1] += np.diff(bounds)
        self._blocks = max(self._blocks, high + 1)

    def dbfs(self) -> NDArray[np.float32]:
        """(blocks,) level of each block so far."""
        self._measure()
        mean = self._energy[: self._blocks] / np.maximum(self._samples[: self._blocks], 1)
        level = 10 * np.log10(np.maximum(mean, 10 ** (SILENCE / 10)))
        return np.asarray(level, np.float32)


def loudest(levels: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The highest of several streams' levels, block by block."""
    rows = list(levels)
    out = np.full(max((len(row) for row in rows), default=0), SILENCE, np.float32)
    for row in rows:
        np.maximum(out[: len(row)], row, out=out[: len(row)])
    return out
