"""What stands before a programme: slates, title cards, and the emblems of studios."""

import numpy as np

from openrek.vision.video.cues.credits import Stretch
from openrek.vision.video.cues.seen import Line, Seen
from openrek.vision.video.cues.timeline import CueKind, Span, runs_of

_EARLY = 180.0
"""Seconds within which all of these begin."""
_BEFORE = 2.0
"""Seconds of anything but cues that may precede them."""

_SLATE_ROWS, _SLATE_FLUSH = 4, 3
"""Rows of a slate; as many of one left edge do as well."""
_SLATE_LEAST, _SLATE_MOST = 1.0, 90.0

_VIVID = 0.62
"""Share of a painted card that is one vivid hue; a close view of a flower has less."""
_PAINTED_LINES = 24
_PAINTED_LEAST, _PAINTED_MOST = 0.5, 20.0

_LOGO_LEAST, _LOGO_MOST = 1.2, 20.0
_LOGO_PLAIN = 0.55
_LOGO_MARGIN, _LOGO_OFF_CENTRE = 12, 16
"""Of 200: clear space on every side, and how far its middle may be from the frame's."""
_LOGO_SPECKS, _LOGO_LIT = 5, 60
"""Of 10,000: what counts as nothing, and the least it covers when all of it is seen."""


def opener_spans(seen: Seen, texts: list[Stretch], known: list[Span]) -> list[Span]:
    """Slates and logos. texts: text that is no credits; known: cues found so far."""
    found = slate_spans(seen, texts, known)
    found += painted_spans(seen, [*known, *found])
    return found + logo_spans(seen, [*known, *found])


def slate_spans(seen: Seen, texts: list[Stretch], known: list[Span]) -> list[Span]:
    """A card of several rows of text before the programme."""
    rate = float(seen.info.rate)
    found: list[Span] = []
    for text in texts:
        if not text.cards or not _SLATE_LEAST * rate <= text.end - text.start <= _SLATE_MOST * rate:
            continue
        card = max(text.cards, key=len)
        lines = card[len(card) // 2].lines
        rows = _rows(lines)
        flush = max(sum(abs(line[0] - other[0]) <= 12 for other in lines) for line in lines)
        if rows < _SLATE_ROWS and flush < _SLATE_FLUSH:
            continue
        if len(card) * 2 < text.looks or seen.count - text.end < rate:
            continue
        if not _is_early(seen, text.start, [*known, *found]):
            continue
        sure = 0.55 + 0.05 * min(4, rows - 2) + (0.2 if flush >= _SLATE_FLUSH else 0.0)
        found.append(Span(CueKind.SLATE, text.start, text.end, min(1.0, sure)))
    return found


def painted_spans(seen: Seen, known: list[Span]) -> list[Span]:
    """A card painted in one vivid hue and full of lettering before the programme: a programme's own title card."""
    rate = float(seen.info.rate)
    found: list[Span] = []
    for start, end in runs_of((seen.vivid >= 200 * _VIVID) & (seen.bars == 0)):
        if start > _EARLY * rate:
            break
        if not _PAINTED_LEAST * rate <= end - start <= _PAINTED_MOST * rate or seen.count - end < rate:
            continue
        written = [len(lines) for frame, lines in seen.lines if start <= frame < end]
        if not written or np.median(written) < _PAINTED_LINES or not _is_early(seen, start, [*known, *found]):
            continue
        found.append(Span(CueKind.SLATE, start, end, 0.6))
    return found


def logo_spans(seen: Seen, known: list[Span]) -> list[Span]:
    """An emblem that comes out of a plain ground and goes back into it, alone in the middle of the frame."""
    rate = float(seen.info.rate)
    found: list[Span] = []
    empty = seen.lit <= _LOGO_SPECKS
    plain = (seen.plain >= 200 * _LOGO_PLAIN) & (seen.bars == 0)
    margins = np.minimum.reduce([seen.top, seen.left, 200 - seen.bottom, 200 - seen.right]) >= _LOGO_MARGIN
    middle = np.abs(seen.left.astype(np.int16) + seen.right - 200) <= 2 * _LOGO_OFF_CENTRE
    for start, end in runs_of(plain & ~empty & margins & middle):
        if start > _EARLY * rate:
            break
        if not _LOGO_LEAST * rate <= end - start <= _LOGO_MOST * rate or seen.count - end < rate:
            continue
        grounds = seen.background[start:end]
        alone = (start == 0 or empty[start - 1]) and empty[end]
        if not alone or int(grounds.max()) - int(grounds.min()) > 16:
            continue
        if seen.lit[start:end].max() < _LOGO_LIT or not _is_early(seen, start, [*known, *found]):
            continue
        if _only_text(seen, start, end):
            continue
        found.append(Span(CueKind.STUDIO_LOGO, start, end, 0.7))
    return found


def _is_early(seen: Seen, start: int, known: list[Span]) -> bool:
    """Whether little but cues stands before a frame, near the start of the video."""
    rate = float(seen.info.rate)
    covered = np.zeros(start, bool)
    for span in known:
        covered[span.start : span.end] = True
    return start <= _EARLY * rate and int(np.count_nonzero(~covered)) <= _BEFORE * rate


def _only_text(seen: Seen, start: int, end: int) -> bool:
    """Whether lines of text are all that is there."""
    looked = [(frame, lines) for frame, lines in seen.lines if start <= frame < end]
    written = [sum(w * h for _, _, w, h in lines) / 100 for frame, lines in looked]
    lit = [int(seen.lit[frame]) for frame, _ in looked]
    return bool(sum(lit) <= 0.75 * sum(written))


def _rows(lines: tuple[Line, ...]) -> int:
    """How many rows the lines stand in: those side by side are one."""
    rows = 0
    bottom = -1
    for _, y, _, h in sorted(lines, key=lambda line: line[1]):
        if y >= bottom - h // 3:
            rows += 1
            bottom = y + h
        else:
            bottom = max(bottom, y + h)
    return rows
