"""The two stages of a search: all rows by their codes, then the few that can matter by their exact vectors.

The first stage leaves out only rows that, by the bound of `quantise`, cannot be among the best; the second reads exact
vectors in the order of the first and stops where no row left can do better than the worst one kept (Seidl and Kriegel,
Optimal multi-step k-nearest neighbor search, 1998). So nothing is lost to the codes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from openrek.store.vector_changes import Floats
from openrek.store.vectors.base import Matches, Numbers
from openrek.store.vectors.kernel import PIECES, products
from openrek.store.vectors.quantise import Codes, Query

BLOCK: Final = 1 << 16  # rows whose products and scores stay in a core's cache
LEAST_SLACK: Final = 1e-6

T = TypeVar("T", bound=np.generic)


class Rows(NamedTuple):
    """N rows of an index. A row that is out of use has an error of -inf, so that no bound ever reaches it."""

    codes: Codes
    numbers: Numbers
    scales: Floats
    errors: Floats

    def part(self, start: int, stop: int) -> "Rows":
        """The rows of a range, not copied."""
        rows = slice(start, stop)
        return Rows(self.codes[rows], self.numbers[rows], self.scales[rows], self.errors[rows])


Block = Sequence[Rows]
"""Rows that are looked at together."""


class Living:
    """The rows in use of some parts, numbered from 0 through all of them."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part.numbers) for part in parts)])
        used = [
            np.nonzero(~np.isneginf(part.errors))[0] + start
            for part, start in zip(parts, self._starts[:-1], strict=True)
        ]
        self._places = np.concatenate([np.zeros(0, np.int64), *used])

    def __len__(self) -> int:
        return len(self._places)

    def take(self, wanted: Numbers) -> Rows:
        """A copy of the rows with these positions (N,); one that went since has the number -1."""
        places = self._places[wanted]
        owners = np.searchsorted(self._starts, places, side="right") - 1
        count = len(places)
        result = Rows(
            np.empty((count, self._parts[0].codes.shape[1]), np.uint8),
            np.empty(count, np.int64),
            np.empty(count, np.float32),
            np.empty(count, np.float32),
        )
        for owner in np.unique(owners):
            mine = np.nonzero(owners == owner)[0]
            there = places[mine] - self._starts[owner]
            part = self._parts[owner]
            result.codes[mine], result.numbers[mine] = part.codes[there], part.numbers[there]
            result.scales[mine], result.errors[mine] = part.scales[there], part.errors[there]
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Rows that may be among the best. lower, upper: bounds of their cosines, (N,) float32."""

    numbers: Numbers
    lower: Floats
    upper: Floats

    @classmethod
    def join(cls, parts: Sequence["Candidates"]) -> "Candidates":
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(part.numbers for part in parts)]),
            np.concatenate([np.zeros(0, np.float32), *(part.lower for part in parts)]),
            np.concatenate([np.zeros(0, np.float32), *(part.upper for part in parts)]),
        )


class Bar:
    """The cosine that a row must be able to reach. It rises with every better row that any thread finds."""

    def __init__(self, least: float, limit: int) -> None:
        """least: of the search; the `limit` best are sought."""
        self.height = least - LEAST_SLACK
        self._limit = limit
        self._best = np.zeros(0, np.float32)
        self._lock = threading.Lock()

    def raise_by(self, lower: Floats) -> None:
        """Take in what some rows reach for sure: (N,) lower bounds."""
        with self._lock:
            best = np.concatenate([self._best, lower])
            if len(best) >= self._limit:
                best = np.partition(best, len(best) - self._limit)[-self._limit :]
                self.height = max(self.height, float(best.min()))
            self._best = best


class Workers:
    """Threads for the blocks of scans. Each takes the next block when it has done one, and tells only at the end:
    threads that report often wait for each other's interpreter lock."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="vectors") if count > 1 else None

    def scan(self, blocks: Sequence[Block], scan: Callable[[Block], Candidates]) -> Candidates:
        """What `scan` finds in all blocks."""
        waiting = iter(blocks)  # a list's iterator gives each item to one thread only

        def work(_: int) -> Candidates:
            return Candidates.join([scan(block) for block in waiting])

        if self._executor is None or len(blocks) < 2:
            return work(0)
        return Candidates.join(list(self._executor.map(work, range(min(self.count, len(blocks))))))

    def close(self) -> None:
        """Wait for what is under way, and end."""
        if self._executor is not None:
            self._executor.shutdown()


