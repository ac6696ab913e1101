"""Cues that tile a video: overlaps resolved, the rest is content, neighbours share the frame between them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.analysis import Interval


class CueKind(StrEnum):
    """What a stretch of video is; named as the API names it."""

    BLACK_FRAMES = "BlackFrames"
    COLOR_BARS = "ColorBars"
    OPENING_CREDITS = "OpeningCredits"
    END_CREDITS = "EndCredits"
    SLATE = "Slate"
    STUDIO_LOGO = "StudioLogo"
    CONTENT = "Content"


PRECEDENCE = (
    CueKind.COLOR_BARS,
    CueKind.END_CREDITS,
    CueKind.OPENING_CREDITS,
    CueKind.SLATE,
    CueKind.STUDIO_LOGO,
    CueKind.BLACK_FRAMES,
)
"""Where two cues claim a frame, the earlier of these has it: the black between two cards belongs to the credits."""


@dataclass(frozen=True, slots=True)
class Span:
    """Frames start..end-1 that are found to be something; confidence 0.5..1."""

    kind: CueKind
    start: int
    end: int
    confidence: float


def tile(spans: Iterable[Span], count: int) -> tuple[Interval, ...]:
    """Cues from frame 0 to frame count - 1 without a gap, neighbours of one kind merged.

    count: frames of the video, at least 1. The `end` of a cue is the first frame of the next, or the last of the video.
    Its confidence is the mean of its frames'; content's is 1.
    """
    owner = np.full(count, -1, np.int8)
    sure = np.ones(count, np.float32)
    ranked = sorted(spans, key=lambda span: (-PRECEDENCE.index(span.kind), span.start))
    for span in ranked:
        owner[span.start : span.end] = PRECEDENCE.index(span.kind)
        sure[span.start : span.end] = span.confidence
    cues: list[Interval] = []
    for start, end in runs(owner):
        if start == count - 1 and cues:
            break  # a last frame alone has no length beside the cue that ends on it
        kind = PRECEDENCE[owner[start]] if owner[start] >= 0 else CueKind.CONTENT
        cues.append(Interval(kind, start, min(end, count - 1), float(round(sure[start:end].mean(dtype=np.float64), 4))))
    return tuple(cues)


def runs(values: NDArray[np.generic]) -> list[tuple[int, int]]:
    """(start, end) of the runs of equal values, end not included."""
    if not values.size:
        return []
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), values.size]
    return list(pairwise(edges))


def runs_of(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of the runs of True, end not included."""
    return [(start, end) for start, end in runs(mask) if mask[start]]


def without_gaps(mask: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """The mask with its inner gaps of at most `longest` frames filled."""
    out = mask.copy()
    for start, end in runs_of(~mask):
        if start > 0 and end < mask.size and end - start <= longest:
            out[start:end] = True
    return out
