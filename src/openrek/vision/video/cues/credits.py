"""Credits: text that rolls upwards at a constant speed, and sequences of cards of text on a plain ground."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.cues.seen import Line, Seen
from openrek.vision.video.cues.timeline import CueKind, Span

# lines, in 1/1000 of the frame
_SAME_X, _SAME_WIDTH, _SAME_HEIGHT = 9, 14, 12
_STILL = 6
"""A line that moved less up or down is still."""
_SAME_SPEED = 5
_FASTEST = 420
"""Up, from one look to the next."""
_CUT_OFF = 990
"""Lines that reach below this may still be coming in."""

_LEAST_PLAIN = 0.55
"""Share of a page that is ground."""
_SPARE = 0.012
"""Share of a page that may be neither ground nor within lines of text: rules, emblems."""
_SAME_GROUND = 14
"""Of 255."""
_STEP, _FADE = 0.4, 1.5
"""Seconds that a look speaks for frames before and after it: till the next look, and for slow fades."""
_EMPTY = 0.9


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the text of a frame.

    page: text on a plain ground and nothing else. moved: how far most lines have moved in `_STEP` seconds since
    the look before (1/1000, upwards negative), None where they cannot be found again; agreed: how many of them.
    """

    frame: int
    lines: tuple[Line, ...]
    page: bool
    moved: int | None
    agreed: int


@dataclass(slots=True)
class Stretch:
    """Frames start..end (end not included) of text. rolls: looks that rolled; cards: the looks at each still card."""

    start: int
    end: int
    rolls: int = 0
    rolled_lines: int = 0
    on_page: int = 0
    looks: int = 0
    cards: list[list[Look]] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """Lines of all cards."""
        return sum(len(card[0].lines) for card in self.cards)


def looks(seen: Seen) -> list[Look]:
    """Every look at text, in frame order."""
    found: list[Look] = []
    before: tuple[Line, ...] = ()
    last = 0
    usual = _STEP * float(seen.info.rate)
    for frame, lines in seen.lines:
        moved, agreed = _movement(before, lines)
        if moved is not None:
            moved = round(moved * usual / (frame - last))
        found.append(Look(frame, lines, _is_page(seen, frame, lines), moved, agreed))
        before, last = lines, frame
    return found


def _is_page(seen: Seen, frame: int, lines: tuple[Line, ...]) -> bool:
    if not lines or seen.plain[frame] < 200 * _LEAST_PLAIN or seen.bars[frame]:
        return False
    written = sum(w * h for _, _, w, h in lines) / 1e6
    return bool(seen.lit[frame] / 1e4 <= written + _SPARE)


