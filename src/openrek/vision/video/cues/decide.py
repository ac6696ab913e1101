"""The decision over a whole video: which frames are which cue."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.analysis import Interval
from openrek.vision.video.cues.black import BlackRule
from openrek.vision.video.cues.credits import credit_spans
from openrek.vision.video.cues.openers import opener_spans
from openrek.vision.video.cues.seen import LIGHT, Seen
from openrek.vision.video.cues.timeline import CueKind, Span, runs_of, tile, without_gaps
from openrek.vision.video.info import VideoInfo

_BARS_GAP, _BARS_LEAST = 0.5, 0.4
"""Seconds that bars may flicker, and last at least."""

_FADE_ON = 0.4
"""Seconds after its black frames in which a fade has come far enough to show that there is a picture."""
_PICTURE = 0.9
"""Share of the frame near its background from which it is one colour."""
_VISIBLE, _LEAST_FALL, _EVEN_FALL = 3.0, 0.2, 3.0
"""Of 255: how much lighter than the black a picture is seen, and gets from frame to frame at least. The step into the
black is at most so many times those within: a cut is no fade."""

_SMEAR = 0.07
"""Seconds of sound at the edge of black that are still silence: codecs and rooms let sound ring on."""
_PAUSE = 0.4
"""Seconds of silence amid sound that are a pause in it."""


def decide(seen: Seen, rule: BlackRule, least: float = 0.5) -> tuple[Interval, ...]:
    """All cues of a video, from the first frame to the last.

    least: findings less sure than this (0.5..1) are content.
    """
    bars = bar_spans(seen)
    spans = [*bars, *black_spans(seen, rule)]
    credits, texts = credit_spans(seen)
    spans += credits
    spans += opener_spans(seen, texts, spans)
    return tile((span for span in spans if span.confidence >= least), seen.count)


def bar_spans(seen: Seen) -> list[Span]:
    """Runs of colour bars."""
    rate = float(seen.info.rate)
    mask = without_gaps(seen.bars > 0, round(_BARS_GAP * rate))
    least = min(seen.count, max(2, round(_BARS_LEAST * rate)))
    return [
        Span(CueKind.COLOR_BARS, start, end, 0.5 + 0.5 * float(seen.bars[start:end].mean()) / 200)
        for start, end in runs_of(mask)
        if end - start >= least
    ]


def black_spans(seen: Seen, rule: BlackRule) -> list[Span]:
    """Runs of black frames without sound, one frame long or longer."""
    black = seen.black if rule.exact else seen.black & ~faded(seen)
    silent = silence(seen.info, black, rule.silence)
    return [Span(CueKind.BLACK_FRAMES, start, end, 1.0) for start, end in runs_of(black & silent)]


def faded(seen: Seen) -> NDArray[np.bool_]:
    """(count,) the frames at the edges of black in which a picture is dimly seen that comes out of it, or goes into it.

    The light rises from frame to frame up to the edge and on beyond it, and what comes is a picture, not one colour.
    """
    dim = np.zeros(seen.count, bool)
    light = seen.light / LIGHT
    within = max(1, round(_FADE_ON * float(seen.info.rate)))
    for start, end in runs_of(seen.black):
        visible = float(light[start:end].min()) + _VISIBLE
        if end < seen.count and seen.plain[end : end + within].min() <= 200 * _PICTURE:
            dim[end - _dim_frames(light[start : end + 1][::-1], visible) : end] = True
        if start > 0 and seen.plain[max(0, start - within) : start].min() <= 200 * _PICTURE:
            dim[start : start + _dim_frames(light[start - 1 : end], visible)] = True
    return dim


def _dim_frames(light: NDArray[np.float64], visible: float) -> int:
    """How many frames of black a picture is dimly seen in. light: from the frame beyond the edge inwards."""
    falls = -np.diff(light)
    dim = (falls >= _LEAST_FALL) & (light[1:] > visible)
    count = int(np.argmin(dim))  # the darkest frame is not
    if not count or falls[0] > _EVEN_FALL * float(np.median(falls[1 : count + 1])):
        return 0
    return count


def silence(info: VideoInfo, black: NDArray[np.bool_], level: float) -> NDArray[np.bool_]:
    """(count,) whether a black frame is silent. level: dBFS; every stream has to be below it. True without sound."""
    silent = np.ones(len(black), bool)
    if info.loudness is None or not len(info.loudness.dbfs):
        return silent
    rate = float(info.rate)
    smear, pause = round(_SMEAR * rate), round(_PAUSE * rate)
    for start, end in runs_of(black):
        times = [info.clock.timestamp_ms(frame) for frame in range(start, end)]
        times.append(info.clock.timestamp_ms(end) if end < len(black) else info.clock.end_ms)
        loud = np.array([info.loudness.between(a, b) >= level for a, b in pairwise(times)])
        if loud.all():
            silent[start:end] = False
            continue
        for a, b in runs_of(loud):
            if (a == 0 or b == len(loud)) and b - a <= smear:
                loud[a:b] = False
        for a, b in runs_of(~loud):
            if b - a <= pause and a > 0 and b < len(loud):
                loud[a:b] = True
        silent[start:end] = ~loud
    return silent
