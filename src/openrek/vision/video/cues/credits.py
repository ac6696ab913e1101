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
class Look:
    """One look at the text of a frame.

    page: text on a plain ground and nothing else. lit: of the frame, as in `Glance`. moved: how far most lines have
    moved in `_STEP` seconds since the look before (1/1000, upwards negative), None where they cannot be found again;
    agreed: how many of them; column: whether those stand in one column.
    """

    frame: int
    lines: tuple[Line, ...]
    page: bool
    lit: int
    moved: int | None
    agreed: int
    column: bool


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
        moved, agreed, column = _movement(before, lines)
        if moved is not None:
            moved = round(moved * usual / (frame - last))
        page = _is_page(seen, frame, lines)
        found.append(Look(frame, lines, page, int(seen.lit[frame]), moved, agreed, column))
        before, last = lines, frame
    return found


def _is_page(seen: Seen, frame: int, lines: tuple[Line, ...]) -> bool:
    if not lines or seen.plain[frame] < 200 * _LEAST_PLAIN or seen.bars[frame]:
        return False
    written = sum(w * h for _, _, w, h in lines) / 1e6
    return bool(seen.lit[frame] / 1e4 <= written + _SPARE)


def _movement(before: tuple[Line, ...], now: tuple[Line, ...]) -> tuple[int | None, int, bool]:
    """How far the lines moved up or down as one, how many of them did, and whether they stand in one column."""
    if not before or not now:
        return None, 0, False
    a, b = np.array(before)[:, None], np.array(now)[None]
    same = (
        (np.abs(a[..., 0] - b[..., 0]) <= _SAME_X)
        & (np.abs(a[..., 2] - b[..., 2]) <= np.maximum(_SAME_WIDTH, b[..., 2] // 16))
        & (np.abs(a[..., 3] - b[..., 3]) <= _SAME_HEIGHT)
    )
    steps = b[..., 1] - a[..., 1]
    still = (same & (np.abs(steps) <= _STILL)).any(axis=0)
    rising = same & ~still & (steps < -_STILL) & (steps >= -_FASTEST)
    rose = steps[rising]
    if rose.size:
        # the step that most lines share; of equals, the smallest
        votes = (np.abs(rose[:, None] - rose[None]) <= _SAME_SPEED).sum(axis=1)
        best = int(rose[max(range(len(rose)), key=lambda i: (votes[i], int(rose[i])))])
        along = (rising & (np.abs(steps - best) <= _SAME_SPEED)).any(axis=0)
        column = _in_column(b[0, along])
        # lines of a picture's own stand still behind those that roll
        if not still.any() or (np.count_nonzero(along) >= 3 and column):
            return best, int(np.count_nonzero(along)), column
    return (0, int(np.count_nonzero(still)), False) if still.any() else (None, 0, False)


def _in_column(lines: NDArray[np.int64]) -> bool:
    """Whether most lines have their left edges, their middles or their right edges below one another."""
    for part in (0.0, 0.5, 1.0):
        at = lines[:, 0] + part * lines[:, 2]
        if np.count_nonzero(np.abs(at - np.median(at)) <= _ALIGNED) * 3 >= 2 * len(lines):
            return True
    return False


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
        if first and sum(look.page for look in run) * 2 >= len(run):
            if len(run) >= 3 and sum(look.agreed for look in run) >= 2 * len(run) - 2:
                empty = np.median([seen.plain[look.frame] for look in run]) >= 200 * _EMPTY
                exact = None if empty else _over_picture(seen, found, first - 1, i - 1)
                rolls.append(exact or Roll(first - 1, i - 1, page=True))
        elif first and _is_roll_over_picture(run):
            roll = _over_picture(seen, found, first - 1, i - 1)
            if roll is not None and not (rolls and roll.first <= rolls[-1].last):
                rolls.append(roll)
        first = i if moves else 0
    return rolls


def _is_roll_over_picture(run: list[Look]) -> bool:
    """Five looks at one speed; where enough lines are seen to tell, they stand in a column: a tilted view's do not."""
    clear = [look for look in run if look.agreed >= 3]
    return len(run) >= 5 and len(clear) >= 4 and sum(look.column for look in clear) * 5 >= 4 * len(clear)


def _over_picture(seen: Seen, found: list[Look], first: int, last: int) -> Roll | None:
    """The whole of text that rolls over a picture, of which looks first..last are sure.

    Before and after them single lines that move at the same speed tell it from the picture; that speed says in which
    frame the first line was in whole, and in which the last one was gone.
    """
    speed = -float(np.median([_step(look) for look in found[first + 1 : last + 1]])) / _STEP  # in 1/1000 a second
    rate = float(seen.info.rate)
    while first > 0 and _at_speed(found[first - 1], found[first], speed, rate):
        first -= 1
    while last + 1 < len(found) and _at_speed(found[last], found[last + 1], speed, rate):
        last += 1
    while first < last and not _at_speed(found[first], found[first + 1], speed, rate):
        first += 1
    while first < last and not _at_speed(found[last - 1], found[last], speed, rate):
        last -= 1
    if first == last:
        return None
    rising = [line for line, _ in _pairs(found[first], found[first + 1], speed, rate)]
    leaving = [line for _, line in _pairs(found[last - 1], found[last], speed, rate)]
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


def _at_speed(before: Look, now: Look, speed: float, rate: float) -> bool:
    return bool(_pairs(before, now, speed, rate))


def _pairs(before: Look, now: Look, speed: float, rate: float) -> list[tuple[Line, Line]]:
    """Lines of one look that are found again in the next, moved up at a speed."""
    rise = speed * (now.frame - before.frame) / rate
    return [
        (a, b)
        for a in before.lines
        for b in now.lines
        if abs(a[1] - b[1] - rise) <= _SAME_SPEED
        and abs(a[0] - b[0]) <= _SAME_X
        and abs(a[2] - b[2]) <= _SAME_WIDTH
        and abs(a[3] - b[3]) <= _SAME_HEIGHT
    ]


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
