"""Soft transitions: dissolves, fades and wipes, found in the row of small signatures."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from openrek.vision.video.sketch import SIGNATURE, Sketches

LENGTHS = (6, 9, 13, 19, 28, 40)
"""Spans of frames over which a transition is looked for; one of another length shows in the next longer."""

MARGIN = 16
"""Frames before and after the longest span that are looked at."""

_LEAST_CHANGE = 6.0
_LEAST_RATIO = 1.0
_SAME, _VISIBLE = 0.93, 8.0
_BACK = 0.15
"""Share of the largest change that may be left when a picture is back."""
PAUSE, _CHANGING = 15, 3.0
_WIPED = 0.35
"""Part of a change that is no blend of the two pictures, from which it counts as a wipe."""

Signatures = NDArray[np.float32]


def spans(sketches: Sketches, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Rows (first, last) in low..high-1 between which the picture changes more than just before and just after.

    No hard cut lies between low and high. Of overlapping ones the clearest.
    """
    rows = sketches.signature[low:high].reshape(high - low, -1).astype(np.float32)
    found: list[tuple[float, int, int]] = []
    for length in LENGTHS:
        beside = max(3, length // 3)
        count = len(rows) - length
        if count <= 0:
            continue
        change = np.abs(rows[length:] - rows[:-length]).mean(axis=1)  # from t to t + length
        calm = np.abs(rows[beside:] - rows[:-beside]).mean(axis=1)  # from t to t + beside
        # beyond a cut nothing is known: then the picture is taken to change there as it does inside
        before = calm[:count].copy()
        before[beside:] = calm[: max(0, count - beside)]
        ends = np.arange(count) + length
        inside = ends + beside < len(rows)
        after = calm[ends - beside]
        after[inside] = calm[ends[inside]]
        ratio = change / (before + after + 2.0)
        likely = (change >= _LEAST_CHANGE) & (ratio >= _LEAST_RATIO)
        if likely.any():
            half = length // 2
            around = sliding_window_view(np.pad(ratio, half, constant_values=-1.0), 2 * half + 1).max(axis=1)
            found += [(float(ratio[t]), t, t + length) for t in np.flatnonzero(likely & (ratio >= around)).tolist()]
    found.sort(reverse=True)
    taken: list[tuple[int, int]] = []
    for _, first, last in found:
        if all(last <= a or first >= b for a, b in taken):
            taken.append((first, last))
            yield low + first, low + last


def describe(sketches: Sketches, first: int, last: int, low: int, high: int) -> NDArray[np.float64]:
    """What is known of a span between two hard cuts at low and high: 15 numbers."""
    rows = sketches.signature[first : last + 1].reshape(last - first + 1, -1).astype(np.float64)
    length = last - first
    old, new = rows[0], rows[-1]
    difference = new - old
    square = float((difference**2).sum()) + 1e-6
    share = (rows - old) @ difference / square
    rest = rows - old - share[:, None] * difference
    steps = np.diff(share)
    cells = np.abs(np.diff(rows, axis=0))
    weight = np.abs(difference) + 1e-6
    step = float((np.minimum(cells.max(axis=0), weight)).sum() / weight.sum())
    when = cells.argmax(axis=0)
    mean_when = (when * weight).sum() / weight.sum()
    scatter = float(np.sqrt(((when - mean_when) ** 2 * weight).sum() / weight.sum()) / length)
    beside = max(3, length // 3)
    earlier = rows[beside] if first - beside < low else _row(sketches, first - beside)
    later = rows[-1 - beside] if last + beside >= high else _row(sketches, last + beside)
    change = float(np.abs(difference).mean())
    contrast = sketches.contrast[[first, last]]
    middle = sketches.contrast[first + length // 3 : last - length // 3 + 1].mean()
    old_shape, new_shape = old - old.mean(), new - new.mean()
    alike = float(
        (old_shape * new_shape).sum() / np.sqrt((old_shape**2).sum() * (new_shape**2).sum() + 4 * old_shape.size)
    )
    inside = np.nan_to_num(sketches.moved[first + 1 : last + 1])
    return np.array(
        [
            np.log(change + 0.5),
            float(np.sqrt((rest**2).sum(axis=1).mean() / square)),
            float(np.abs(steps).sum()),
            float(np.abs(steps).max()),
            step,
            scatter,
            np.log((np.abs(old - earlier).mean() + 0.5) / (change + 0.5)),
            np.log((np.abs(new - later).mean() + 0.5) / (change + 0.5)),
            alike,
            np.log((middle + 2) / (contrast.mean() + 2)),
            np.log(contrast.min() + 1),
            _moved(old, new) / (change + 0.5),
            np.log(inside.mean() + 0.5),
            np.log((inside.max() + 0.5) / (np.sort(inside)[length // 2] + 0.5)),
            float(np.log(length)),
        ]
    )


def _row(sketches: Sketches, row: int) -> NDArray[np.float64]:
    return np.asarray(sketches.signature[row], np.float64).reshape(-1)


def _shifts() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(5, 9, 9, 16) which places still have a partner when the picture is shifted, and how many."""
    inside = np.pad(np.ones(SIGNATURE), ((2, 2), (4, 4)))
    windows = sliding_window_view(inside, SIGNATURE).copy()
    return windows, windows.sum(axis=(2, 3))


_PARTNERS, _PARTNER_COUNT = _shifts()


def _moved(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """Mean absolute difference at the shift of the whole picture that fits best."""
    rows, columns = SIGNATURE
    wide = np.zeros((rows + 4, columns + 8))
    wide[2:-2, 4:-4] = old.reshape(SIGNATURE)
    before = np.ndarray((5, 9, rows, columns), wide.dtype, wide, 0, wide.strides * 2)
    apart = np.abs(before - new.reshape(SIGNATURE)) * _PARTNERS
    return float((apart.sum(axis=(2, 3)) / _PARTNER_COUNT).min())


def adapts(sketches: Sketches, first: int, last: int) -> bool:
    """Whether only the light changes over a span, as when a camera adapts: the picture stays what it is."""
    old, new = (_row(sketches, row) - sketches.signature[row].mean() for row in (first, last))
    alike = (old * new).sum() / np.sqrt((old**2).sum() * (new**2).sum() + 4 * old.size)
    return bool(alike > _SAME and sketches.contrast[[first, last]].min() > _VISIBLE)


def comes_back(sketches: Sketches, first: int, last: int) -> bool:
    """Whether the picture at the end of a span is that at its start, of what differs from it within; a camera held by
    hand may have moved by a little."""
    rows = sketches.signature[first : last + 1].reshape(last - first + 1, -1).astype(np.float64)
    most = np.abs(rows - rows[0]).mean(axis=1).max()
    return bool(_moved(rows[0], rows[-1]) <= _BACK * most)


def continues(sketches: Sketches, last: int, first: int) -> bool:
    """Whether the picture goes on changing between the end of one span and the start of the next."""
    return (
        last < first <= last + PAUSE and float(np.abs(_row(sketches, first) - _row(sketches, last)).mean()) > _CHANGING
    )


def trim(sketches: Sketches, first: int, last: int) -> tuple[int, int]:
    """The first and last row inside a span that are neither the old picture nor the new one."""
    rows = sketches.signature[first : last + 1].reshape(last - first + 1, -1).astype(np.float64)
    difference = rows[-1] - rows[0]
    square = (difference**2).sum() + 1e-6
    share = (rows - rows[0]) @ difference / square
    rest = rows - rows[0] - share[:, None] * difference
    if np.sqrt((rest**2).sum(axis=1).mean() / square) > _WIPED:
        # each place changes at a moment of its own
        moments = np.abs(np.diff(rows, axis=0)).argmax(axis=0)
        order = np.argsort(moments, kind="stable")
        reached = np.cumsum(np.abs(difference)[order]) / (np.abs(difference).sum() + 1e-6)
        start, end = (int(moments[order[np.searchsorted(reached, part)]]) for part in (0.03, 0.9))
        return first + start + 1, max(first + start + 1, first + end)
    mixed = np.flatnonzero((share > 0.03) & (share < 0.97))
    if not len(mixed):
        return first, last
    return first + int(mixed[0]), first + int(mixed[-1])
