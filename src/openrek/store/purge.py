"""What deleted collections leave, and how it goes: in the background, in steps that keep no writer waiting for long.

A collection that was deleted, or whose place a copy has taken, is out of sight at once and for good. Its rows, kept
crops and vectors then go step by step. What a crash leaves is found by the next process that looks; servers of one
database take turns.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, tuple_

from openrek.store.copies import REPLACED
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.schema import collections, faceless_pictures, faces, now_ms, removed_vectors, users
from openrek.store.vectors.base import VectorSearch

log = logging.getLogger(__name__)

BATCH: Final = 1_000
"""Rows that are deleted in one transaction: 30 ms on SQLite, where other writers wait for it."""

GRACE: Final = 10.0
"""Seconds for which requests that began before still find what a replaced collection holds."""

EVERY: Final = 600.0
"""Seconds after which it is looked again for what other processes left."""

_OWNED: Final = (faces, users, removed_vectors, faceless_pictures)  # in this order: faces refer to users

Progress = Callable[[int, int], None]
"""Told how many rows are gone, of about how many."""


class Step(NamedTuple):
    """A transaction's work: the number of the collection, how many rows went, whether nothing is left of it now."""

    number: int
    rows: int
    done: bool


def purge_step(database: Database, *, number: int | None = None, grace: float = GRACE) -> Step | None:
    """Delete some rows of a collection that was deleted, or was replaced more than `grace` seconds ago; None where
    there is none. number: only of this one. Raises StoreError."""
    wanted = _gone(grace) if number is None else _gone(grace) & (collections.c.id == number)
    first = select(func.min(collections.c.id)).where(wanted)
    with database.read() as connection:  # asking takes nobody's turn
        if connection.execute(first).scalar() is None:
            return None
    with database.begin(alone="purge") as connection:
        found = connection.execute(first).scalar()
        if found is None:
            return None
        left = BATCH
        for table in _OWNED:
            key = list(table.primary_key.columns)
            some = select(*key).where(table.c.collection_number == found).limit(left)
            left -= connection.execute(delete(table).where(tuple_(*key).in_(some))).rowcount
            if not left:
                return Step(int(found), BATCH, done=False)
        connection.execute(delete(collections).where(collections.c.id == found))
        return Step(int(found), BATCH - left, done=True)


def purge_collection(database: Database, number: int) -> None:
    """Delete all that a deleted collection left, before this returns; others have turns between. Raises StoreError."""
    while True:
        begun = time.monotonic()
        step = purge_step(database, number=number, grace=0)
        if step is None or step.done:
            return
        time.sleep(time.monotonic() - begun)


class Purger:
    """The purging of one process, in a thread of its own once it is started."""

    def __init__(self, database: Database, vectors: VectorSearch) -> None:
        self._database = database
        self._vectors = vectors
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Let the thread look now (it is started where it is not) for what was deleted; it looks again now and then."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="purge", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread after the step that it is at; the next process goes on from there."""
        self._closing.set()
        self._wake.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def purge(self, *, grace: float = GRACE, progress: Progress = lambda done, total: None) -> list[int]:
        """Delete all that deleted collections left, and replaced ones after `grace` seconds, before this returns; the
        numbers of those of which nothing is left. Raises StoreError."""
        total, rows = self._waiting(grace), 0
        gone = []
        while not self._closing.is_set():
            begun = time.monotonic()
            step = purge_step(self._database, grace=grace)
            if step is None:
                break
            rows += step.rows
            progress(min(rows, total), total)
            if step.done:
                self._vectors.forget(step.number)
                gone.append(step.number)
            self._closing.wait(time.monotonic() - begun)  # others have as much time as we took
        self._vectors.sweep()
        return gone

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self.purge()
            except StoreError as error:
                log.error("deleting what deleted collections left is tried again later: %s", error)
            except Exception:
                log.exception("deleting what deleted collections left is tried again later")
            self._wake.wait(EVERY)

    def _waiting(self, grace: float) -> int:
        """About how many rows there are to delete."""
        counted = select(func.sum(collections.c.face_count + collections.c.user_count)).where(_gone(grace))
        with self._database.read() as connection:
            return int(connection.execute(counted).scalar() or 0)


def _gone(grace: float) -> ColumnElement[bool]:
    """Whether a collection is one whose rows are to go."""
    table = collections.c
    replaced = (table.account_id == REPLACED) & (table.created_ms <= now_ms() - int(1000 * grace))
    return (table.account_id == "") | replaced
