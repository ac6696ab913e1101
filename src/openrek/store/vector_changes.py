"""Vectors in the database, and the numbered changes by which a search index keeps up with them.

Each write raises the collection's change number in its own transaction and waits for the write before it, so that the
changes of one collection become visible in the order of their numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from openrek.store.copies import REPLACED
from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError
from openrek.store.schema import collections, faces, removed_vectors, users

Kind = Literal["faces", "users"]
Floats = NDArray[np.float32]

KEPT_REMOVALS: Final = 20_000
"""Removed vectors of a collection whose numbers are kept for indexes that were away; twice as many for a while. An
index that missed more is made again."""

_CHANGE: Final = select(collections.c.change).where(collections.c.id == bindparam("number"))
_FORGOTTEN: Final = select(collections.c.forgotten_change).where(collections.c.id == bindparam("number"))
_TABLES: Final = {"faces": faces, "users": users}


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What happened to a collection's vectors, up to change number `upto`.

    Take `removed` (int64) out first, then put `numbers` (N,) int64 with `vectors` (N, D) float32 in, over what an index
    may hold under the same number. A number may be in both, or be removed without having been there.
    """

    upto: int
    removed: NDArray[np.int64]
    numbers: NDArray[np.int64]
    vectors: Floats


class VectorChanges:
    """The changes of the collections of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, collection: int) -> int | None:
        """The number of a collection's newest change (0 before the first), None when it is gone. Microseconds."""
        rows = self._database.fetch(_CHANGE, number=collection)
        return int(rows[0][0]) if rows else None

    def forgotten(self, collection: int) -> int:
        """The change number up to which it is no more known which vectors went: whoever is behind it begins at 0."""
        rows = self._database.fetch(_FORGOTTEN, number=collection)
        return int(rows[0][0]) if rows else 0

    def since(self, collection: int, change: int, kind: Kind = "faces", *, limit: int = 100_000) -> Changes:
        """The changes after number `change`, in order: all, or those with the first `limit` new vectors or a few more.

        Call again from `upto` until that is the newest. From 0 it gives every vector there is; what was removed
        up to `forgotten` is not told. Raises CollectionMissingError.
        """
        table = _TABLES[kind]
        mine = table.c.collection_number == collection, table.c.change > change, table.c.vector.is_not(None)
        with self._database.read() as connection:
            upto = connection.execute(_CHANGE, {"number": collection}).scalar_one_or_none()
            if upto is None:
                raise CollectionMissingError(f"collection {collection} is gone")
            last = connection.execute(
                select(table.c.change).where(*mine).order_by(table.c.change).limit(1).offset(limit - 1)
            ).scalar_one_or_none()
            upto = min(upto, last) if last is not None else upto
            added = connection.execute(
                select(table.c.id, table.c.vector).where(*mine, table.c.change <= upto).order_by(table.c.change)
            ).all()
            gone = removed_vectors.c
            removed = connection.execute(
                select(gone.number).where(
                    gone.collection_number == collection, gone.kind == kind, gone.change > change, gone.change <= upto
                )
            ).scalars()
            return Changes(
                upto=int(upto),
                removed=np.fromiter(removed, np.int64),
                numbers=np.fromiter((row.id for row in added), np.int64, len(added)),
                vectors=unpack([row.vector for row in added]),
            )


# --- for the writers --------------------------------------------------------------------------------------------------


def next_change(connection: Connection, collection: int) -> int:
    """Begin a change of a collection: the number it gets. Other writers of the collection wait until this one ends.

    Raises CollectionMissingError when the collection is gone.
    """
    table = collections
    raised = (
        update(table)
        .where(table.c.id == collection, table.c.account_id.not_in(("", REPLACED)))
        .values(change=table.c.change + 1)
        .returning(table.c.change)
    )
    change = connection.execute(raised).scalar_one_or_none()
    if change is None:
        raise CollectionMissingError(f"collection {collection} is gone")
    return int(change)


def note_removed(connection: Connection, collection: int, kind: Kind, change: int, numbers: Sequence[int]) -> None:
    """Record that vectors went with a change; the oldest such records are thrown away when they are many."""
    if not numbers:
        return
    row = {"collection_number": collection, "kind": kind, "change": change}
    connection.execute(insert(removed_vectors), [row | {"number": number} for number in numbers])
    table = collections
    mine = table.c.id == collection
    counted = update(table).where(mine).values(removed_count=table.c.removed_count + len(numbers))
    if connection.execute(counted.returning(table.c.removed_count)).scalar_one() > 2 * KEPT_REMOVALS:
        _forget_removed(connection, collection)


def _forget_removed(connection: Connection, collection: int) -> None:
    gone = removed_vectors.c
    mine = gone.collection_number == collection
    newest = select(gone.change).where(mine).order_by(gone.change.desc())
    upto = connection.execute(newest.offset(KEPT_REMOVALS).limit(1)).scalar_one()
    connection.execute(delete(removed_vectors).where(mine, gone.change <= upto))
    left = select(func.count()).select_from(removed_vectors).where(mine).scalar_subquery()
    connection.execute(
        update(collections).where(collections.c.id == collection).values(forgotten_change=upto, removed_count=left)
    )


def pack(vector: Floats) -> bytes:
    """A vector as it is stored."""
    return np.asarray(vector, "<f4").tobytes()


def unpack(stored: Sequence[Any]) -> Floats:
    """N stored vectors as (N, D) float32; (0, 0) for none."""
    if not stored:
        return np.zeros((0, 0), np.float32)
    rows = np.frombuffer(b"".join(stored), "<f4").reshape(len(stored), -1)
    return np.array(rows, np.float32)


def unit(vectors: Floats) -> Floats:
    """(N, D) with rows of length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