def candidates(parts: Sequence[Rows], query: Query, *, least: float, limit: int, workers: Workers) -> Candidates:
    """The rows of all parts that may be among the `limit` best of at least `least`."""
    bar = Bar(least, limit)
    found = workers.scan(list(_blocks(parts)), lambda block: _scan(block, query, bar))
    mask = found.upper >= bar.height
    return Candidates(found.numbers[mask], found.lower[mask], found.upper[mask])


def best_matches(
    found: Candidates,
    query: Query,
    *,
    least: float,
    limit: int,
    fetch: Callable[[Numbers], tuple[Numbers, Floats]],
) -> tuple[Matches, int]:
    """The exact `limit` best of the candidates, and how many candidates `fetch` no longer knew."""
    order = np.argsort(-found.upper, kind="stable")
    # a row that was replaced during the scan can be there twice
    order = order[np.sort(np.unique(found.numbers[order], return_index=True)[1])]
    numbers, upper = found.numbers[order], found.upper[order]
    floor = least - LEAST_SLACK
    kept, cosines, missing = np.zeros(0, np.int64), np.zeros(0, np.float64), 0
    start, stop = 0, limit + limit // 4 + 16
    while start < min(stop, len(numbers)):
        wanted = numbers[start:stop]
        fresh, vectors = fetch(wanted)
        missing += len(wanted) - len(fresh)
        if len(fresh):
            kept = np.concatenate([kept, fresh])
            # a sum by row, not a matrix product: equal vectors get equal cosines wherever they stand
            cosines = np.concatenate([cosines, (vectors * query.exact).sum(axis=1)])
        if len(cosines) >= limit:
            floor = max(floor, float(np.partition(cosines, len(cosines) - limit)[len(cosines) - limit]))
        start, stop = stop, int(np.searchsorted(-upper, -floor, side="right"))
    mask = cosines >= least - LEAST_SLACK
    kept, cosines = kept[mask], cosines[mask]
    first = np.lexsort((kept, -cosines))[:limit]
    return Matches(kept[first], np.clip(cosines[first], -1, 1).astype(np.float32)), missing


def _scan(block: Block, query: Query, bar: Bar) -> Candidates:
    """The rows of a block that may clear the bar, which is raised by them."""
    scores = products([rows.codes for rows in block], query.columns) @ query.weights
    scores *= _joined([rows.scales for rows in block])
    errors = _joined([rows.errors for rows in block]) + np.float32(query.error)
    upper = scores + errors
    hits = np.nonzero(upper >= bar.height)[0]
    if not len(hits):
        return Candidates.join([])
    lower = scores[hits] - errors[hits]
    bar.raise_by(lower)
    return Candidates(_joined([rows.numbers for rows in block])[hits], lower, upper[hits])


def _joined(arrays: list[NDArray[T]]) -> NDArray[T]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _blocks(parts: Sequence[Rows]) -> Iterator[list[Rows]]:
    """The parts in groups of at most BLOCK rows and PIECES pieces: what is done once a group costs little even where
    parts are small."""
    block: list[Rows] = []
    size = 0
    for rows in parts:
        for start in range(0, len(rows.numbers), BLOCK):
            part = rows.part(start, start + BLOCK) if len(rows.numbers) > BLOCK else rows
            if block and (size + len(part.numbers) > BLOCK or len(block) == PIECES):
                yield block
                block, size = [], 0
            block.append(part)
            size += len(part.numbers)
    if block:
        yield block
