"""The technical cues of a video as an analyser: what is kept of each frame, and the decision over all of them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image.orientation import swaps_sides, upright
from openrek.vision.video.analysis import Interval
from openrek.vision.video.cues.bars import FIRST_SAMPLES, SAMPLES, bars_likeness, first_looks
from openrek.vision.video.cues.black import BlackRule, black_frames
from openrek.vision.video.cues.decide import decide
from openrek.vision.video.cues.lettering import text_lines
from openrek.vision.video.cues.planes import Stored, shrunk_luma, spread, thinned
from openrek.vision.video.cues.seen import LIGHT, ROW, Seen
from openrek.vision.video.frame import CHROMA_ROWS, LUMA_ROWS, Frame
from openrek.vision.video.info import VideoInfo

_COARSE, _FINE = 40, (240, 90)
"""Columns of luma that are looked at in every frame; columns and rows where there may be a plain background."""
_PLAIN_AT_ALL = 0.4
_LETTERING = 540
"""Longest side in pixels, at most, of the plane in which lines of text are sought."""
_LETTERING_STEP = Fraction(2, 5)
_LIT = 30
"""How far a sample's luma is from the background's to be part of what stands before it."""
_PLAIN = 10
_FOREGROUND = ["lit", "top", "bottom", "left", "right"]
"""Columns of `ROW`."""
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
        self._bars: tuple[NDArray[np.uint8], NDArray[np.uint8], float] | None = None

    def begin(self, info: VideoInfo) -> None:
        """Take the video's frame rate; no frame depends on another."""
        self._every = lettering_step(info)

    def observe(self, frame: Frame) -> bytes:
        """A glance at one frame: the black test on all its pixels, the rest on a few thousand samples."""
        return self.observe_all([frame])[0]

    def observe_all(self, frames: Sequence[Frame]) -> list[bytes]:
        """`observe` of frames of one size and format; cheaper than one by one."""
        stored = Stored.of(frames)
        luma, turn = stored.luma, frames[0].orientation
        rows = np.zeros(len(frames), ROW)
        coarse = stored.samples(luma, spread(luma[0], LUMA_ROWS, 2, _COARSE))
        rows["light"] = np.rint(LIGHT * coarse.reshape(len(frames), -1).mean(axis=1, dtype=np.float64))
        rows["background"], plain = _backgrounds(coarse)
        rows["lit"], rows["bottom"], rows["right"] = 10_000, 200, 200
        pages = np.flatnonzero(plain >= _PLAIN_AT_ALL).tolist()
        if pages:
            fine = stored.samples([luma[n] for n in pages], thinned(luma[0], turn, *_FINE))
            for n, picture in zip(pages, fine, strict=True):
                plain[n], rows[_FOREGROUND][n] = _foreground(upright(picture, turn), int(rows["background"][n]))
        rows["plain"] = np.rint(200 * plain)
        rows["black"] = black_frames(frames, stored, self.rule)
        self._look_for_bars(stored, turn, rows)
        lines: list[bytes] = [b""] * len(frames)
        for n, frame in enumerate(frames):
            # texture costs most and says least, so a full picture is looked at every other time
            if frame.index % (self._every if plain[n] >= _PLAIN_ENOUGH else 2 * self._every) == 0:
                rows["looked"][n] = True
                lines[n] = _lettering(frame, dark=rows["background"][n] > 127)
        packed, size = rows.tobytes(), ROW.itemsize
        return [packed[n * size : (n + 1) * size] + found for n, found in enumerate(lines)]

    def _look_for_bars(self, stored: Stored, turn: int, rows: NDArray[np.void]) -> None:
        if stored.chroma is None:
            return
        one = stored.chroma[0][0]
        where = spread(one, CHROMA_ROWS, 2, FIRST_SAMPLES)
        maybe, vivid = first_looks(*(stored.samples(planes, where) for planes in stored.chroma))
        rows["vivid"] = np.rint(200 * vivid)
        found = np.flatnonzero(maybe).tolist()
        if not found:
            return
        columns, rows_of = SAMPLES
        sideways = swaps_sides(turn)  # then the rows that were looked at are too few columns
        where = thinned(one, turn, columns, rows_of) if sideways else spread(one, CHROMA_ROWS, 1, columns)
        blues, reds = (stored.samples([planes[n] for n in found], where) for planes in stored.chroma)
        for n, blue, red in zip(found, blues, reds, strict=True):
            # bars often stand still
            if not (self._bars and np.array_equal(blue, self._bars[0]) and np.array_equal(red, self._bars[1])):
                self._bars = blue, red, bars_likeness(upright(blue, turn), upright(red, turn))
            rows["bars"][n] = round(200 * self._bars[2])

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, bytes]]) -> tuple[Interval, ...]:
        """All cues of the video, from its first frame to its last."""
        return decide(Seen.gather(info, observations), self.rule, self.least)


def lettering_step(info: VideoInfo) -> int:
    """Every how many frames lines of text are sought."""
    return max(2, round(float(_LETTERING_STEP * info.rate)))


def _foreground(luma: NDArray[np.uint8], background: int) -> tuple[float, tuple[int, int, int, int, int]]:
    """The share of a picture near its background, 0..1; and what stands before it: `_FOREGROUND`."""
    rows, columns = luma.shape
    near = _PLAIN // 4 * 4
    plain = _within(luma, background - 2 - near, background + 1 + near)
    before = np.logical_not(_within(luma, background - _LIT, background + _LIT))
    lit = np.count_nonzero(before)
    x, y, w, h = cv2.boundingRect(before.view(np.uint8)) if lit else (0, 0, 0, 0)
    share = round(10_000 * lit / luma.size) or int(lit > 0)
    top, bottom = round(200 * (y / rows)), round(200 * ((y + h) / rows))
    left, right = round(200 * (x / columns)), round(200 * ((x + w) / columns))
    return np.count_nonzero(plain) / luma.size, (share, top, bottom, left, right)


def _within(luma: NDArray[np.uint8], low: int, high: int) -> NDArray[np.bool_]:
    low, high = max(0, low), min(255, high)
    return luma - np.uint8(low) <= np.uint8(high - low)  # what is below wraps round and is larger


def _backgrounds(lumas: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most frequent luma of each of (n, rows, columns), of 64 levels, and the share of its samples near it."""
    levels = np.stack([cv2.calcHist([luma], [0], None, [64], [0, 256]).ravel() for luma in lumas])
    level = levels.argmax(axis=1)
    sums = np.zeros((len(lumas), 65))
    levels.cumsum(axis=1, out=sums[:, 1:])
    each = np.arange(len(lumas))
    near = sums[each, np.minimum(level + _PLAIN // 4 + 1, 64)] - sums[each, np.maximum(level - _PLAIN // 4, 0)]
    return level * 4 + 2, near / lumas[0].size


def _lettering(frame: Frame, dark: bool) -> bytes:
    """Lines of text, packed, as x, y, width, height in 1/1000 of the frame's width and height."""
    luma = shrunk_luma(frame, _LETTERING)
    rows, columns = luma.shape
    scale = np.array([1000 / columns, 1000 / rows, 1000 / columns, 1000 / rows])
    return bytes(np.rint(text_lines(luma, dark) * scale).astype("<i2"))
