"""Hard cuts: frames at which the whole picture is replaced at once."""

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.sketch import LOOK_BACK, SIGNATURE, Sketches

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]

REACH = 6
"""Frames on either side with which a change is compared."""

INPUTS = 38
_LEAST_CHANGE = 1.5
_LEAST_RATIO, _LEAST_MOVED = 1.3, 1.6
_SHIFT_Y, _SHIFT_X = 1, 2
_MOST_STAYS, _STILL = 1.2, 4.0
_SAME, _LIT = 0.985, 0.6
"""A light that is switched is no cut: the pictures correlate as much, and so much of the change is one of the whole."""
_MEMORY, _AGAIN, _FROZEN = 90, 0.45, 0.1
"""Frames back in which a picture is known again, if it differs from what it was by at most this share of the change;
and by how much of 255 frames may differ that stand still."""
_REPEATED, _ABOUT, _FLAT = 5, 0.6, 4.0
"""Frames in a row in which it was there about so, which a flash is not; and the contrast of one that can be known."""


def suspects(sketches: Sketches) -> tuple[Rows, Numbers]:
    """Positions (rows of `sketches`) that change more than those around them, and what is known of each: (n, INPUTS).

    A position p means that the picture changes between rows p - 1 and p.
    """
    columns = {name: np.nan_to_num(getattr(sketches, name)) for name in ("moved", "raw", "colour")}
    raw, moved = columns["raw"], columns["moved"]
    changes = (raw >= _LEAST_RATIO * _usual(raw)) | (moved >= _LEAST_MOVED * (_usual(moved) + 1))
    changes &= raw >= _LEAST_CHANGE
    changes[:1] = False
    places = np.flatnonzero(changes)
    light = np.abs(sketches.light[places] - sketches.light[places - 1])
    places = places[(_alike(sketches, places) < _SAME) | (light < _LIT * raw[places])]
    return places, _describe(sketches, places, columns) if len(places) else np.zeros((0, INPUTS))


