"""Rows ordered by cells around centres (an inverted file), for collections too large to scan whole.

Spherical k-means on a sample (Dhillon and Modha, 2001) gives the centres; a search looks into the cells whose centres
are nearest to the query (Sivic and Zisserman, 2003; Jégou et al., 2011), until they hold enough rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.store.vector_changes import Floats
from openrek.store.vectors.quantise import ZERO, Codes
from openrek.store.vectors.scan import BLOCK, Living

SAMPLE_PER_CELL: Final = 64
ROUNDS: Final = 6
CHUNK: Final = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """centres: (C, width) float32 of length 1. offsets: (C + 1,) int64, the rows of cell i are offsets[i:i + 2]."""

    centres: Floats
    offsets: NDArray[np.int64]

    def nearest(self, query: NDArray[np.float64], rows: int) -> list[tuple[int, int]]:
        """The rows of the cells nearest to a query (D,) that together hold at least `rows` rows: ranges of cells that
        stand next to each other, the one with the nearest first."""
        alike = self.centres[:, : len(query)] @ query.astype(np.float32)
        order = np.argsort(-alike)
        sizes = np.diff(self.offsets)[order]
        chosen = order[: int(np.searchsorted(np.cumsum(sizes), rows)) + 1]
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        cells = np.sort(chosen)
        begins = np.flatnonzero(np.diff(cells, prepend=-2) > 1)
        first, last = cells[begins], cells[np.append(begins[1:], len(cells)) - 1]
        by_nearest = np.argsort(np.minimum.reduceat(rank[cells], begins))
        starts, stops = self.offsets[first[by_nearest]], self.offsets[last[by_nearest] + 1]
        return list(zip(starts.tolist(), stops.tolist(), strict=True))


def count_for(rows: int) -> int:
    """How many cells a number of rows is worth: about sqrt(N)."""
    return max(1, int(rows**0.5))


def unquantised(codes: Codes) -> Floats:
    """The directions of codes: (N, width) float32 rows of length 1 (zero for a row out of use)."""
    rows = codes.astype(np.float32) - np.float32(ZERO)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-6)), np.float32)


def centres_of(sample: Floats, count: int, progress: Callable[[float], None]) -> Floats:
    """Spherical k-means: `count` centres (count, width) of length 1. The same sample gives the same centres."""
    random = np.random.default_rng(0)
    centres = sample[random.choice(len(sample), count, replace=len(sample) < count)].copy()
    for step in range(ROUNDS):
        cells = assign(sample, centres)
        order = np.argsort(cells, kind="stable")
        bounds = np.searchsorted(cells[order], np.arange(count))
        sums = np.add.reduceat(sample[order], np.minimum(bounds, len(sample) - 1), axis=0)
        empty = np.bincount(cells, minlength=count) == 0
        sums[empty] = sample[random.choice(len(sample), int(empty.sum()))]
        centres = np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6), np.float32)
        progress((step + 1) / ROUNDS)
    return centres


def in_line(centres: Floats) -> Floats:
    """The same centres in an order in which alike ones are near: halved again and again along what differs most."""
    if len(centres) <= 2:
        return centres
    middle = centres.mean(axis=0)
    direction = np.linalg.svd(centres - middle, full_matrices=False)[2][0]
    order = np.argsort((centres - middle) @ direction, kind="stable")
    halves = np.array_split(centres[order], 2)
    return np.concatenate([in_line(half) for half in halves])


def assign(rows: Floats, centres: Floats) -> NDArray[np.int32]:
    """The nearest centre of each row: (N,) int32."""
    turned = np.ascontiguousarray(centres.T)
    cells = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), CHUNK):
        cells[start : start + CHUNK] = (rows[start : start + CHUNK] @ turned).argmax(axis=1)
    return cells


def arrange(rows: Living, progress: Callable[[float], None]) -> tuple[Cells, NDArray[np.int64]]:
    """The cells of rows, and the order (N,) in which those of one cell stand together."""
    total = len(rows)
    count = count_for(total)
    random = np.random.default_rng(total)
    chosen = np.sort(random.choice(total, min(total, SAMPLE_PER_CELL * count), replace=False))
    centres = in_line(centres_of(unquantised(rows.take(chosen).codes), count, lambda done: progress(done * 0.4)))
    cells = np.empty(total, np.int32)
    for start in range(0, total, BLOCK):
        part = np.arange(start, min(total, start + BLOCK))
        cells[part] = assign(unquantised(rows.take(part).codes), centres)
        progress(0.4 + 0.5 * (part[-1] + 1) / total)
    order = np.argsort(cells, kind="stable")
    offsets = np.searchsorted(cells[order], np.arange(count + 1)).astype(np.int64)
    return Cells(centres, offsets), order
