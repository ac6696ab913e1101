"""The technical cues of a video as an analyser: what is kept of each frame, and the decision over all of them."""

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.analysis import Interval
from openrek.vision.video.cues.bars import SAMPLES, bars_likeness, vividness
from openrek.vision.video.cues.black import BlackRule, is_black
from openrek.vision.video.cues.decide import decide
from openrek.vision.video.cues.lettering import text_lines
from openrek.vision.video.cues.planes import sampled_chroma, sampled_luma, shrunk_luma
from openrek.vision.video.cues.seen import Glance, Seen
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo

_COLUMNS, _ROWS = 320, 90
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
        luma = sampled_luma(frame, _COLUMNS, _ROWS)
        rows, columns = luma.shape
        background, plain = _background(luma)
        off = _far(luma, background)
        lit = cv2.countNonZero(off)
        box = cv2.boundingRect(off) if lit else (0, 0, 0, 0)
        chroma = sampled_chroma(frame, *SAMPLES)
        bars, vivid = (bars_likeness(*chroma), vividness(*chroma)) if chroma is not None else (0.0, 0.0)
        # texture costs most and says least, so a full picture is looked at every other time
        look = frame.index % (self._every if plain >= _PLAIN_ENOUGH else 2 * self._every) == 0
        lines = _lettering(frame, dark=background > 127) if look else None
        return Glance(
            black=is_black(frame, self.rule),
            background=background,
            plain=round(200 * plain),
            lit=round(10_000 * lit / luma.size) or int(lit > 0),
            top=round(box[1] * 200 / rows),
            bottom=round((box[1] + box[3]) * 200 / rows),
            left=round(box[0] * 200 / columns),
            right=round((box[0] + box[2]) * 200 / columns),
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


def _far(luma: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """255 where a sample is far from the background, else 0."""
    return cv2.bitwise_not(np.asarray(cv2.inRange(luma, background - _LIT, background + _LIT), np.uint8))  # type: ignore[return-value]


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
