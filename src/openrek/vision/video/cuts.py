"""Hard cuts: frames at which the whole picture is replaced at once."""

import math

import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.sketch import LOOK_BACK, Sketches

REACH = 6
"""Frames on either side with which a change is compared."""

_LEAST_CHANGE = 1.5
_LEAST_RATIO = 1.3
_NEAR = 4
_MEMORY, _AGAIN, _FROZEN = 90, 0.45, 0.1
"""Frames back in which a picture is known again, if it differs from what it was by at most this share of the change;
and by how much of 255 frames may differ that stand still."""
_REPEATED, _ABOUT, _FLAT = 5, 0.6, 4.0
"""Frames in a row in which it was there about so, which a flash is not; and the contrast of one that can be known."""


def suspects(sketches: Sketches) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions (rows of `sketches`) that change more than those around them, and what is known of each: (n, 15).

    A position p means that the picture changes between rows p - 1 and p.
    """
    moved, raw, colour = (np.nan_to_num(column) for column in (sketches.moved, sketches.raw, sketches.colour))
    around = {name: _neighbours(column) for name, column in (("moved", moved), ("raw", raw), ("colour", colour))}
    usual = np.sort(around["raw"], axis=1)[:, REACH - 1 : REACH + 1].mean(axis=1)  # the median
    changes = (raw >= _LEAST_CHANGE) & (raw >= _LEAST_RATIO * usual)
    changes[:1] = False
    places = np.flatnonzero(changes)
    described = [_describe(sketches, moved, raw, colour, around, usual, p) for p in places.tolist()]
    return places, np.array(described).reshape(-1, 15)


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


def _neighbours(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2 * REACH): the values before and after each; 0 beyond the ends."""
    padded = np.pad(column, REACH)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1)
    return np.delete(windows, REACH, axis=1)


def _describe(
    sketches: Sketches,
    moved: NDArray[np.float64],
    raw: NDArray[np.float64],
    colour: NDArray[np.float64],
    around: dict[str, NDArray[np.float64]],
    usual: NDArray[np.float64],
    p: int,
) -> list[float]:
    count = len(moved)
    later = [float(sketches.back[p + k, k - 1]) for k in range(1, LOOK_BACK + 1) if p + k < count]
    comparable = [value for value in later if not np.isnan(value)]
    # how far the frames after are from the frame before, of what this change was: a flash comes back
    stays = min(comparable) / (moved[p] + 0.5) if comparable else 0.5 if later else 1.0
    before = sketches.signature[max(0, p - _NEAR) : p].astype(np.float64)
    after = sketches.signature[p : p + _NEAR].astype(np.float64)
    old, new = before.mean(axis=0), after.mean(axis=0)
    within = float(max(np.abs(before - old).mean(), np.abs(after - new).mean()))
    old_shape, new_shape = old - old.mean(), new - new.mean()
    alike = (old_shape * new_shape).sum() / np.sqrt((old_shape**2).sum() * (new_shape**2).sum() + 4 * old.size)
    contrast = float(sketches.contrast[p] + sketches.contrast[p - 1]) / 2
    here = {"moved": float(moved[p]), "raw": float(raw[p]), "colour": float(colour[p])}
    near = {name: values[p].tolist() for name, values in around.items()}
    second = {name: sorted(values)[-2] for name, values in near.items()}

    def above(name: str, other: float, floor: float = 0.5) -> float:
        return math.log((here[name] + floor) / (other + floor))

    return [
        math.log(here["moved"] + 0.5),
        math.log(float(np.nan_to_num(sketches.spread[p])) + 0.5),
        math.log(here["raw"] + 0.5),
        math.log(here["colour"] + 0.25),
        above("moved", second["moved"]),
        above("moved", float(around["moved"][p].mean())),
        above("raw", second["raw"]),
        above("colour", second["colour"], 0.25),
        above("moved", max(near["moved"][REACH - 1 : REACH + 1])),
        stays,
        here["moved"] / (contrast + 4),
        float(alike),
        math.log((within + 0.5) / (float(np.abs(old - new).mean()) + 0.5)),
        math.log(abs(float(sketches.light[p] - sketches.light[p - 1])) + 1),
        above("raw", float(usual[p])),
    ]
