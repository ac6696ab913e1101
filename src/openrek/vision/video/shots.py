"""Camera shots: what lies between hard cuts and soft transitions.

Every frame is reduced to a sketch of 32 x 18 pixels and compared with the one before it (`sketch`). Suspected cuts
(`cuts`) and spans of gradual change (`transitions`) are described by a few numbers each, and two small networks that
this project trained on edited films of its own making (`training/shots`) say how likely each is one.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video import cuts, transitions
from openrek.vision.video.analysis import Interval
from openrek.vision.video.cues.black import BlackRule, brightest_black
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo
from openrek.vision.video.sketch import LEAD, Sketcher, Sketches

HARD_FROM, SOFT_FROM = 0.5, 0.6
"""Probability from which a change counts as a hard cut, and as a soft transition (chosen on held-out films)."""

_BLOCK = 4096
_MARGIN = transitions.LENGTHS[-1] * 2 + transitions.MARGIN
_FLAT = 4.0
_SHORT_HOLD = Fraction(1, 2)
"""A picture of one colour that lasts at most this many seconds beside a fade belongs to the transition."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The end of one shot and the start of the next.

    first, last: frames that belong to neither; of a hard cut none, so that last = first - 1 and `first` is the first
    frame of the new shot. probability: 0..1.
    """

    first: int
    last: int
    probability: float

    @property
    def hard(self) -> bool:
        """Whether the picture changes from one frame to the next."""
        return self.last < self.first


class ShotDetector:
    """Analyser of shots; `decide` gives `Interval`s of kind "shot", frames included at both ends."""

    name = "shots"
    version = 1
    step: Fraction | None = None
    lead = LEAD
    hears = False

    def __init__(self) -> None:
        self._sketcher = Sketcher()

    def begin(self, info: VideoInfo) -> None:
        """Forget all frames shown so far."""
        self._sketcher = Sketcher()

    def observe(self, frame: Frame) -> bytes:
        """A frame's sketch and its differences to those before."""
        return self.observe_all([frame])[0]

    def observe_all(self, frames: Sequence[Frame]) -> list[bytes]:
        """`observe` of frames that follow one another; cheaper than one by one."""
        return self._sketcher.observe(frames)

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, bytes]]) -> list[Interval]:
        """The shots in order of time. A video without a transition is one shot."""
        return shots_between(self.transitions(info, observations), info.frames)

    def transitions(self, info: VideoInfo, observations: Iterable[tuple[int, bytes]]) -> list[Transition]:
        """All transitions in order of time, none overlapping another."""
        hard: list[Transition] = []
        soft: list[Transition] = []
        flats: list[tuple[int, int]] = []
        lightest = brightest_black(BlackRule().pixel, info.color_range == "FULL")
        for sketches, low, high in _blocks(observations):
            found = _hard(sketches)
            gradual = _soft(sketches, [row for row, _ in found])
            soft += [t for row, t in gradual if low <= row < high and not _stays_black(sketches, t, lightest)]
            ends = sorted(
                [*(row for row, _ in found), *(int(sketches.frames.searchsorted(t.last)) for _, t in gradual)]
            )
            for row, change in found:
                since = ends[place - 1] if (place := bisect_left(ends, row)) else 0
                if not low <= row < high or _stays_black(sketches, change, lightest):
                    continue
                if not cuts.returns(sketches, since, row):
                    hard.append(change)
            flats += _flats(sketches, low, high)
        return _absorb_holds(_without_overlap(hard + soft), _joined(flats), float(info.rate * _SHORT_HOLD))


def shots_between(changes: list[Transition], frames: int) -> list[Interval]:
    """The shots of a video of this many frames. A shot is as certain as the less certain of its two ends."""
    shots: list[Interval] = []
    start, certainty = 0, 1.0
    for change in [*changes, Transition(frames, frames - 1, 1.0)]:
        if change.first > start:
            shots.append(Interval("shot", start, change.first - 1, min(certainty, change.probability)))
        start, certainty = max(start, change.last + 1), change.probability
    return shots or [Interval("shot", 0, max(0, frames - 1), 1.0)]


def _blocks(observations: Iterable[tuple[int, bytes]]) -> Iterator[tuple[Sketches, int, int]]:
    """Sketches of a stretch with margins, and the rows low..high-1 of it that are to be decided; memory stays flat."""
    numbers: list[int] = []
    rows: list[bytes] = []
    low = 0
    for number, row in observations:
        numbers.append(number)
        rows.append(row)
        if len(rows) == low + _BLOCK + _MARGIN:
            yield Sketches(np.array(numbers, np.int64), rows), low, low + _BLOCK
            keep = low + _BLOCK - _MARGIN
            del numbers[:keep], rows[:keep]
            low = _MARGIN
    if len(rows) > low:
        yield Sketches(np.array(numbers, np.int64), rows), low, len(rows)


