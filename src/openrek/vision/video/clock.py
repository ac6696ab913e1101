"""When each frame of a video is shown, exactly."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_NTSC = Fraction(1000, 1001)
_SNAP = 0.002
"""Relative distance within which a measured rate may be a standard one (1000/1001 differs from 1 by 0.001)."""

_NEAR = 0.02
"""The container's own average also counts the last frame's length; it is taken where it is this near."""

_LATE_SHARE = 20
"""A video with at most one irregular interval in this many (late or dropped frames) keeps its nominal rate ..."""

_LATE_LENGTH = Fraction(1, 50)
"""... if those make it longer or shorter by at most this."""


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """The presentation times of the frames of one video.

    rate: frames a second; of a video with variable rate the average.
    start: time of frame 0 in seconds, which need not be 0.
    count: number of frames.
    end_ms: time at which the last frame's presentation ends.
    milliseconds: (count,) int64 where the intervals vary; None where frame n is shown at start + n / rate.
    """

    rate: Fraction
    start: Fraction
    count: int
    end_ms: int
    milliseconds: NDArray[np.int64] | None = None

    @property
    def constant(self) -> bool:
        """Whether all frames are equally far apart."""
        return self.milliseconds is None

    def timestamp_ms(self, frame: int) -> int:
        """Presentation time of a frame in milliseconds, rounded down."""
        if self.milliseconds is not None and 0 <= frame < len(self.milliseconds):
            return int(self.milliseconds[frame])
        return _floor_ms(self.start + frame / self.rate)

    def frame_at(self, ms: int) -> int:
        """The frame that is shown at a time: the last one whose timestamp is not later; 0 before the first."""
        if self.milliseconds is not None:
            return max(0, int(np.searchsorted(self.milliseconds, ms, side="right")) - 1)
        # a frame's timestamp is rounded down, so it is reached within the whole millisecond
        before_next = (Fraction(ms + 1, 1000) - self.start) * self.rate
        return min(max(0, -(-before_next.numerator // before_next.denominator) - 1), self.count - 1)


def regular_clock(rate: Fraction, count: int, start: Fraction = Fraction(0)) -> Clock:
    """The clock of a video whose frames are equally far apart."""
    return Clock(rate, start, count, _floor_ms(start + count / rate))


def clock_of(ticks: NDArray[np.int64], time_base: Fraction, hints: tuple[Fraction, ...] = ()) -> Clock:
    """The clock of frames that are shown at these times.

    ticks: (count,) ascending presentation times, in units of `time_base` seconds.
    hints: rates the container claims, the average last; used where the times agree with one of them.

    The rate is found from the times alone: containers often state it wrongly. Where every frame is within a tick of a
    regular grid, the grid is the truth (ticks are often too coarse to carry it). Where only a few frames are late or
    missing, the rate is the grid's and the times are the container's. Else the rate is the average.
    """
    count = len(ticks)
    start, last = int(ticks[0]) * time_base, int(ticks[-1]) * time_base
    if count == 1:
        return regular_clock(next(iter(hints), Fraction(25)), 1, start)
    intervals = np.diff(ticks)
    average = (count - 1) / (int(ticks[-1] - ticks[0]) * time_base)
    milliseconds = _milliseconds(ticks, time_base)
    usual = int(np.partition(intervals, len(intervals) // 2)[len(intervals) // 2])
    nominal = 1 / (max(usual, 1) * time_base)
    for rate in _candidates(average, time_base, hints):
        if _on_grid(ticks, time_base, rate):
            return regular_clock(rate, count, start)
    regular = np.abs(intervals - usual) <= 1
    if np.count_nonzero(~regular) * _LATE_SHARE <= len(intervals) and abs(
        int(intervals.sum()) - usual * len(intervals)
    ) <= _LATE_LENGTH * usual * len(intervals):
        # a run without irregularities carries the rate more exactly than one interval in coarse ticks
        if usual * time_base < Fraction(1, 5) and usual > 1:
            edges = np.flatnonzero(np.concatenate([[True], ~regular, [True]]))
            longest = int(np.argmax(np.diff(edges)))
            begin, end = int(edges[longest]), int(edges[longest + 1])
            if end - begin > 1:
                run = ticks[begin:end]
                measured = (len(run) - 1) / (int(run[-1] - run[0]) * time_base)
                nominal = next(
                    (r for r in _candidates(measured, time_base, hints) if _on_grid(run, time_base, r)), measured
                )
        return Clock(nominal, start, count, _floor_ms(last + 1 / nominal), milliseconds)
    average = next((rate for rate in reversed(hints) if abs(rate / average - 1) < _NEAR), average)
    return Clock(average, start, count, _floor_ms(last + 1 / average), milliseconds)


def _milliseconds(ticks: NDArray[np.int64], time_base: Fraction) -> NDArray[np.int64]:
    """Times rounded down to milliseconds, exactly."""
    if max(abs(int(ticks[0])), abs(int(ticks[-1]))) * time_base.numerator * 1000 < 1 << 62:
        return ticks * (time_base.numerator * 1000) // time_base.denominator
    return np.array([int(t) * time_base.numerator * 1000 // time_base.denominator for t in ticks], np.int64)


def _candidates(measured: Fraction, time_base: Fraction, hints: tuple[Fraction, ...]) -> list[Fraction]:
    """Rates near a measured one, the likeliest first: what whole ticks express exactly, then the usual rates."""
    whole = Fraction(max(1, round(measured)))
    ntsc = Fraction(max(1, round(measured / _NTSC))) * _NTSC
    near = [rate for rate in (whole, ntsc, *hints) if abs(rate / measured - 1) < _SNAP]
    return [*sorted(near, key=lambda rate: (1 / (rate * time_base)).denominator != 1), measured]


def _on_grid(ticks: NDArray[np.int64], time_base: Fraction, rate: Fraction) -> bool:
    """Whether frame n is within a tick of n / rate after the first."""
    step = 1 / (rate * time_base)
    n = np.arange(len(ticks), dtype=np.float64)
    off = (ticks - ticks[0]) - n * float(step)
    return bool(np.max(np.abs(off)) <= 1.0 + 1e-6)


def _floor_ms(seconds: Fraction) -> int:
    return int(seconds * 1000 // 1)
