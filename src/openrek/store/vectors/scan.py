"""The two stages of a search: all rows by their codes, then the few that can matter by their exact vectors.

The first stage leaves out only rows that, by the bound of `quantise`, cannot be among the best; the second reads exact
vectors in the order of the first and stops where no row left can do better than the worst one kept (Seidl and Kriegel,
Optimal multi-step k-nearest neighbor search, 1998). So nothing is lost to the codes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from openrek.store.vector_changes import Floats
from openrek.store.vectors.base import Matches, Numbers
from openrek.store.vectors.kernel import products
from openrek.store.vectors.quantise import Codes, Query

BLOCK: Final = 1 << 16  # rows whose products and scores stay in a core's cache
SHARE: Final = 1 << 18  # rows that are worth another thread
LEAST_SLACK: Final = 1e-6


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

    def best(self, limit: int, least: float) -> tuple["Candidates", float]:
        """Without those that `limit` others beat for sure; and the cosine that a row must be able to reach."""
        if len(self.lower) > limit:
            kept = len(self.lower) - limit
            least = max(least, float(np.partition(self.lower, kept)[kept]))
        mask = self.upper >= least
        return Candidates(self.numbers[mask], self.lower[mask], self.upper[mask]), least


def candidates(
    parts: Sequence[Rows], query: Query, *, least: float, limit: int, executor: Executor | None = None
) -> Candidates:
    """The rows of all parts that may be among the `limit` best of at least `least`."""
    shares = list(_shares(parts)) if executor is not None else [parts]
    if executor is None or len(shares) == 1:
        return _scan(parts, query, least, limit)
    found = list(executor.map(lambda share: _scan(share, query, least, limit), shares))
    return Candidates.join(found).best(limit, least)[0]


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


def _scan(parts: Sequence[Rows], query: Query, least: float, limit: int) -> Candidates:
    """One thread's share. The bound rises as better rows are found, and fewer pass it."""
    found = Candidates.join([])
    floor = least - LEAST_SLACK
    many = 4 * limit + 1024
    pending: list[Candidates] = []
    waiting = 0
    slack = np.float32(query.error)
    for block in _blocks(parts):
        products_of = [products(rows.codes, query.columns) for rows in block]
        numbers, scales, errors = block[0].numbers, block[0].scales, block[0].errors
        if len(block) > 1:
            numbers = np.concatenate([rows.numbers for rows in block])
            scales = np.concatenate([rows.scales for rows in block])
            errors = np.concatenate([rows.errors for rows in block])
        scores = np.concatenate(products_of).astype(np.float32) @ query.weights
        scores *= scales
        errors = errors + slack
        upper = scores + errors
        hits = np.nonzero(upper >= floor)[0]
        if not len(hits):
            continue
        pending.append(Candidates(numbers[hits], scores[hits] - errors[hits], upper[hits]))
        waiting += len(hits)
        if waiting > many:
            found, floor = Candidates.join([found, *pending]).best(limit, floor)
            pending, waiting = [], 0
    return Candidates.join([found, *pending]).best(limit, floor)[0]


def _blocks(parts: Sequence[Rows]) -> Iterator[list[Rows]]:
    """The parts in groups of at most BLOCK rows: what is done once a group costs little even where parts are small."""
    block: list[Rows] = []
    size = 0
    for rows in parts:
        for start in range(0, len(rows.numbers), BLOCK):
            part = rows.part(start, start + BLOCK)
            if block and size + len(part.numbers) > BLOCK:
                yield block
                block, size = [], 0
            block.append(part)
            size += len(part.numbers)
    if block:
        yield block


def _shares(parts: Sequence[Rows]) -> Iterator[list[Rows]]:
    """The parts in shares of about SHARE rows."""
    share: list[Rows] = []
    size = 0
    for rows in parts:
        start = 0
        while start < len(rows.numbers):
            stop = min(len(rows.numbers), start + SHARE - size)
            share.append(rows.part(start, stop))
            size += stop - start
            start = stop
            if size == SHARE:
                yield share
                share, size = [], 0
    if share:
        yield share
