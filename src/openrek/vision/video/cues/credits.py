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
_ALIGNED = 14
_SHARED = 0.7
"""Of the wider of two lines, from which they may be one and the same that has joined with something."""
_LEAST_ROWS, _LEAST_LOOKS, _MOST_RISES = 2, 5, 12
"""Rows in one look from which a roll over a picture is followed, looks it takes, and steps that a look may tell."""
_PROOF = 12
"""Rows in a column, less twice those beside it, that prove a roll over a picture."""

_LEAST_PLAIN = 0.55
"""Share of a page that is ground."""
_SPARE = 0.012
"""Share of a page that may be neither ground nor within lines of text: rules, emblems."""
_SAME_INK, _SAME_PLACE, _GROWTH = 20, 5, 8
_SAME_GROUND = 14
"""Of 255."""
_STEP, _FADE = 0.4, 1.5
"""Seconds that a look speaks for frames before and after it: till the next look, and for slow fades."""
_EMPTY = 0.85


@dataclass(frozen=True, slots=True)
class Rise:
    """Rows of lettering (x, y, width, height) that may have moved up since the look before, by `step` (negative)."""

    step: int
    rows: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the text of a frame.

    page: text on a plain ground and nothing else. lit: of the frame, as in `Glance`. moved: how far most lines have
    moved in `_STEP` seconds since the look before (1/1000, upwards negative), None where they cannot be found again;
    agreed: how many of them.
    rises: what does not stand still may have moved up by these steps. since: frames since the look before.
    """

    frame: int
    lines: tuple[Line, ...]
    page: bool
    lit: int
    moved: int | None
    agreed: int
    rises: tuple[Rise, ...]
    since: int


@dataclass(slots=True)
class Stretch:
    """Frames start..end (end not included) of text. rolls: looks that rolled; cards: the looks at each still card."""

    start: int
    end: int
    rolls: int = 0
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
        page = _is_page(seen, frame, lines)
        rises = () if page else _rises(before, lines)
        found.append(Look(frame, lines, page, int(seen.lit[frame]), moved, agreed, rises, frame - last))
        before, last = lines, frame
    return found


def _is_page(seen: Seen, frame: int, lines: tuple[Line, ...]) -> bool:
    if not lines or seen.plain[frame] < 200 * _LEAST_PLAIN or seen.bars[frame]:
        return False
    written = sum(w * h for _, _, w, h in lines) / 1e6
    return bool(seen.lit[frame] / 1e4 <= written + _SPARE)


def _movement(before: tuple[Line, ...], now: tuple[Line, ...]) -> tuple[int | None, int]:
    """How far the lines moved up or down as one, and how many of them did; 0 where any stands still beside few."""
    if not before or not now:
        return None, 0
    a, b = np.array(before)[:, None], np.array(now)[None]
    same = _same_size(a, b)
    steps = b[..., 1] - a[..., 1]
    still = (same & (np.abs(steps) <= _STILL)).any(axis=0)
    rising = same & ~still & (steps < -_STILL) & (steps >= -_FASTEST)
    rose = steps[rising]
    if rose.size:
        # the step that most lines share; of equals, the smallest
        votes = (np.abs(rose[:, None] - rose[None]) <= _SAME_SPEED).sum(axis=1)
        best = int(rose[max(range(len(rose)), key=lambda i: (votes[i], int(rose[i])))])
        along = (rising & (np.abs(steps - best) <= _SAME_SPEED)).any(axis=0)
        count = int(np.count_nonzero(along))
        # an emblem or a rule stands still beside those that roll
        if not still.any() or (count >= 3 and _column(b[0, along])[1] * 3 >= 2 * count):
            return best, count
    return (0, int(np.count_nonzero(still))) if still.any() else (None, 0)


def _same_size(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(
        (np.abs(a[..., 0] - b[..., 0]) <= _SAME_X)
        & (np.abs(a[..., 2] - b[..., 2]) <= np.maximum(_SAME_WIDTH, b[..., 2] // 16))
        & (np.abs(a[..., 3] - b[..., 3]) <= _SAME_HEIGHT)
    )


def _rises(before: tuple[Line, ...], now: tuple[Line, ...]) -> tuple[Rise, ...]:
    """Steps by which pieces of lettering may have moved up over a picture, those that most agree on first.

    The picture's own lines stand still; or they join with lettering, whose upper or lower edge is still seen then.
    """
    if not before or not now:
        return ()
    a, b = np.array(before)[:, None], np.array(now)[None]
    still = _same_size(a, b) & (np.abs(b[..., 1] - a[..., 1]) <= _STILL)
    a, b = a[~still.any(axis=1)], b[:, ~still.any(axis=0)]
    edges = _edge_steps(a, b)
    along = (_overlap(a, b) >= _SHARED) & (edges < -_STILL) & (edges >= -_FASTEST)
    steps, places = edges[along], np.nonzero(along)[2]
    rises: list[Rise] = []
    while steps.size and len(rises) < _MOST_RISES:
        near = np.abs(steps[:, None] - steps[None]) <= _SAME_SPEED
        best = near[near.sum(axis=1).argmax()]
        rises.append(Rise(int(np.median(steps[best])), _rows(b[0, np.unique(places[best])])))
        steps, places = steps[~best], places[~best]
    return tuple(rises)


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much of the wider of two lines they share from left to right, 0..1."""
    shared = np.minimum(a[..., 0] + a[..., 2], b[..., 0] + b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    return np.asarray(shared / np.maximum(np.maximum(a[..., 2], b[..., 2]), 1), np.float64)


def _edge_steps(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, before, now) how far the upper and the lower edges of lines moved down."""
    top = b[..., 1] - a[..., 1]
    return np.stack([top, top + b[..., 3] - a[..., 3]])


def _rows(lines: NDArray[np.int64]) -> tuple[Line, ...]:
    """Lines that stand side by side as one."""
    rows: list[Line] = []
    for x, y, w, h in lines[np.argsort(lines[:, 1], kind="stable")].tolist():
        if rows and y < rows[-1][1] + rows[-1][3] // 2:
            left, top, width, height = rows.pop()
            right, bottom = max(left + width, x + w), max(top + height, y + h)
            x, y, w, h = min(left, x), top, right - min(left, x), bottom - top
        rows.append((x, y, w, h))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Column:
    """Where lines have their left edges (part 0), their middles (0.5) or their right edges (1) below one another."""

    part: float
    x: float

    def holds(self, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of lines (n, 4) stand in it."""
        return np.asarray(np.abs(lines[:, 0] + self.part * lines[:, 2] - self.x) <= _ALIGNED)


def _column(lines: NDArray[np.int64]) -> tuple[Column, int]:
    """The column in which most lines stand, and how many do."""
    found: list[tuple[int, Column]] = []
    for part in (0.5, 0.0, 1.0):
        at = lines[:, 0] + part * lines[:, 2]
        near = np.abs(at[:, None] - at[None]) <= _ALIGNED
        best = near[near.sum(axis=1).argmax()]
        found.append((int(np.count_nonzero(best)), Column(part, float(np.median(at[best])))))
    count, column = max(found, key=lambda each: each[0])
    return column, count


@dataclass(frozen=True, slots=True)
class Roll:
    """Looks first..last that show text rolling. page: on a plain ground; else start..end-1 are its frames."""

    first: int
    last: int
    page: bool
    start: int = 0
    end: int = 0


def stretches(seen: Seen, found: list[Look], bridge: int) -> list[Stretch]:
    """Where text rolls, or stands on pages; neighbours less than `bridge` frames of plain ground apart are one."""
    rolls = {i: roll for roll in _rolls(seen, found) for i in range(roll.first, roll.last + 1)}
    pieces: list[Stretch] = []
    for i, look in enumerate(found):
        roll = rolls.get(i)
        if roll is None and not look.page:
            continue
        piece = _grown(seen, look) if roll is None or roll.page else Stretch(roll.start, roll.end)
        if pieces and (piece.start <= pieces[-1].end or _is_bridge(seen, pieces[-1].end, piece.start, bridge)):
            last = pieces[-1]
            last.end = max(last.end, piece.end)
        else:
            pieces.append(piece)
            last = piece
        last.looks += 1
        last.on_page += look.page
        if roll is not None:
            last.rolls += 1
        elif last.cards and _same_card(last.cards[-1][-1], look):
            last.cards[-1].append(look)
        else:
            last.cards.append([look])
    for piece in pieces:
        # text that rolls in begins with the first line that is in whole
        while piece.rolls and piece.on_page and piece.start < piece.end - 1 and _enters(seen, piece.start):
            piece.start += 1
    return pieces


def _rolls(seen: Seen, found: list[Look]) -> list[Roll]:
    """Runs of looks that moved up by equal steps."""
    rolls: list[Roll] = []
    first = 0
    for i in range(1, len(found) + 1):
        moves = i < len(found) and _moves(found[i])
        if moves and first and abs(_step(found[i]) - _step(found[i - 1])) <= _SAME_SPEED:
            continue
        run = found[first:i]
        # the look before the first step showed the same lines
        paged = sum(look.page for look in run) * 2 >= len(run) and sum(look.agreed for look in run) >= 2 * len(run) - 2
        if first and len(run) >= 3 and paged:
            empty = np.median([seen.plain[look.frame] for look in run]) >= 200 * _EMPTY
            step = float(np.median([_step(look) for look in run]))
            exact = None if empty else _over_picture(seen, found, first - 1, i - 1, step)
            rolls.append(exact or Roll(first - 1, i - 1, page=True))
        first = i if moves else 0
    return sorted([*rolls, *_rolls_over_pictures(seen, found, rolls)], key=lambda roll: roll.first)


def _rolls_over_pictures(seen: Seen, found: list[Look], known: list[Roll]) -> list[Roll]:
    """Runs of looks in which lettering moved up at one speed over a picture, those with most of it first."""
    taken = {i for roll in known for i in range(roll.first, roll.last + 1)}
    runs: list[dict[int, Rise]] = []
    for i, look in enumerate(found):
        for rise in look.rises:
            if len(rise.rows) < _LEAST_ROWS or any(run.get(i) is rise for run in runs):
                continue
            runs.append(_run_at(found, i, rise.step / look.since))
    rolls: list[Roll] = []
    for run in sorted(runs, key=lambda run: -sum(len(rise.rows) for rise in run.values())):
        column = None if not taken.isdisjoint(run) else _proven(run)
        if column is None:
            continue
        step = float(np.median([rise.step / found[i].since for i, rise in run.items()]))
        roll = _over_picture(seen, found, min(run) - 1, max(run), step * _STEP * float(seen.info.rate), column)
        if roll is not None:
            rolls.append(roll)
            taken.update(range(roll.first, roll.last + 1), run)
    return rolls


def _run_at(found: list[Look], first: int, speed: float) -> dict[int, Rise]:
    """What rises at a speed (1/1000 a frame) from a look on, by look; one look may fail, two end it."""
    run: dict[int, Rise] = {}
    for i in range(first, len(found)):
        look = found[i]
        there = [rise for rise in look.rises if abs(rise.step - speed * look.since) <= _SAME_SPEED]
        if there:
            run[i] = max(there, key=lambda rise: len(rise.rows))
        elif i - max(run) > 1:
            break
    return run


def _proven(run: dict[int, Rise]) -> Column | None:
    """The column of lettering that is seen to roll for long enough; what a tilted camera sees stands in none."""
    if len(run) < _LEAST_LOOKS or len(run) * 3 < 2 * (max(run) - min(run) + 1):
        return None
    rows = np.array([row for rise in run.values() for row in rise.rows])
    column, inside = _column(rows)
    return column if inside - 2 * (len(rows) - inside) >= _PROOF else None


def _over_picture(
    seen: Seen, found: list[Look], first: int, last: int, step: float, column: Column | None = None
) -> Roll | None:
    """The whole of text that rolls over a picture, of which looks first..last are sure, by `step` in `_STEP` seconds.

    Before and after them single lines that move at the same speed tell it from the picture; that speed says in which
    frame the first line was in whole, and in which the last one was gone.
    """
    speed = -step / _STEP  # in 1/1000 a second
    rate = float(seen.info.rate)
    while first > 0 and _at_speed(found[first - 1], found[first], speed, rate, column):
        first -= 1
    while last + 1 < len(found) and _at_speed(found[last], found[last + 1], speed, rate, column):
        last += 1
    while first < last and not _at_speed(found[first], found[first + 1], speed, rate, column):
        first += 1
    while first < last and not _at_speed(found[last - 1], found[last], speed, rate, column):
        last -= 1
    if first == last:
        return None
    rising = [line for line, _ in _pairs(found[first], found[first + 1], speed, rate, column)]
    leaving = [line for _, line in _pairs(found[last - 1], found[last], speed, rate, column)]
    _, top, _, height = min(rising, key=lambda line: line[1])
    start = round(found[first].frame - max(0, 1000 - top - height) / speed * rate)
    end = round(found[last].frame + max(y + h for _, y, _, h in leaving) / speed * rate)
    # but not as far as a look that did not see them any more, nor into black
    if first:
        start = max(start, found[first - 1].frame)
    if last + 2 < len(found):
        end = min(end, found[last + 2].frame)
    dark = np.flatnonzero(seen.black[found[last].frame : end])
    if dark.size and dark[0]:
        end = found[last].frame + int(dark[0])
    return Roll(first, last, False, max(0, start), min(seen.count, end))


def _at_speed(before: Look, now: Look, speed: float, rate: float, column: Column | None) -> bool:
    return bool(_pairs(before, now, speed, rate, column))


def _pairs(before: Look, now: Look, speed: float, rate: float, column: Column | None) -> list[tuple[Line, Line]]:
    """Lines of one look that are found again in the next, moved up at a speed."""
    rise = speed * (now.frame - before.frame) / rate
    if not before.lines or not now.lines:
        return []
    a, b = np.array(before.lines)[:, None], np.array(now.lines)[None]
    along = (np.abs(_edge_steps(a, b) + rise) <= _SAME_SPEED).any(axis=0) & (_overlap(a, b) >= _SHARED)
    if column is not None:
        along &= column.holds(a[:, 0])[:, None] | column.holds(b[0])
    return [(before.lines[i], now.lines[k]) for i, k in np.argwhere(along).tolist()]


def _moves(look: Look) -> bool:
    if look.moved is None or look.moved >= -_STILL // 2:
        return False
    return look.page or look.agreed >= 2


def _step(look: Look) -> int:
    return look.moved or 0


def _same_card(before: Look, now: Look) -> bool:
    """Whether two looks show the same text: most lines in the same place, and as much ink."""
    inked = abs(now.lit - before.lit) <= max(3, before.lit // _SAME_INK)
    same = sum(any(max(map(abs, np.subtract(a, b))) <= _SAME_PLACE for a in before.lines) for b in now.lines)
    return inked and same * 3 >= 2 * max(len(before.lines), len(now.lines))


def _alike_lines(before: Look, now: Look) -> bool:
    """Whether every line stands where one of about its size stood before."""
    return all(any(max(map(abs, np.subtract(a, b))) <= _GROWTH for a in before.lines) for b in now.lines)


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
_MOST_CARDS = 0.85
"""Share of a video that still cards may fill; a video of text alone (slides, a test counter) has no credits."""
_LAST, _LIST = 0.95, 4
"""A single card is the end credits where it ends after this share of the video and has so many lines."""
_SUBTITLES = 750
"""Lines that begin below this, in 1/1000 of the height, are subtitles."""
_OPENING = 0.2
"""Opening credits begin before this share of the video."""
_CLOSING, _AFTER, _AFTER_SECONDS = 0.5, 0.2, 300
"""After end credits comes at most this share of the video and so many seconds of programme; or they roll, have their
middle after `_CLOSING`, and what comes after (a last scene) is no longer than they are."""


def credit_spans(seen: Seen) -> tuple[list[Span], list[Stretch]]:
    """Opening and end credits; and the stretches of text that are neither."""
    rate = float(seen.info.rate)
    spans: list[Span] = []
    others: list[Stretch] = []
    programme = ~seen.black
    for stretch in reversed(stretches(seen, looks(seen), round(_BRIDGE * rate))):
        sure = _surety(stretch, seen.count)
        kind = _kind(stretch, seen.count, int(np.count_nonzero(programme[stretch.end :])), rate)
        if sure < 0.5 or kind is None or stretch.end - stretch.start < _LEAST_LENGTH * rate:
            others.append(stretch)
        else:
            spans.append(Span(kind, stretch.start, stretch.end, sure))
            programme[stretch.start : stretch.end] = False
    return spans[::-1], others[::-1]


def _surety(stretch: Stretch, count: int) -> float:
    """How surely text is credits, 0..1: by how long it rolls, or how many cards there are."""
    cards = [card for card in stretch.cards if len(card) >= _LEAST_CARD]
    if stretch.rolls >= 3:
        paper = 0.1 if stretch.on_page * 2 >= stretch.looks else 0.0
        return min(1.0, 0.6 + paper + 0.03 * stretch.rolls)
    if stretch.end - stretch.start > _MOST_CARDS * count:
        return 0.0  # cards of a programme that is not there
    still = sum(len(card) for card in cards)
    # one text that fades, or grows a little, is one card: a title, a logo
    cards = [card for i, card in enumerate(cards) if not i or not _alike_lines(cards[i - 1][-1], card[0])]
    lines = sum(len(card[0].lines) for card in cards)
    if still * 2 < stretch.looks or all(line[1] >= _SUBTITLES for card in cards for line in card[0].lines):
        return 0.0
    if len(cards) >= 2 and lines >= (4 if len(cards) == 2 else 3):
        return min(0.95, 0.4 + 0.12 * len(cards))
    # a single page at the very end that lists names
    alone = stretch.start >= _CLOSING * count and stretch.end >= _LAST * count
    return 0.55 if alone and lines >= _LIST else 0.0


def _kind(stretch: Stretch, count: int, after: int, rate: float) -> CueKind | None:
    """after: frames of programme after it."""
    late = stretch.rolls >= 3 and (stretch.start + stretch.end) / 2 >= _CLOSING * count
    if after <= min(_AFTER * count, _AFTER_SECONDS * rate) or (late and after <= stretch.end - stretch.start):
        return CueKind.END_CREDITS
    if stretch.start <= _OPENING * count:
        return CueKind.OPENING_CREDITS
    return None
