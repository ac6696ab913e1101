"""Vector search on this machine: every process has a folder of indexes of its own.

    <folder>/<slot>.lock              held by the process that uses the slot
    <folder>/<slot>/<collection>-<kind>/   one index (files.py)

A process takes the first slot that no other has, so that a server that starts again finds its files, and a second
server, or the command line beside a server, makes its own. All of it can be deleted at any time.
"""

import logging
import os
import shutil
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from openrek.store.errors import CollectionMissingError
from openrek.store.vector_changes import Floats, Kind
from openrek.store.vectors.base import Matches, VectorSource
from openrek.store.vectors.index import CELLS_FROM, ClosedIndexError, Index
from openrek.store.vectors.scan import Workers

log = logging.getLogger(__name__)

OPEN_INDEXES: Final = 256
SLOTS: Final = 64
SWEEP_EVERY: Final = 60.0
"""Seconds after which it is looked again whether collections went, deleted by another process."""

KINDS: Final[tuple[Kind, ...]] = ("faces", "users")


class EmbeddedSearch:
    """A VectorSearch that looks at 8-bit codes in memory-mapped files, then at the exact vectors of the source.

    The answer is that of looking at every vector, except in a collection of more than `cells_from`: there only the
    cells next to the query are looked at (index.py). A folder that cannot be written is done without.
    """

    def __init__(
        self, folder: Path, source: VectorSource, *, threads: int | None = None, cells_from: int = CELLS_FROM
    ) -> None:
        self._folder = folder
        self._source = source
        self._cells_from = cells_from
        self._lock = threading.Lock()
        self._slot: _Slot | None = None
        self._indexes: OrderedDict[tuple[int, Kind], Index] = OrderedDict()
        self._opening: dict[tuple[int, Kind], threading.Lock] = {}
        self._one_rewriting = threading.Lock()
        self._swept = time.monotonic()
        count = threads or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
        self._workers = Workers(count)

    def search(self, collection: int, query: Floats, *, least: float = -1.0, limit: int, kind: Kind) -> Matches:
        """As VectorSearch.search."""
        self._sweep_in_time()
        while True:
            index = self.index(collection, kind)
            try:
                return index.search(query, least=least, limit=limit, workers=self._workers)
            except ClosedIndexError:  # it was not used for long, and closed just now
                self._discard(index)
            except CollectionMissingError:
                self.forget(collection)
                raise

    def index(self, collection: int, kind: Kind) -> Index:
        """The index of a collection, opened where it is not; up to date only after `catch_up`."""
        key = (collection, kind)
        with self._lock:
            found = self._indexes.get(key)
            if found is not None:
                self._indexes.move_to_end(key)
                return found
            if self._slot is None:
                self._slot = _Slot.take(self._folder, self._source)
            slot = self._slot
            opening = self._opening.setdefault(key, threading.Lock())
        with opening:  # reading and verifying the files of one collection keeps no other waiting
            with self._lock:
                if key in self._indexes:
                    return self._indexes[key]
            found = Index(
                slot.folder_of(collection, kind),
                collection,
                kind,
                self._source,
                rewrite=self._rewrite,
                cells_from=self._cells_from,
            )
            with self._lock:
                self._indexes[key] = found
                self._opening.pop(key, None)
                if len(self._indexes) > OPEN_INDEXES:  # closed before anyone can open it again
                    self._indexes.popitem(last=False)[1].close()
        return found

    def forget(self, collection: int) -> None:
        """As VectorSearch.forget; in slots that no process uses, the collection's indexes are deleted."""
        gone = self._source.newest(collection) is None
        for kind in KINDS:
            index = self.index(collection, kind)
            if gone:
                self._discard(index)
                index.drop()
            else:
                index.catch_up()
                index.save()
        for slot in _Slot.idle(self._folder):
            for kind in KINDS:
                slot.delete(collection, kind)
            slot.release()

    def close(self) -> None:
        """As VectorSearch.close."""
        with self._lock:
            indexes, self._indexes = list(self._indexes.values()), OrderedDict()
            slot, self._slot = self._slot, None
        self._workers.close()
        for index in indexes:
            index.close()
        if slot is not None:
            slot.release()

    def sweep(self) -> None:
        """As VectorSearch.sweep: indexes of collections that another process deleted hold people's vectors."""
        with self._lock:
            self._swept = time.monotonic()
            indexes, slot = list(self._indexes.values()), self._slot
        for index in indexes:
            if self._source.newest(index.collection) is None:
                self._discard(index)
                index.drop()
        if slot is not None:
            slot.delete_gone(self._source)

    def _sweep_in_time(self) -> None:
        with self._lock:
            early = time.monotonic() - self._swept < SWEEP_EVERY
        if not early:
            self.sweep()

    def _discard(self, index: Index) -> None:
        key = (index.collection, index.kind)
        with self._lock:
            if self._indexes.get(key) is index:
                del self._indexes[key]

    def _rewrite(self, index: Index) -> None:
        threading.Thread(target=self._rewrite_now, args=(index,), name="vectors-rewrite", daemon=True).start()

    def _rewrite_now(self, index: Index) -> None:
        with self._one_rewriting:
            try:
                index.rewrite()
            except Exception:  # the index stays as it is: slower, not wrong
                log.exception("ordering the search index of collection %d failed", index.collection)


class _Slot:
    """A numbered folder that is ours while we hold its lock; without a folder, indexes are kept in memory."""

    def __init__(self, folder: Path | None, lock: FileLock | None) -> None:
        self.folder = folder
        self._lock = lock

    @classmethod
    def take(cls, folder: Path, source: VectorSource) -> "_Slot":
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            slot = next((slot for slot in (cls._try(folder, i) for i in range(SLOTS)) if slot is not None), None)
        except OSError as error:
            log.warning("the search indexes are kept in memory: cannot write to %s (%s)", folder, error)
            return cls(None, None)
        if slot is None:
            log.warning("the search indexes are kept in memory: all %d slots of %s are in use", SLOTS, folder)
            return cls(None, None)
        slot.delete_gone(source)
        return slot

    @classmethod
    def idle(cls, folder: Path) -> list["_Slot"]:
        """All slots that no process uses, taken."""
        try:
            numbers = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
            return [slot for slot in (cls._try(folder, i) for i in numbers) if slot is not None]
        except OSError:
            return []

    @classmethod
    def _try(cls, folder: Path, number: int) -> "_Slot | None":
        lock = FileLock(folder / f"{number}.lock", thread_local=False, mode=0o600)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return cls(folder / str(number), lock)

    def folder_of(self, collection: int, kind: Kind) -> Path | None:
        return self.folder / f"{collection}-{kind}" if self.folder is not None else None

    def delete(self, collection: int, kind: Kind) -> None:
        folder = self.folder_of(collection, kind)
        if folder is not None and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)

    def delete_gone(self, source: VectorSource) -> None:
        """Delete the indexes of collections that were deleted while nobody looked."""
        if self.folder is None or not self.folder.is_dir():
            return
        for entry in self.folder.iterdir():
            number = entry.name.partition("-")[0]
            if number.isdecimal() and source.newest(int(number)) is None:
                shutil.rmtree(entry, ignore_errors=True)

    def release(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                self._lock.release()
