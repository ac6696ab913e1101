"""Copies of collections that are made out of sight, with another face model, to take their place (store.reindex).

What is deleted from a collection meanwhile goes from its copies in the same transaction: nobody's face stays behind in
one that is never finished.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, String, cast, delete, select, update

from openrek.store.schema import collections, faces, users

REPLACED: Final = "replaced"
"""The account of a collection whose place a copy has taken; `created_ms` says when that was."""

AT_ONCE: Final = 500
STALE: Final = -1
"""The face count of a copied user whose vector is to be made anew."""


def copies_of(collection: int) -> Select[Any]:
    """The numbers of the copies of a collection."""
    return select(collections.c.id).where(collections.c.copy_of == collection)


def delete_from_copies(connection: Connection, collection: int, face_ids: Sequence[str]) -> None:
    """Delete faces of a collection from its copies."""
    numbers = list(connection.execute(copies_of(collection)).scalars())
    for copy in numbers:
        for some in _parts(face_ids):
            mine = (faces.c.collection_number == copy) & faces.c.face_id.in_(some)
            owners = select(faces.c.user_number).where(mine)
            connection.execute(update(users).where(users.c.id.in_(owners)).values(face_count=STALE, vector=None))
            connection.execute(delete(faces).where(mine))


def hide_copies(connection: Connection, collection: int) -> None:
    """Put the copies of a deleted collection among the deleted ones."""
    connection.execute(
        update(collections)
        .where(collections.c.copy_of == collection)
        .values(account_id="", collection_id=cast(collections.c.id, String), copy_of=None)
    )


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]
