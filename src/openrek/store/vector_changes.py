"""Vectors in the database, and the numbered changes by which a search index keeps up with them.

Each write raises the collection's change number in its own transaction and waits for the write before it, so that the
changes of one collection become visible in the order of their numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, insert, select, update

from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError
from openrek.store.schema import collections, faces, removed_vectors, users

Kind = Literal["faces", "users"]
Floats = NDArray[np.float32]

_CHANGE: Final = select(collections.c.change).where(collections.c.id == bindparam("number"))
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

    def since(self, collection: int, change: int, kind: Kind = "faces", *, limit: int = 100_000) -> Changes:
        """The changes after number `change`, in order: all, or those with the first `limit` new vectors or a few more.

        Call again from `upto` until that is the newest. From 0 it gives every vector there is. Raises
        CollectionMissingError.
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
        .where(table.c.id == collection, table.c.account_id != "")
        .values(change=table.c.change + 1)
        .returning(table.c.change)
    )
    change = connection.execute(raised).scalar_one_or_none()
    if change is None:
        raise CollectionMissingError(f"collection {collection} is gone")
    return int(change)


def note_removed(connection: Connection, collection: int, kind: Kind, change: int, numbers: Sequence[int]) -> None:
    """Record that vectors went with a change."""
    if numbers:
        row = {"collection_number": collection, "kind": kind, "change": change}
        connection.execute(insert(removed_vectors), [row | {"number": number} for number in numbers])


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
