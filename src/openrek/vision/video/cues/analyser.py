"""The technical cues of a video as an analyser: what is kept of each frame, and the decision over all of them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.analysis import Interval
from openrek.vision.video.cues.bars import FIRST_SAMPLES, SAMPLES, bars_likeness, first_looks
from openrek.vision.video.cues.black import BlackRule, passes
from openrek.vision.video.cues.decide import decide
from openrek.vision.video.cues.lettering import text_lines
from openrek.vision.video.cues.planes import shrunk_luma, spread, stored_chroma, stored_luma, thinned
from openrek.vision.video.cues.seen import LIGHT, ROW, Seen
from openrek.vision.video.frame import CHROMA_ROWS, LUMA_ROWS, Frame
from openrek.vision.video.info import VideoInfo

_COARSE, _FINE = 80, (320, 90)
"""Columns of luma that are looked at in every frame; columns and rows where there may be a plain background."""
_PLAIN_AT_ALL = 0.4
_LETTERING = 540
"""Longest side in pixels, at most, of the plane in which lines of text are sought."""
_LETTERING_STEP = Fraction(2, 5)
_LIT = 30
"""How far a sample's luma is from the background's to be part of what stands before it."""
_PLAIN = 10
_PLAIN_ENOUGH = 0.5
"""Share of the frame near its background from which it may be a page."""


class CueAnalyser:
    """Black frames, colour bars, credits, slates and logos; see `decide` of this package for what each is."""

    name = "cues"
    version = 2
    step: Fraction | None = None
    lead = 0
    hears = True

    def __init__(self, rule: BlackRule | None = None, least: float = 0.5) -> None:
        """rule: when a frame is black. least: what is less sure than this (0.5..1) becomes content."""
        self.rule = rule or BlackRule()
        self.least = least
        self._every = 10
        self._bars: tuple[list[NDArray[np.uint8]], float] | None = None

    def begin(self, info: VideoInfo) -> None:
        """Take the video's frame rate; no frame depends on another."""
        self._every = lettering_step(info)

    def observe(self, frame: Frame) -> bytes:
        """A glance at one frame: the black test on all its pixels, the rest on a few thousand samples."""
        return self.observe_all([frame])[0]

    def observe_all(self, frames: Sequence[Frame]) -> list[bytes]:
        """`observe` of frames of one size and format; cheaper than one by one."""
        rows = np.zeros(len(frames), ROW)
        turn = frames[0].orientation
        stored = [stored_luma(frame) for frame in frames]
        bits = stored[0][1]
        coarse = [spread(luma, bits, LUMA_ROWS, _COARSE) for luma, _ in stored]
        rows["light"] = np.rint([LIGHT * cv2.mean(luma)[0] for luma in coarse])
        rows["background"], plain = _backgrounds(coarse)
        rows["lit"], rows["bottom"], rows["right"] = 10_000, 200, 200
        for n in np.flatnonzero(plain >= _PLAIN_AT_ALL).tolist():
            plain[n] = _foreground(thinned(stored[n][0], bits, turn, *_FINE), rows[n])
        rows["plain"] = np.rint(200 * plain)
        self._look_for_bars(frames, bits, rows)
        lines: list[bytes] = [b""] * len(frames)
        for n, frame in enumerate(frames):
            rows["black"][n] = passes(frame, stored[n][0], bits, self.rule)
            # texture costs most and says least, so a full picture is looked at every other time
            if frame.index % (self._every if plain[n] >= _PLAIN_ENOUGH else 2 * self._every) == 0:
                rows["looked"][n] = True
                lines[n] = _lettering(frame, dark=rows["background"][n] > 127)
        return [row.tobytes() + found for row, found in zip(rows, lines, strict=True)]

    def _look_for_bars(self, frames: Sequence[Frame], bits: int, rows: NDArray[np.void]) -> None:
        chroma = [stored_chroma(frame) for frame in frames]
        if chroma[0] is None:
            return
        turn = frames[0].orientation
        planes = [both for both in chroma if both is not None]
        first = [np.stack([spread(both[i], bits, CHROMA_ROWS, FIRST_SAMPLES) for both in planes]) for i in (0, 1)]
        maybe, vivid = first_looks(*first)
        rows["vivid"] = np.rint(200 * vivid)
        for n in np.flatnonzero(maybe).tolist():
            samples = [thinned(plane, bits, turn, *SAMPLES) for plane in planes[n]]
            same = self._bars is not None and all(map(np.array_equal, samples, self._bars[0]))
            if self._bars is None or not same:  # bars often stand still
                self._bars = samples, bars_likeness(*samples)
            rows["bars"][n] = round(200 * self._bars[1])

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, bytes]]) -> tuple[Interval, ...]:
        """All cues of the video, from its first frame to its last."""
        return decide(Seen.gather(info, observations), self.rule, self.least)


def lettering_step(info: VideoInfo) -> int:
    """Every how many frames lines of text are sought."""
    return max(2, round(float(_LETTERING_STEP * info.rate)))


def _foreground(luma: NDArray[np.uint8], row: NDArray[np.void]) -> float:
    """Fill in what stands before the background: how much, and where. Returns the background's share, 0..1."""
    rows, columns = luma.shape
    background = int(row["background"])
    plain = cv2.countNonZero(cv2.inRange(luma, background - 2 - _PLAIN // 4 * 4, background + 1 + _PLAIN // 4 * 4))
    near = np.asarray(cv2.inRange(luma, background - _LIT, background + _LIT), np.uint8)
    lit = luma.size - cv2.countNonZero(near)
    x, y, w, h = cv2.boundingRect(cv2.bitwise_not(near)) if lit else (0, 0, 0, 0)
    row["lit"] = round(10_000 * lit / luma.size) or int(lit > 0)
    row["left"], row["right"] = round(200 * (x / columns)), round(200 * ((x + w) / columns))
    row["top"], row["bottom"] = round(200 * (y / rows)), round(200 * ((y + h) / rows))
    return plain / luma.size


def _backgrounds(lumas: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most frequent luma of each picture (of 64 levels), and the share of its samples that are near it."""
    levels = np.stack([cv2.calcHist([luma], [0], None, [64], [0, 256]).ravel() for luma in lumas])
    level = levels.argmax(axis=1)
    sums = np.pad(levels.cumsum(axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    each = np.arange(len(lumas))
    near = sums[each, np.minimum(level + _PLAIN // 4 + 1, 64)] - sums[each, np.maximum(level - _PLAIN // 4, 0)]
    return level * 4 + 2, near / lumas[0].size


def _lettering(frame: Frame, dark: bool) -> bytes:
    """Lines of text, packed, as x, y, width, height in 1/1000 of the frame's width and height."""
    luma = shrunk_luma(frame, _LETTERING)
    rows, columns = luma.shape
    scale = np.array([1000 / columns, 1000 / rows, 1000 / columns, 1000 / rows])
    return np.rint(text_lines(luma, dark) * scale).astype("<i2").tobytes()