def _hard(sketches: Sketches) -> list[tuple[int, Transition]]:
    places, described = cuts.suspects(sketches)
    sure = _CUTS.probability(described)
    found: list[tuple[int, Transition]] = []
    for row, probability in zip(places.tolist(), sure.tolist(), strict=True):
        if probability >= HARD_FROM:
            frame = int(sketches.frames[row])
            found.append((row, Transition(frame, frame - 1, probability)))
    return found


def _soft(sketches: Sketches, hard_rows: list[int]) -> list[tuple[int, Transition]]:
    found: list[tuple[int, Transition]] = []
    edges = [0, *hard_rows, len(sketches.frames)]
    for low, high in pairwise(edges):
        previous = -1
        for first, last in sorted(transitions.spans(sketches, low, high)):
            described = transitions.describe(sketches, first, last, low, high)
            probability = float(_TRANSITIONS.probability(described[None])[0])
            if probability < SOFT_FROM or transitions.adapts(sketches, first, last):
                continue
            a, b = transitions.trim(sketches, first, last)
            change = Transition(int(sketches.frames[a]), int(sketches.frames[b]), probability)
            if previous >= 0 and transitions.continues(sketches, previous, a):
                row, earlier = found.pop()
                change = Transition(earlier.first, change.last, min(earlier.probability, probability))
                found.append((row, change))
            else:
                found.append((first, change))
            previous = b
    lasting: list[tuple[int, Transition]] = []
    for row, change in found:
        before = lasting[-1][1] if lasting else None
        if before and change.first - before.last <= transitions.PAUSE and _comes_back(sketches, before, change):
            lasting.pop()
        elif not _comes_back(sketches, change, change):
            lasting.append((row, change))
    return lasting


def _comes_back(sketches: Sketches, begins: Transition, ends: Transition) -> bool:
    """Whether the picture is afterwards what it was before: something crossed it, or it was lit up for a moment."""
    first, last = sketches.frames.searchsorted([begins.first - 1, ends.last + 1])
    return transitions.comes_back(sketches, max(0, int(first)), min(int(last), len(sketches.frames) - 1))


def _without_overlap(found: list[Transition]) -> list[Transition]:
    """Where transitions overlap, the more probable; a hard cut wins over a soft one that touches it."""
    kept: list[Transition] = []  # by their first frames
    for each in sorted(found, key=lambda t: (not t.hard, -t.probability, t.first)):
        place = bisect_left(kept, each.first, key=lambda t: t.first)
        before, after = kept[place - 1 : place], kept[place : place + 1]
        if all(each.last < t.first or each.first > max(t.last, t.first) for t in (*before, *after)):
            kept.insert(place, each)
    return kept


def _stays_black(sketches: Sketches, change: Transition, lightest: int) -> bool:
    """Whether nothing but black comes before, in and after a change. lightest: luma of what still is black."""
    first, last = sketches.frames.searchsorted([change.first - 1, change.last + 1])
    rows = slice(max(0, int(first)), int(last) + 1)
    return bool(np.all((sketches.contrast[rows] < _FLAT) & (sketches.light[rows] <= lightest)))


def _flats(sketches: Sketches, low: int, high: int) -> list[tuple[int, int]]:
    """Runs of frames (first, last) that show one colour."""
    flat = np.concatenate([[False], sketches.contrast[low:high] < _FLAT, [False]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    return [
        (int(sketches.frames[low + a]), int(sketches.frames[low + b - 1]))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _absorb_holds(changes: list[Transition], flats: list[tuple[int, int]], longest: float) -> list[Transition]:
    """Join transitions, at least one of them soft, with nothing but a short hold of one colour between them."""
    joined: list[Transition] = []
    for change in changes:
        last = joined[-1] if joined else None
        if last is not None and change.first - last.last - 1 <= longest and not (last.hard and change.hard):
            start, end = max(last.first, last.last + 1), change.first - 1
            if start > end or any(a <= start + 1 and b >= end - 1 for a, b in flats):
                sure = min(last.probability, change.probability)
                joined[-1] = Transition(last.first, max(change.last, change.first - 1), sure)
                continue
        joined.append(change)
    return joined


class _Network:
    """A network with one hidden layer of rectified units, and the scaling of its inputs."""

    def __init__(self, weights: dict[str, list[float]]) -> None:
        self._mean, self._scale = np.array(weights["mean"]), np.array(weights["scale"])
        self._hidden, self._bias = np.array(weights["hidden"]), np.array(weights["bias"])
        self._out, self._offset = np.array(weights["out"]), float(np.array(weights["offset"]))

    def probability(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, inputs) -> (n,) probabilities."""
        scaled = (described - self._mean) / self._scale
        active = np.maximum(scaled @ self._hidden + self._bias, 0.0)
        return np.asarray(1 / (1 + np.exp(-np.clip(active @ self._out + self._offset, -30, 30))), np.float64)


_WEIGHTS = json.loads(files("openrek.vision.video").joinpath("shots.json").read_text())
_CUTS, _TRANSITIONS = _Network(_WEIGHTS["cuts"]), _Network(_WEIGHTS["transitions"])
