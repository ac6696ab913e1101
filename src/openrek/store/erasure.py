"""Erasing faces of a person: the rows, what they left in pages and log of the database, and what answers remember."""

import sqlite3
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, cast

from sqlalchemy import Connection, bindparam, delete, select, update

from openrek.store.copies import delete_from_copies
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.job_traces import forget_matches, ids_in
from openrek.store.schema import collections, faces, request_tokens, users
from openrek.store.users import Users
from openrek.store.vector_changes import next_change, note_removed

PATIENCE: Final = 10.0
"""Seconds that erasing waits for readers of the log's old pages."""

AT_ONCE: Final = 500


@dataclass(slots=True)
class Erasure:
    """What was erased: the ids of faces, and of the users that were left without a face."""

    faces: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)


def erase_faces(
    database: Database, collection: int, *, external_image_id: str | None = None, face_id: str | None = None
) -> Erasure:
    """Erase the faces with an external image id, or the one with a face id, from a collection (by number).

    Their users keep other faces, and go with the last one. Kept crops go with their faces, also out of a copy that is
    being made with another face model; so do answers that are kept for request tokens and name a face, and matches in
    results of searches in videos. On SQLite, the
    file is then written anew, as earlier writes may have left copies in its free space; that takes as much disk space
    again for a moment, and is done even where no face is found, so that an erasure which failed half-way can be
    finished. Raises CollectionMissingError, StoreError.
    """
    if (external_image_id is None) == (face_id is None):
        raise ValueError("either an external image id or a face id is needed")
    table = faces.c
    mine = table.face_id == face_id if face_id is not None else table.external_image_id == external_image_id
    statement = select(table.id, table.face_id, users.c.user_id)
    owned = faces.outerjoin(users, users.c.id == table.user_number)
    result = Erasure()
    with database.begin() as connection:
        if database.embedded:
            connection.exec_driver_sql("PRAGMA secure_delete=ON")  # what is freed is overwritten with zeros
        change = next_change(connection, collection)
        found = connection.execute(
            statement.select_from(owned).where(table.collection_number == collection, mine).order_by(table.id)
        ).all()
        of_users: dict[str, list[str]] = {}
        for row in found:
            if row.user_id is not None:
                of_users.setdefault(row.user_id, []).append(row.face_id)
        for user_id, face_ids in of_users.items():
            if Users(database).disassociate(connection, collection, user_id, face_ids).face_count == 0:
                Users(database).delete(connection, collection, user_id)
                result.users.append(user_id)
        for some in _parts([int(row.id) for row in found]):
            connection.execute(delete(faces).where(table.id.in_(some)))
            note_removed(connection, collection, "faces", change, some)
        counted = update(collections).where(collections.c.id == collection)
        connection.execute(counted.values(face_count=collections.c.face_count - len(found)))
        result.faces = [row.face_id for row in found]
        delete_from_copies(connection, collection, result.faces)
        gone = set(result.faces)
        if gone:
            _forget_answers(connection, gone)
            forget_matches(connection, gone)
    write_anew(database)
    return result


def _forget_answers(connection: Connection, face_ids: Set[str]) -> None:
    """Delete the answers that name one of the faces, in one pass: a search for each face takes seconds."""
    key = list(request_tokens.primary_key.columns)
    stored = select(*key, request_tokens.c.response).execution_options(yield_per=AT_ONCE)
    named = [
        {f"its_{column.name}": value for column, value in zip(key, values, strict=True)}
        for *values, response in connection.execute(stored)
        if not face_ids.isdisjoint(ids_in(response))
    ]
    if named:
        mine = (column == bindparam(f"its_{column.name}") for column in key)
        connection.execute(delete(request_tokens).where(*mine), named)


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), AT_ONCE):
        yield numbers[start : start + AT_ONCE]


def write_anew(database: Database) -> None:
    """Write SQLite's file anew with nothing but its rows, and cut off the log: both still show what was deleted.

    PostgreSQL's files are its own business. Raises StoreError.
    """
    if not database.embedded:
        return
    deadline = time.monotonic() + PATIENCE
    with database.engine.connect() as connection:
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        try:
            driver.execute("VACUUM")
            while driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > deadline:
                    raise StoreError(
                        "the faces are deleted, but another process is reading the database, so that pages of its log "
                        "could not be erased yet; erase again when it is done"
                    )
                time.sleep(0.05)
        except sqlite3.Error as error:
            raise StoreError(
                f"the faces are deleted, but traces of them may be in the database's free space, as writing it anew "
                f"failed ({error}); see that there is disk space, and erase again"
            ) from error