def _usual(column: Numbers) -> Numbers:
    """The median of the values before and after each."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(column, REACH), 2 * REACH + 1)
    return _median(np.delete(windows, REACH, axis=1))


def _median(rows: Numbers) -> Numbers:
    """Of each of (n, REACH) or (n, 2 * REACH) rows, which are even in number. `np.median` takes longer, and most the
    first time."""
    half = rows.shape[1] // 2
    sides = np.partition(rows, (half - 1, half), axis=1)[:, half - 1 : half + 1]
    return np.asarray(sides.mean(axis=1), np.float64)


def returns(sketches: Sketches, since: int, p: int) -> bool:
    """Whether a picture that came at once and stood still gives way, at row p, to one of before it, in rows since..p-1.

    Then what ends at p is no shot but a disturbance in one: decoding errors that last until the next key frame.
    """
    first, last = max(since, p - _MEMORY), p - REACH
    raw = np.nan_to_num(sketches.raw[first:p])
    if last < first or raw[-REACH:].max() > _FROZEN or sketches.contrast[p] < _FLAT:
        return False
    moving = np.flatnonzero(raw >= _LEAST_CHANGE)
    if not len(moving):
        return False
    begins = int(moving[-1])
    if raw[begins] < _LEAST_RATIO * np.median(raw[max(0, begins - REACH) : max(1, begins)]):
        return False
    seen = sketches.signature[first : last + 1].astype(np.float32)
    now = sketches.signature[p : p + 3].mean(axis=0, dtype=np.float32)
    change = np.abs(sketches.signature[p].astype(np.float32) - sketches.signature[p - 1]).mean()
    apart = np.abs(seen - now).mean(axis=(1, 2)) / (change + 1e-6)
    edges = np.flatnonzero(np.diff(apart <= _ABOUT, prepend=False, append=False)).reshape(-1, 2)
    return any(end - start >= _REPEATED and apart[start:end].min() <= _AGAIN for start, end in edges.tolist())


def _describe(sketches: Sketches, places: Rows, columns: dict[str, Numbers]) -> Numbers:
    """(n, INPUTS) what is known of each suspect.

    What lies before it and what lies after it is told apart: a camera that whips on one side of a cut, or another cut
    nearby, hides nothing then.
    """
    moved, raw, colour = (columns[name][places] for name in ("moved", "raw", "colour"))
    told = [
        np.log(moved + 0.5),
        np.log(np.nan_to_num(sketches.spread[places]) + 0.5),
        np.log(raw + 0.5),
        np.log(colour + 0.25),
    ]
    for name, floor in (("moved", 0.5), ("raw", 0.5), ("colour", 0.25)):
        here = columns[name][places]
        for near in _sides(columns[name], places):
            usual = (near[:, 0], _median(near), near.max(axis=1))
            told += [np.log((here + floor) / (other + floor)) for other in usual]
    # how far the frames after are from the frame before, of what this change was: a flash comes back
    count = len(sketches.frames)
    rows = places[:, None] + np.arange(1, LOOK_BACK + 1)
    later = sketches.back[np.minimum(rows, count - 1), np.arange(LOOK_BACK)]
    nearest = np.where((rows < count) & ~np.isnan(later), later, np.inf).min(axis=1)
    told.append(np.where(np.isfinite(nearest), np.minimum(nearest / (moved + 0.5), _MOST_STAYS), 1.0))
    light = sketches.light[places] - sketches.light[places - 1]
    told += [
        *_returning(sketches, places),
        *_pictures(sketches, places),
        moved / ((sketches.contrast[places] + sketches.contrast[places - 1]) / 2 + 4),
        np.log(sketches.contrast[places - 1] + 1),
        np.log(sketches.contrast[places] + 1),
        np.sign(light) * np.log(np.abs(light) + 1),
        np.minimum(count - places, REACH).astype(np.float64),
    ]
    return np.stack(told, axis=1)


def _sides(column: Numbers, places: Rows) -> tuple[Numbers, Numbers]:
    """(n, REACH) twice: the values before and after each, the nearest first; 0 beyond the ends."""
    padded, steps = np.pad(column, REACH), np.arange(1, REACH + 1)
    return padded[places[:, None] + REACH - steps], padded[places[:, None] + REACH + steps]


def _returning(sketches: Sketches, places: Rows) -> list[Numbers]:
    """How near the frames after come to the frame before, and those before to the frame after, of how far the two are
    apart; whole pictures may have moved by a little."""
    last, steps = len(sketches.frames) - 1, np.arange(REACH)[:, None]
    old, new = places - 1, places
    later, earlier = np.minimum(new + 1 + steps, last), np.maximum(old - 1 - steps, 0)
    # all pairs at once: there are few suspects, and each call has its price
    ones = np.concatenate([old[None], np.broadcast_to(old, later.shape), np.broadcast_to(new, earlier.shape)])
    others = np.concatenate([new[None], later, earlier])
    pictures = sketches.signature.astype(np.float32)
    found = _moved_apart(pictures[ones.ravel()], pictures[others.ravel()]).reshape(ones.shape)
    apart, nearest = found[0] + 0.5, [found[1 : REACH + 1].min(axis=0), found[REACH + 1 :].min(axis=0)]
    return [
        *(np.minimum(each / apart, _MOST_STAYS) for each in nearest),
        *(np.log(each + 0.5) for each in nearest),
        np.log(apart),
    ]


def _moved_apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> Numbers:
    """(n,) mean absolute difference of (n, 9, 16) pictures at the shift of the whole picture that fits best."""
    rows, columns = SIGNATURE
    found = []
    for down in range(-_SHIFT_Y, _SHIFT_Y + 1):
        for across in range(-_SHIFT_X, _SHIFT_X + 1):
            a = one[:, max(0, down) : rows + min(0, down), max(0, across) : columns + min(0, across)]
            b = other[:, max(0, -down) : rows + min(0, -down), max(0, -across) : columns + min(0, -across)]
            found.append(np.abs(a - b).mean(axis=(1, 2)))
    return np.asarray(np.minimum.reduce(found), np.float64)


def _pictures(sketches: Sketches, places: Rows) -> list[Numbers]:
    """How alike the two pictures are but for light and contrast, over how much of the view they differ, and how much of
    what is to be seen in the old one stands still: all around a picture that is put in."""
    before, after = (sketches.signature[rows].astype(np.float64) for rows in (places - 1, places))
    change = np.abs(after - before)
    cells = np.sort(change.reshape(len(places), -1), axis=1)
    shares = [cells[:, int(share * cells.shape[1])] / (cells.mean(axis=1) + 0.5) for share in (0.25, 0.5, 0.9)]
    kept, all_of_it = np.zeros(len(places)), np.zeros(len(places))
    for axis in (1, 2):
        edges = np.abs(np.diff(before, axis=axis))
        still = np.delete(change, -1, axis=axis) + np.delete(change, 0, axis=axis) <= _STILL
        kept += (edges * still).sum(axis=(1, 2))
        all_of_it += edges.sum(axis=(1, 2))
    return [np.log(1.02 - _alike(sketches, places)), *shares, kept / (all_of_it + edges[0].size)]


def _alike(sketches: Sketches, places: Rows) -> Numbers:
    """The correlation, -1..1, of the pictures before and after; lower where there is little contrast to tell."""
    flat = sketches.signature.reshape(-1, SIGNATURE[0] * SIGNATURE[1])
    old, new = (each - each.mean(axis=1, keepdims=True) for each in (flat[places - 1], flat[places]))
    square = (old**2).sum(axis=1) * (new**2).sum(axis=1)
    return np.asarray((old * new).sum(axis=1) / np.sqrt(square + 4 * old.shape[1]), np.float64)
