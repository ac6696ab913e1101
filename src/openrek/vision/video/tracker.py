"""Paths of things through a video, from their boxes in its samples.

ByteTrack (Zhang et al., ECCV 2022): every box is associated, the sure ones first, then the unsure ones with the tracks
that are left, so that a half hidden thing keeps its track. A Kalman filter with constant velocity says where a track
should be; boxes are compared after enlarging both (Yang et al., "Hard to track objects with irregular motions and
similar appearances", WACV 2023), because samples lie further apart than frames. Tracks are numbered at the end, when it
is known which of them were more than a flicker.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Scores are probabilities 0..1, times seconds, overlaps intersection over union of enlarged boxes."""

    sure: float = 0.45
    """Boxes from this score on are associated first and may begin a track."""
    unsure: float = 0.15
    """Boxes below it are not looked at."""
    lost: float = 1.9
    """A track without a box for longer has ended: who comes back begins a new one."""
    enlarge: float = 0.3
    """How far boxes are enlarged on each side, as a share of their own sides."""
    overlap: float = 0.15
    unsure_overlap: float = 0.4
    hits: int = 4
    """A track needs so many boxes ..."""
    proof: float = 0.6
    """... and one of at least this score."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One path. samples: (M,) numbers of the samples that saw it, ascending; members: (M,) its box in each."""

    samples: NDArray[np.int64]
    members: NDArray[np.int64]


# state of a track: centre x, centre y, width, height, and their speeds a second, in heights of the box as it began
_SIZE: Final = 4
_POSITION_NOISE: Final = 1 / 20
_SPEED_NOISE: Final = 1 / 4


@dataclass(slots=True)
class _Live:
    mean: Floats
    covariance: Floats
    seen: float
    best: float
    samples: "array[int]" = field(default_factory=partial(array, "q"))
    members: "array[int]" = field(default_factory=partial(array, "q"))

    def box(self) -> Floats:
        x, y, width, height = self.mean[:_SIZE]
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])

    def predict(self, seconds: float) -> None:
        step = np.eye(2 * _SIZE)
        step[:_SIZE, _SIZE:] = np.eye(_SIZE) * seconds
        height = self.mean[3]
        noise = np.r_[np.full(_SIZE, _POSITION_NOISE), np.full(_SIZE, _SPEED_NOISE)] * height * np.sqrt(seconds)
        self.mean = step @ self.mean
        self.mean[2:_SIZE] = np.maximum(self.mean[2:_SIZE], 1e-6)
        self.covariance = step @ self.covariance @ step.T + np.diag(noise**2)

    def correct(self, measured: Floats) -> None:
        noise = np.diag(np.full(_SIZE, _POSITION_NOISE * measured[3]) ** 2)
        total = self.covariance[:_SIZE, :_SIZE] + noise
        gain = np.linalg.solve(total, self.covariance[:_SIZE, :]).T
        self.mean = self.mean + gain @ (measured - self.mean[:_SIZE])
        self.covariance = self.covariance - gain @ total @ gain.T


class Tracker:
    """Shown the boxes of sample after sample, in the order of time; gives the tracks at the end."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._live: list[_Live] = []
        self._ended: list[Track] = []
        self._time: float | None = None

    def update(self, sample: int, time: float, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """One sample: its number, its time in seconds, (N, 4) boxes xyxy in any one unit, (N,) scores."""
        asked = self._settings
        places: Floats = geometry.as_boxes(boxes).astype(np.float64)
        if self._time is not None:
            for track in self._live:
                track.predict(max(0.0, time - self._time))
        self._time = time
        self._end([track for track in self._live if time - track.seen > asked.lost])
        self._live = [track for track in self._live if time - track.seen <= asked.lost]
        sure = np.flatnonzero(scores >= asked.sure)
        unsure = np.flatnonzero((scores >= asked.unsure) & (scores < asked.sure))

        free = list(range(len(self._live)))
        for group, least in ((sure, asked.overlap), (unsure, asked.unsure_overlap)):
            pairs = self._pairs(free, places, group, least)
            for number, member in pairs:
                self._extend(self._live[number], sample, time, member, places[member], float(scores[member]))
            taken, used = {number for number, _ in pairs}, {member for _, member in pairs}
            free = [number for number in free if number not in taken]
            if group is sure:
                fresh = [int(member) for member in sure if int(member) not in used]
        for member in fresh:
            self._live.append(_begin(places[member], time))
            self._extend(self._live[-1], sample, time, member, places[member], float(scores[member]))

    def cut(self, since: int | None = None) -> None:
        """The picture changes to another one: all tracks end, but those that began with sample `since` or later."""
        self._end([track for track in self._live if since is None or track.samples[0] < since])
        self._live = [track for track in self._live if since is not None and track.samples[0] >= since]

    def _end(self, tracks: Sequence[_Live]) -> None:
        """Keep those that were more than a flicker."""
        asked = self._settings
        self._ended += [
            Track(np.asarray(track.samples, np.int64), np.asarray(track.members, np.int64))
            for track in tracks
            if len(track.samples) >= asked.hits and track.best >= asked.proof
        ]

    def tracks(self) -> list[Track]:
        """All tracks that were more than a flicker, in the order in which they began (then from left to right).

        Those that are still followed end.
        """
        self.cut()
        return sorted(self._ended, key=lambda track: (int(track.samples[0]), int(track.members[0])))

    def _pairs(
        self, free: Sequence[int], boxes: Floats, group: NDArray[np.intp], least: float
    ) -> list[tuple[int, int]]:
        """The best one-to-one association of free tracks with the boxes of a group: (track, box)."""
        from scipy.optimize import linear_sum_assignment

        if not free or not len(group):
            return []
        share = self._settings.enlarge
        expected = _enlarged(np.stack([self._live[number].box() for number in free]), share)
        overlap = geometry.iou(expected, _enlarged(boxes[group], share)).astype(np.float64)
        # what hardly overlaps is worth nothing, so that it does not take a box from a better pair
        rows, columns = linear_sum_assignment(-np.where(overlap >= least, overlap, 0.0))
        return [
            (free[row], int(group[column]))
            for row, column in zip(rows, columns, strict=True)
            if overlap[row, column] >= least
        ]

    def _extend(self, track: _Live, sample: int, time: float, member: int, box: Floats, score: float) -> None:
        if track.samples:
            track.correct(_measured(box))
        track.seen, track.best = time, max(track.best, score)
        track.samples.append(sample)
        track.members.append(member)


def _measured(box: Floats) -> Floats:
    left, top, right, bottom = box
    return np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def _begin(box: Floats, time: float) -> _Live:
    measured = _measured(box)
    spread = np.r_[np.full(_SIZE, 2 * _POSITION_NOISE), np.full(_SIZE, 2 * _SPEED_NOISE)] * measured[3]
    return _Live(np.r_[measured, np.zeros(_SIZE)], np.diag(spread**2), time, 0.0)


def _enlarged(boxes: Floats, share: float) -> Floats:
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2) * np.array([-share, -share, share, share])
    return np.asarray(boxes + sides, np.float64)
