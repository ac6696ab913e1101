"""The technical cues of a video as an analyser: what is kept of each frame, and the decision over all of them."""

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.analysis import Interval
from openrek.vision.video.cues.bars import FIRST_SAMPLES, SAMPLES, bars_likeness, first_look
from openrek.vision.video.cues.black import BlackRule, passes
from openrek.vision.video.cues.decide import decide
from openrek.vision.video.cues.lettering import text_lines
from openrek.vision.video.cues.planes import shrunk_luma, stored_chroma, stored_luma, thinned
from openrek.vision.video.cues.seen import Glance, Seen
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo

_COARSE, _FINE = (80, 45), (320, 90)
"""Columns and rows of luma that are looked at: in every frame, and where there may be a plain background."""
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
    version = 1
    step: Fraction | None = None
    lead = 0
    hears = True

    def __init__(self, rule: BlackRule | None = None, least: float = 0.5) -> None:
        """rule: when a frame is black. least: what is less sure than this (0.5..1) becomes content."""
        self.rule = rule or BlackRule()
        self.least = least
        self._every = 10

    def begin(self, info: VideoInfo) -> None:
        """Take the video's frame rate; no frame depends on another."""
        self._every = lettering_step(info)

    def observe(self, frame: Frame) -> bytes:
        """A glance at one frame: the black test on all its pixels, the rest on a few thousand samples."""
        luma, bits = stored_luma(frame)
        turn = frame.orientation
        background, plain = _background(thinned(luma, bits, turn, *_COARSE))
        lit, box = 1.0, (0.0, 0.0, 1.0, 1.0)
        if plain >= _PLAIN_AT_ALL:
            background, plain, lit, box = _foreground(thinned(luma, bits, turn, *_FINE))
        bars = vivid = 0.0
        if (chroma := stored_chroma(frame)) is not None:
            maybe, vivid = first_look(*(thinned(plane, bits, turn, *FIRST_SAMPLES) for plane in chroma))
            if maybe:
                bars = bars_likeness(*(thinned(plane, bits, turn, *SAMPLES) for plane in chroma))
        # texture costs most and says least, so a full picture is looked at every other time
        look = frame.index % (self._every if plain >= _PLAIN_ENOUGH else 2 * self._every) == 0
        lines = _lettering(frame, dark=background > 127) if look else None
        return Glance(
            black=passes(frame, luma, bits, self.rule),
            background=background,
            plain=round(200 * plain),
            lit=round(10_000 * lit) or int(lit > 0),
            top=round(200 * box[1]),
            bottom=round(200 * box[3]),
            left=round(200 * box[0]),
            right=round(200 * box[2]),
            bars=round(200 * bars),
            vivid=round(200 * vivid),
            lines=lines,
        ).packed()

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, bytes]]) -> tuple[Interval, ...]:
        """All cues of the video, from its first frame to its last."""
        return decide(Seen.gather(info, observations), self.rule, self.least)


def lettering_step(info: VideoInfo) -> int:
    """Every how many frames lines of text are sought."""
    return max(2, round(float(_LETTERING_STEP * info.rate)))


def _foreground(luma: NDArray[np.uint8]) -> tuple[int, float, float, tuple[float, float, float, float]]:
    """Background and its share; the share of what stands before it, and that one's left, top, right, bottom, 0..1."""
    rows, columns = luma.shape
    background, plain = _background(luma)
    near = np.asarray(cv2.inRange(luma, background - _LIT, background + _LIT), np.uint8)
    lit = luma.size - cv2.countNonZero(near)
    x, y, w, h = cv2.boundingRect(cv2.bitwise_not(near)) if lit else (0, 0, 0, 0)
    return background, plain, lit / luma.size, (x / columns, y / rows, (x + w) / columns, (y + h) / rows)


def _background(luma: NDArray[np.uint8]) -> tuple[int, float]:
    """The most frequent luma (of 64 levels), and the share of samples that are near it."""
    levels = cv2.calcHist([luma], [0], None, [64], [0, 256]).ravel()
    level = int(levels.argmax())
    near = levels[max(0, level - _PLAIN // 4) : level + _PLAIN // 4 + 1].sum()
    return level * 4 + 2, float(near) / luma.size


def _lettering(frame: Frame, dark: bool) -> tuple[tuple[int, int, int, int], ...]:
    """Lines of text as x, y, width, height in 1/1000 of the frame's width and height."""
    luma = shrunk_luma(frame, _LETTERING)
    rows, columns = luma.shape
    scale = np.array([1000 / columns, 1000 / rows, 1000 / columns, 1000 / rows])
    boxes = np.rint(text_lines(luma, dark) * scale).astype(np.int64)
    return tuple((int(x), int(y), int(w), int(h)) for x, y, w, h in boxes)
