"""From words to lines: grouping, reading order, filters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from openrek.vision.geometry import polygon_bounds, quad_angle, rotate_points, share_inside
from openrek.vision.text.result import Line, Quad, TextResult, Word

GAP = 1.5  # a wider gap, in heights of the letters, ends the line
MISFIT = 0.35  # most vertical offset of two pieces of one line, in heights
HEIGHTS = 0.65  # least ratio of their heights
TILT = 12.0  # most difference of their directions, degrees
PRECISION = 1e-6  # a value taken from an answer (float32) and used as a threshold keeps its word
SIZE_CLASS = 0.7  # words less than this times as high as the largest of a class make the next class


@dataclass(frozen=True)
class WordFilter:
    """Words below any minimum are left out; equal values stay. `confidence` 0..1; `width` and `height` are shares of
    the picture's sides that the word's axis-aligned box must have."""

    confidence: float = 0.0
    width: float = 0.0
    height: float = 0.0


# --- lines ------------------------------------------------------------------------------------------------------------


def arrange(pieces: Sequence[Sequence[Word]]) -> TextResult:
    """Group words into lines in reading order.

    pieces: runs of words that were found as one; each is cut at wide gaps, and pieces that continue each other on one
    baseline are joined.
    """
    runs = [part for piece in pieces if piece for part in _cut(piece)]
    lines = [_line(run) for run in _join(runs)]
    return TextResult(tuple(lines[index] for index in _reading_order(lines)))


def _cut(words: Sequence[Word]) -> list[list[Word]]:
    parts = [[words[0]]]
    for word in words[1:]:
        if _fit(parts[-1][-1], word) > GAP:
            parts.append([])
        parts[-1].append(word)
    return parts


def _fit(before: Word, after: Word) -> float:
    """Gap between two words along the reading direction, in heights of the larger."""
    direction = _direction(before.quad)
    gap = float((after.quad[[0, 3]].mean(axis=0) - before.quad[[1, 2]].mean(axis=0)) @ direction)
    return gap / max(before.height, after.height, 1.0)


def _join(runs: list[list[Word]]) -> list[list[Word]]:
    """Join runs end to start where one continues the other, nearest pairs first."""
    pairs = sorted(
        (gap, i, j)
        for i, a in enumerate(runs)
        for j, b in enumerate(runs)
        if i != j and (gap := _continues(a[-1], b[0])) is not None
    )
    following: dict[int, int] = {}
    preceding: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in following and j not in preceding and _head(preceding, i) != j:
            following[i], preceding[j] = j, i
    joined = []
    for index in range(len(runs)):
        if index not in preceding:
            chain = list(runs[index])
            while index in following:
                index = following[index]
                chain += runs[index]
            joined.append(chain)
    return joined


def _head(preceding: dict[int, int], index: int) -> int:
    while index in preceding:
        index = preceding[index]
    return index


def _continues(before: Word, after: Word) -> float | None:
    """The gap in heights where `after` may follow `before` on one baseline, else None."""
    small, large = sorted((before.height, after.height))
    if small < HEIGHTS * large or abs(_turn(before.quad, after.quad)) > TILT:
        return None
    gap = _fit(before, after)
    if not -0.5 <= gap <= GAP:
        return None
    x, y = _direction(before.quad)
    step = after.quad[[0, 3]].mean(axis=0) - before.quad[[1, 2]].mean(axis=0)
    return gap if abs(float(step @ np.array([-y, x]))) <= MISFIT * large else None


def _turn(a: Quad, b: Quad) -> float:
    return (quad_angle(b) - quad_angle(a) + 180) % 360 - 180


def _direction(quad: Quad) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    angle = np.deg2rad(quad_angle(quad))
    return np.array([np.cos(angle), np.sin(angle)])


def _line(words: Sequence[Word]) -> Line:
    if len(words) == 1:
        return Line(tuple(words), words[0].quad)
    start, end = words[0].quad, words[-1].quad
    angle = float(np.rad2deg(np.arctan2(*(end.mean(axis=0) - start.mean(axis=0))[::-1])))
    level = rotate_points(np.concatenate([word.quad for word in words]), -angle)
    left, top, right, bottom = polygon_bounds(level)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return Line(tuple(words), rotate_points(corners, angle))


def _reading_order(lines: Sequence[Line]) -> list[int]:
    """Rows from top to bottom, each from left to right, in the direction most of the text runs."""
    if not lines:
        return []
    total = np.zeros(2)
    for line in lines:
        total += _direction(line.quad) * len(line.text)
    page = float(np.rad2deg(np.arctan2(total[1], total[0])))
    level = [polygon_bounds(rotate_points(line.quad, -page)) for line in lines]
    rows: list[list[int]] = []
    for index in sorted(range(len(lines)), key=lambda i: float(level[i][1] + level[i][3])):
        middle = (level[index][1] + level[index][3]) / 2
        # A line stands in the row above where its middle is beside that row's first line, and that line's beside it.
        if rows:
            first = level[rows[-1][0]]
            if middle < first[3] and level[index][1] < (first[1] + first[3]) / 2:
                rows[-1].append(index)
                continue
        rows.append([index])
    return [index for row in rows for index in sorted(row, key=lambda i: float(level[i][0]))]


# --- filters ----------------------------------------------------------------------------------------------------------


def filter_words(
    result: TextResult,
    width: int,
    height: int,
    *,
    words: WordFilter | None = None,
    regions: Sequence[Quad] | None = None,
    limit: int | None = None,
) -> TextResult:
    """Leave out words; lines are rebuilt from the rest, and lines without words go.

    regions: polygons (P, 2) in pixels; a word stays where more than half of its area lies inside one of them. limit:
    at most so many words stay, the largest first and, among words of like size, the first in reading order.
    """
    kept = [word for word in result.words if _passes(word, width, height, words) and _inside(word, regions)]
    if limit is not None and len(kept) > limit:
        kept = _largest(kept, limit)
    chosen = {id(word) for word in kept}
    lines = []
    for line in result.lines:
        rest = tuple(word for word in line.words if id(word) in chosen)
        if rest == line.words:
            lines.append(line)
        elif rest:
            lines.append(replace(_line(rest), words=rest))
    return TextResult(tuple(lines))


def _passes(word: Word, width: int, height: int, minimum: WordFilter | None) -> bool:
    if minimum is None:
        return True
    left, top, right, bottom = polygon_bounds(word.quad)
    return bool(
        word.confidence >= minimum.confidence - PRECISION
        and (right - left) / width >= minimum.width - PRECISION
        and (bottom - top) / height >= minimum.height - PRECISION
    )


def _inside(word: Word, regions: Sequence[Quad] | None) -> bool:
    return regions is None or any(share_inside(word.quad, region) > 0.5 for region in regions)


def _largest(words: Sequence[Word], limit: int) -> list[Word]:
    """The `limit` words of the largest size classes, in reading order within a class."""
    ranks = size_classes([word.height for word in words])
    return [words[index] for index in sorted(range(len(words)), key=lambda index: ranks[index])[:limit]]


def size_classes(heights: Sequence[float]) -> list[int]:
    """For each height the number of its class: 0 holds the largest and all that are of like size, and so on down."""
    ranks = [0] * len(heights)
    rank, largest = -1, np.inf
    for index in sorted(range(len(heights)), key=lambda index: -heights[index]):
        if heights[index] < SIZE_CLASS * largest:
            rank, largest = rank + 1, heights[index]
        ranks[index] = rank
    return ranks
