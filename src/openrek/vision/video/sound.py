"""How loud the sound of a video is, block by block."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

SILENCE = -120.0
"""dBFS reported for blocks without any sound (or no sound track there)."""

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
    """Adds up the energy of decoded audio in blocks of time."""

    def __init__(self, step: Fraction) -> None:
        self.step = step
        self._energy: NDArray[np.float64] = np.zeros(1024)
        self._samples: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._blocks = 0

    def add(self, frame: "av.AudioFrame", start: Fraction) -> None:
        """frame: decoded samples; start: the time of the first one in seconds."""
        kind = frame.format.name.removesuffix("p")
        samples = np.asarray(frame.to_ndarray()).astype(np.float32)  # planar (channels, n) or packed (1, n * channels)
        if frame.format.is_packed:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        if kind == "u8":
            samples -= 128.0
        energy = np.square(samples / _FULL_SCALE.get(kind, 1.0)).mean(axis=0, dtype=np.float64)
        length = self.step * frame.sample_rate
        first = start * frame.sample_rate
        # block of each sample, from the exact position of the first one
        position = float(first / length) + np.arange(energy.size) / float(length)
        block = np.maximum(position.astype(np.int64), 0)
        low, high = int(block[0]), int(block[-1]) + 1
        if high > self._energy.size:
            grown = max(high, self._energy.size * 2)
            self._energy = np.concatenate([self._energy, np.zeros(grown - self._energy.size)])
            self._samples = np.concatenate([self._samples, np.zeros(grown - self._samples.size, np.int64)])
        self._energy[low:high] += np.bincount(block - low, energy, high - low)
        self._samples[low:high] += np.bincount(block - low, minlength=high - low)
        self._blocks = max(self._blocks, high)

    def dbfs(self) -> NDArray[np.float32]:
        """(blocks,) level of each block so far."""
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
