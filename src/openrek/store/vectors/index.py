"""One index: the faces, or the users, of one collection, kept up with the database by its change numbers."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from openrek.store.errors import CollectionMissingError
from openrek.store.vector_changes import Changes, Floats, Kind
from openrek.store.vectors.base import Matches, Numbers, VectorSource
from openrek.store.vectors.cells import arrange
from openrek.store.vectors.files import IndexFiles, State
from openrek.store.vectors.quantise import Quantised, Query, quantise, quantise_query, width
from openrek.store.vectors.scan import BLOCK, Living, Rows, Workers, best_matches, candidates
from openrek.store.vectors.segment import DamagedError, Segment

log = logging.getLogger(__name__)

FIRST_CAPACITY: Final = 1024
LARGEST_CAPACITY: Final = 1 << 18
SAVE_AFTER: Final = 500_000  # changed rows that a crash may make us read again
SAMPLE: Final = 256
TRIES: Final = 5

CELLS_FROM: Final = 3_000_000
"""Rows from which on an index has cells; below, and until they are made, every row is looked at."""

PROBE_LEAST: Final = 1_000_000
PROBE_SHARE: Final = 0.22
"""The rows in cells that a search looks at: this share of all, and no fewer than PROBE_LEAST."""


class ClosedIndexError(Exception):
    """The index was closed or dropped; open it again."""


class Index:
    """Searching is safe from many threads, also while rows come and go. One process at a time has the folder.

    rewrite: how the index asks for `rewrite()` to be called on another thread, soon.
    """

    def __init__(
        self,
        folder: Path | None,
        collection: int,
        kind: Kind,
        source: VectorSource,
        *,
        rewrite: Callable[["Index"], None],
        cells_from: int = CELLS_FROM,
    ) -> None:
        self.collection = collection
        self.kind = kind
        self.progress: float | None = None
        """Of a rewriting that is under way: 0..1."""
        self._source = source
        self._request_rewrite = rewrite
        self._cells_from = cells_from
        self._lock = threading.RLock()  # held by whoever changes rows
        self._closed = False
        self._rewriting = False
        self._removed_meanwhile: list[Numbers] = []
        self._unsaved = 0
        self._files = IndexFiles(folder)
        self._state = self._load()
        self._dead = 0
        self._highest = self._count()
        self._trusted = not self._state.segments

    # --- searching ----------------------------------------------------------------------------------------------------

    def search(self, query: Floats, *, least: float, limit: int, workers: Workers) -> Matches:
        """As VectorSearch.search."""
        self.catch_up()
        coded = quantise_query(query)
        if self._state.dimension not in (0, len(coded.exact)):
            raise ValueError(f"the vectors have {self._state.dimension} dimensions, the query {len(coded.exact)}")
        wanted = limit
        for _ in range(TRIES):
            found = candidates(self._parts(coded), coded, least=least, limit=wanted, workers=workers)
            matches, missing = best_matches(found, coded, least=least, limit=limit, fetch=self._exact)
            if not missing:
                break
            wanted += missing  # rows that went during the search have taken the places of others
        return matches

    def _exact(self, numbers: Numbers) -> tuple[Numbers, Floats]:
        return self._source.vectors(self.collection, self.kind, numbers.tolist())

    def _parts(self, query: Query) -> list[Rows]:
        state = self._state
        parts = [segment.rows(0, segment.used) for segment in state.segments]
        if state.cells is not None:
            first = state.segments[0]
            rows = max(PROBE_LEAST, int(PROBE_SHARE * first.used))
            parts[:1] = [first.rows(start, stop) for start, stop in state.cells.nearest(query.exact, rows)]
        return parts

    # --- keeping up ---------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Rows in use, and those that were."""
        return sum(segment.used for segment in self._state.segments)

    @property
    def has_cells(self) -> bool:
        return self._state.cells is not None

    @property
    def rewriting(self) -> bool:
        """Whether a rewriting is under way or asked for."""
        return self._rewriting

    def catch_up(self) -> None:
        """Take in what was committed before this call. Raises CollectionMissingError, StoreError."""
        newest = self._source.newest(self.collection)
        if newest is None:
            raise CollectionMissingError(f"collection {self.collection} is gone")
        if newest == self._state.change and self._trusted:
            return
        with self._lock:
            if self._closed:
                raise ClosedIndexError
            newest = self._source.newest(self.collection) or 0  # another thread may have gone further meanwhile
            if newest < self._state.change:
                self._reset("it is ahead of the database, which was restored or replaced")
            self._take_in(newest)
            if not self._trusted:
                if not self._agrees():
                    self._reset("its rows are not those of the database")
                    self._take_in(newest)
                self._trusted = True
        self._maintain()

    def _take_in(self, newest: int) -> None:
        begun = self._state.change
        while self._state.change < newest:
            changes = self._source.since(self.collection, self._state.change, self.kind)
            self._apply(changes)
            if self._unsaved >= SAVE_AFTER:
                self.save()
        if self._source.forgotten(self.collection) > (begun or newest):
            self._reset("it has missed removals that the database does not tell any more")
            self._take_in(self._source.newest(self.collection) or 0)

    def _apply(self, changes: Changes) -> None:
        old = [(segment, segment.used) for segment in self._state.segments]
        gone = np.concatenate([changes.removed, changes.numbers[changes.numbers <= self._highest]])
        # the new rows first, so that a search meanwhile finds a replaced vector as it was or as it is
        if len(changes.numbers):
            self._append(changes.numbers, changes.vectors)
        if len(gone) and old:
            if self._rewriting:
                self._removed_meanwhile.append(gone)
            self._dead += sum(segment.remove(gone, used) for segment, used in old)
        self._unsaved += len(changes.removed) + len(changes.numbers)
        self._state.change = changes.upto

    def _append(self, numbers: Numbers, vectors: Floats) -> None:
        state = self._state
        if not state.dimension:
            state.dimension = vectors.shape[1]
        if vectors.shape[1] != state.dimension:
            raise ValueError(f"a vector of {vectors.shape[1]} dimensions among those of {state.dimension}")
        _fill(state, numbers, quantise(vectors), self._grown)
        self._highest = max(self._highest, int(numbers.max()))

    def _grown(self, state: State, rows: int) -> Segment:
        """A segment for at least some of `rows` rows, larger than the one before."""
        before = state.segments[-1].capacity if state.segments else 0
        return self._segment(state, min(LARGEST_CAPACITY, max(FIRST_CAPACITY, rows, 4 * before)))

    def _segment(self, state: State, capacity: int) -> Segment:
        """A new segment; in memory where the disk is full or cannot be written."""
        try:
            return Segment(self._files.new_path(), capacity, width(state.dimension))
        except OSError as error:
            self._keep_in_memory(error)
            return Segment(None, capacity, width(state.dimension))

    def _keep_in_memory(self, error: OSError) -> None:
        log.warning(
            "the search index of collection %d cannot be written (%s): it is kept in memory", self.collection, error
        )
        self._files = IndexFiles(None)

    def _agrees(self) -> bool:
        """Whether rows of the files, the last and some others, are the database's."""
        newest, random = self._state.change, np.random.default_rng()
        for segment in self._state.segments:
            used = np.nonzero(~np.isneginf(segment.errors[: segment.used]))[0]
            if not len(used):
                continue
            chosen = np.unique(np.concatenate([used[-SAMPLE // 4 :], random.choice(used, min(len(used), SAMPLE))]))
            numbers, vectors = self._exact(segment.numbers[chosen])
            if len(numbers) < len(chosen):
                return self._source.newest(self.collection) != newest  # some were deleted just now
            if not len(numbers) or vectors.shape[1] != self._state.dimension:
                return False
            place = chosen[np.argsort(segment.numbers[chosen])]
            vectors = vectors[np.argsort(numbers)]
            codes = segment.codes[place, : vectors.shape[1]].astype(np.float32) - 128
            far = np.linalg.norm(codes * segment.scales[place, None] - vectors, axis=1) > segment.errors[place] + 1e-3
            if far.any() and self._source.newest(self.collection) == newest:
                return False
        return True

    # --- files --------------------------------------------------------------------------------------------------------

    def _load(self) -> State:
        try:
            return self._files.load()
        except DamagedError as error:
            log.warning("the search index of collection %d is made again: %s", self.collection, error)
        except OSError as error:
            self._keep_in_memory(error)
            return State()
        try:
            self._files.clear()
        except OSError as error:
            self._keep_in_memory(error)
        return State()

    def _reset(self, reason: str) -> None:
        log.warning("the search index of collection %d is made again: %s", self.collection, reason)
        try:
            self._files.clear()
        except OSError as error:
            self._keep_in_memory(error)
        self._state = State()
        self._highest, self._dead, self._unsaved, self._trusted = -1, 0, 0, True
        self._rewriting = False

    def _count(self) -> int:
        """Count the rows out of use; the highest number."""
        highest = -1
        for segment in self._state.segments:
            self._dead += int(np.isneginf(segment.errors[: segment.used]).sum())
            highest = max(highest, int(segment.numbers[: segment.used].max(initial=-1)))
        return highest

    def save(self) -> None:
        """Make what is there durable, so that the next start need not read it again."""
        with self._lock:
            if not self._unsaved or self._closed:
                return
            try:
                self._files.save(self._state)
            except OSError as error:
                self._keep_in_memory(error)
            self._unsaved = 0

    def close(self) -> None:
        """Save, and change nothing from here on."""
        with self._lock:
            self.save()
            self._closed = True

    def drop(self) -> None:
        """Delete the files: the collection is gone."""
        with self._lock:
            self._closed = True
            self._state = State()
            try:
                self._files.clear()
                if self._files.folder is not None:
                    self._files.folder.rmdir()
            except OSError as error:
                log.warning("cannot delete the search index of collection %d: %s", self.collection, error)

    # --- rewriting ----------------------------------------------------------------------------------------------------

    def _maintain(self) -> None:
        """Ask for a rewriting where many rows are out of use, or many are in no cell."""
        rows = self.rows
        state = self._state
        outside = rows - (state.segments[0].used if state.cells is not None else 0)
        wasted = self._dead > max(10_000, rows // 5)
        scattered = rows - self._dead >= self._cells_from and outside > max(self._cells_from // 4, rows // 5)
        if wasted or scattered:
            with self._lock:
                if self._rewriting or self._closed:
                    return
                self._rewriting, self._removed_meanwhile = True, []
            self._request_rewrite(self)

    def rewrite(self) -> None:
        """Write the rows in use anew, in cells where there are many; searches and changes go on meanwhile."""
        with self._lock:
            old = self._state
            if not self._rewriting or self._closed:
                return
            marks = [segment.used for segment in old.segments]
        self.progress = 0.0
        try:
            rows = Living([segment.rows(0, mark) for segment, mark in zip(old.segments, marks, strict=True)])
            new = State(dimension=old.dimension)
            order = np.arange(len(rows))
            if len(rows) >= self._cells_from:
                new.cells, order = arrange(rows, self._report)
            if len(order):
                segment = self._segment(new, len(order))
                for start in range(0, len(rows), BLOCK):
                    segment.append(*_quantised(rows.take(order[start : start + BLOCK])))
                new.segments = (segment,)
            with self._lock:
                if self._rewriting and not self._closed and self._state is old:
                    self._swap(old, marks, new)
        finally:
            with self._lock:
                self.progress = None
                self._rewriting = False
                self._removed_meanwhile = []
                try:
                    self._files.tidy(self._state)
                except OSError as error:
                    self._keep_in_memory(error)

    def _report(self, done: float) -> None:
        self.progress = done
        log.info("ordering the search index of collection %d: %.0f %%", self.collection, 100 * done)

    def _swap(self, old: State, marks: list[int], new: State) -> None:
        """Take over what happened during the rewriting, then put the new rows in the place of the old."""
        self._dead = sum(segment.remove(n) for n in self._removed_meanwhile for segment in new.segments)
        later = [segment.rows(mark, segment.used) for segment, mark in zip(old.segments, marks, strict=False)]
        later += [segment.rows(0, segment.used) for segment in old.segments[len(marks) :]]
        fresh = Living(later)
        for start in range(0, len(fresh), BLOCK):
            rows = fresh.take(np.arange(start, min(len(fresh), start + BLOCK)))
            _fill(new, *_quantised(rows), self._grown)
        new.change = old.change
        self._state = new
        self._unsaved += 1
        self.save()


def _fill(state: State, numbers: Numbers, quantised: Quantised, new_segment: Callable[[State, int], Segment]) -> None:
    """Append rows to the last segment, and to new ones as far as needed."""
    start = 0
    while start < len(numbers):
        if not state.segments or not state.segments[-1].free:
            state.segments = (*state.segments, new_segment(state, len(numbers) - start))
        segment = state.segments[-1]
        part = slice(start, start + segment.free)
        coded = Quantised(quantised.codes[part], quantised.scales[part], quantised.errors[part])
        segment.append(numbers[part], coded)
        start += len(numbers[part])


def _quantised(rows: Rows) -> tuple[Numbers, Quantised]:
    return rows.numbers, Quantised(rows.codes, rows.scales, rows.errors)