def _movement(before: tuple[Line, ...], now: tuple[Line, ...]) -> tuple[int | None, int]:
    """How far the lines moved up or down as one, and how many of them did."""
    if not before or not now:
        return None, 0
    a, b = np.array(before)[:, None], np.array(now)[None]
    same = (
        (np.abs(a[..., 0] - b[..., 0]) <= _SAME_X)
        & (np.abs(a[..., 2] - b[..., 2]) <= np.maximum(_SAME_WIDTH, b[..., 2] // 16))
        & (np.abs(a[..., 3] - b[..., 3]) <= _SAME_HEIGHT)
    )
    steps = (b[..., 1] - a[..., 1])[same]
    steps = steps[(steps <= _STILL) & (steps >= -_FASTEST)]
    if not steps.size:
        return None, 0
    # the step that most lines share; of equals, the smallest movement
    votes = (np.abs(steps[:, None] - steps[None]) <= _SAME_SPEED).sum(axis=1)
    best = max(range(len(steps)), key=lambda i: (votes[i], -abs(int(steps[i]))))
    return int(np.median(steps[np.abs(steps - steps[best]) <= _SAME_SPEED])), int(votes[best])


def stretches(seen: Seen, found: list[Look], bridge: int) -> list[Stretch]:
    """Where text rolls, or stands on pages; neighbours less than `bridge` frames of plain ground apart are one."""
    rolling = _rolling(found)
    pieces: list[Stretch] = []
    for i, look in enumerate(found):
        if not (rolling[i] or look.page):
            continue
        piece = _grown(seen, look)
        if pieces and (piece.start <= pieces[-1].end or _is_bridge(seen, pieces[-1].end, piece.start, bridge)):
            last = pieces[-1]
            last.end = max(last.end, piece.end)
        else:
            pieces.append(piece)
            last = piece
        last.looks += 1
        last.on_page += look.page
        if rolling[i]:
            last.rolls += 1
            last.rolled_lines += look.agreed
        elif last.cards and _same_card(last.cards[-1][-1], look):
            last.cards[-1].append(look)
        else:
            last.cards.append([look])
    for piece in pieces:
        # text that rolls in begins with the first line that is in whole
        while piece.rolls and piece.start < piece.end - 1 and _enters(seen, piece.start):
            piece.start += 1
    return pieces


def _rolling(found: list[Look]) -> NDArray[np.bool_]:
    """Which looks belong to at least three in a row that moved up by the same step; more over a picture."""
    rolling = np.zeros(len(found), bool)
    start = 0
    for i in range(1, len(found) + 1):
        steady = (
            i < len(found)
            and i > start
            and _moves(found[i])
            and (i - 1 == start or abs(_step(found[i]) - _step(found[i - 1])) <= _SAME_SPEED)
        )
        if steady:
            continue
        run = found[start + 1 : i]
        pages = sum(look.page for look in run)
        if len(run) >= (3 if pages * 2 >= len(run) else 6) and sum(look.agreed for look in run) >= 2 * len(run) - 2:
            rolling[start:i] = True
        start = i if i < len(found) and not _moves(found[i]) else i - 1
        start = max(start, i - 1)
    return rolling


def _moves(look: Look) -> bool:
    if look.moved is None or look.moved >= -_STILL // 2:
        return False
    return look.page or (look.agreed >= 3 and look.agreed * 2 >= len(look.lines))


def _step(look: Look) -> int:
    return look.moved or 0


def _same_card(before: Look, now: Look) -> bool:
    still = now.moved is not None and abs(now.moved) <= _STILL
    return still and now.agreed * 3 >= 2 * max(len(before.lines), len(now.lines))


def _grown(seen: Seen, look: Look) -> Stretch:
    """The frames around a look that show text on the same ground, exactly; of a look over a picture, only itself."""
    at = look.frame
    if not look.page:
        return Stretch(at, at + 1)
    alike = _alike(seen, at)
    # the next look sees to the rest; but dim lettering on an empty ground is not seen as lines yet
    reach = round((_FADE if seen.plain[at] >= 200 * _EMPTY else _STEP) * float(seen.info.rate)) + 1
    start = at
    while start > max(0, at - reach) and alike(start - 1):
        start -= 1
    end = at + 1
    while end < min(seen.count, at + reach) and alike(end):
        end += 1
    return Stretch(start, end)


def _alike(seen: Seen, at: int) -> Callable[[int], bool]:
    ground, plain = int(seen.background[at]), int(seen.plain[at]) - 24
    lit = 2 * int(seen.lit[at]) + 100

    def check(frame: int) -> bool:
        same_ground = abs(int(seen.background[frame]) - ground) <= _SAME_GROUND
        return 0 < int(seen.lit[frame]) <= lit and same_ground and int(seen.plain[frame]) >= plain

    return check


def _enters(seen: Seen, frame: int) -> bool:
    """Whether all that is lit is a line that has not come in whole yet."""
    return bool(seen.bottom[frame] >= 200 and seen.top[frame] >= 180)


def _is_bridge(seen: Seen, start: int, end: int, longest: int) -> bool:
    if end - start > longest:
        return False
    gap = slice(start, end)
    return bool(np.all(seen.plain[gap] >= 190) and np.all(seen.bars[gap] == 0))


_BRIDGE = 4.0
"""Seconds of empty ground between two parts of one sequence of credits."""
_LEAST_CARD = 2
"""Looks (0.4 s apart) a card stands at least."""
_LEAST_LENGTH = 2.0
"""Seconds."""
_OPENING = 0.2
"""Opening credits begin before this share of the video."""
_CLOSING = 0.5
"""End credits have their middle after this share, or reach the end."""


def credit_spans(seen: Seen) -> tuple[list[Span], list[Stretch]]:
    """Opening and end credits; and the stretches of text that are neither."""
    rate = float(seen.info.rate)
    spans: list[Span] = []
    others: list[Stretch] = []
    for stretch in stretches(seen, looks(seen), round(_BRIDGE * rate)):
        sure = _surety(stretch)
        kind = _kind(stretch, seen.count)
        if sure < 0.5 or kind is None or stretch.end - stretch.start < _LEAST_LENGTH * rate:
            others.append(stretch)
        else:
            spans.append(Span(kind, stretch.start, stretch.end, sure))
    return spans, others


def _surety(stretch: Stretch) -> float:
    """How surely text is credits, 0..1: by how long it rolls, or how many cards there are."""
    cards = [card for card in stretch.cards if len(card) >= _LEAST_CARD]
    if stretch.rolls >= 3:
        paper = 0.1 if stretch.on_page * 2 >= stretch.looks else 0.0
        return min(1.0, 0.6 + paper + 0.03 * stretch.rolls)
    still = sum(len(card) for card in cards)
    if len(cards) >= 2 and still * 2 >= stretch.looks and sum(len(card[0].lines) for card in cards) >= 4:
        return min(0.95, 0.4 + 0.12 * len(cards))
    return 0.0


def _kind(stretch: Stretch, count: int) -> CueKind | None:
    middle = (stretch.start + stretch.end) / 2 / count
    if middle >= _CLOSING or stretch.end >= 0.95 * count:
        return CueKind.END_CREDITS
    if stretch.start <= _OPENING * count:
        return CueKind.OPENING_CREDITS
    return None
