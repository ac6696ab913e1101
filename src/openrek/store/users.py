"""Users of a collection: up to 100 faces of one person under a name, with one vector made of theirs.

The writing methods work in a transaction that the caller gives, so that a request token can be recorded in it too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Select, delete, select, update

from openrek.store.database import Database
from openrek.store.errors import ExistsError, FullError, UserMissingError
from openrek.store.schema import collections, faces, now_ms, users
from openrek.store.vector_changes import Floats, next_change, note_removed, pack, unit, unpack

MAX_FACES: Final = 100
"""The most faces that a user may have."""

FACE_NOT_FOUND: Final = "FACE_NOT_FOUND"
ANOTHER_USERS: Final = "ASSOCIATED_TO_A_DIFFERENT_USER"
LOW_MATCH: Final = "LOW_MATCH_CONFIDENCE"

_POWER: Final = 0.75
"""The mean of a person's faces points nearer to everybody than the faces do, the more so the less alike these are.
Times this power of the mean's length, its cosines let no more strangers through than those of two faces do; the whole
length, which makes them means of cosines, would keep fewer of the person's own (training/similarity/README.md)."""

_COLUMNS: Final = (users.c.id, users.c.user_id, users.c.face_count)


@dataclass(frozen=True, slots=True, eq=False)
class User:
    """A user of a collection: `number` is the store's own and never given twice; `vector` is there where asked for, and
    where the user has a face: the mean of the faces' vectors, at length 1."""

    number: int
    user_id: str
    face_count: int
    vector: Floats | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A face that was left as it is: why, whose it is, or how alike it is to the user (cosine times factor)."""

    face_id: str
    reason: str
    user_id: str | None = None
    cosine: float | None = None


@dataclass(slots=True)
class Membership:
    """What a change of a user's faces came to: the face ids that were changed, those that were not, faces now."""

    changed: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    face_count: int = 0


class Users:
    """The users of one database; collections are given by number. All methods raise StoreError when it fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading ------------------------------------------------------------------------------------------------------

    def find(self, collection: int, user_id: str) -> User | None:
        """A user with vector, None where there is none of that name."""
        with self._database.read() as connection:
            row = connection.execute(_named(collection, user_id)).one_or_none()
            return _user(row) if row is not None else None

    def numbered(self, collection: int, numbers: Iterable[int]) -> dict[int, User]:
        """The users with these numbers, by number; those that are gone are left out."""
        wanted = [int(number) for number in numbers]
        statement = select(*_COLUMNS).where(users.c.collection_number == collection, users.c.id.in_(wanted))
        with self._database.read() as connection:
            return {row.id: _user(row) for row in connection.execute(statement)}

    def factors(self, numbers: Iterable[int]) -> dict[int, float]:
        """What a cosine to a user's vector is to be multiplied by before it is held against those of two faces, by
        number: 0..1, 1 for one face and for faces that are all alike. Users without a face are left out.
        """
        with self._database.read() as connection:
            return _factors(connection, numbers)

    def page(self, collection: int, *, after: int = 0, limit: int) -> list[User]:
        """Up to `limit` users with numbers above `after`, in the order of their creation."""
        table = users.c
        statement = select(*_COLUMNS).where(table.collection_number == collection, table.id > after)
        with self._database.read() as connection:
            return [_user(row) for row in connection.execute(statement.order_by(table.id).limit(limit))]

    # --- writing, in the caller's transaction -------------------------------------------------------------------------

    def create(self, connection: Connection, collection: int, user_id: str, *, limit: int | None = None) -> None:
        """Make a user without faces.

        limit: the most users that the collection may have afterwards. Raises ExistsError, CollectionMissingError,
        FullError.
        """
        change = next_change(connection, collection)
        row = {"collection_number": collection, "user_id": user_id, "change": change, "created_ms": now_ms()}
        if not self._database.insert_if_absent(users, row, connection):
            raise ExistsError(f"the user id {user_id} is in use")
        count = _count(connection, collection, 1)
        if limit is not None and count > limit:
            raise FullError(limit)

    def delete(self, connection: Connection, collection: int, user_id: str) -> None:
        """Delete a user; the faces stay in the collection. Raises UserMissingError, CollectionMissingError."""
        change = next_change(connection, collection)
        user = _existing(connection, collection, user_id)
        connection.execute(update(faces).where(faces.c.user_number == user.number).values(user_number=None))
        connection.execute(delete(users).where(users.c.id == user.number))
        if user.vector is not None:
            note_removed(connection, collection, "users", change, [user.number])
        _count(connection, collection, -1)

    def associate(
        self, connection: Connection, collection: int, user_id: str, face_ids: Sequence[str], *, least: float
    ) -> Membership:
        """Give faces to a user.

        least: the least cosine between a face and the user's vector, times the user's factor; where the user has no
        face yet, the first face given is taken and the others are held against it. Faces that are the user's already
        are in no list.
        Raises FullError (nothing is changed then), UserMissingError, CollectionMissingError.
        """
        change = next_change(connection, collection)
        user = _existing(connection, collection, user_id)
        found = _faces(connection, collection, face_ids)
        reference = user.vector
        if reference is not None:
            reference = reference * np.float32(_factors(connection, [user.number])[user.number])
        result = Membership()
        for face_id in dict.fromkeys(face_ids):
            face = found.get(face_id)
            if face is None:
                result.refused.append(Refusal(face_id, FACE_NOT_FOUND))
            elif face.user_number is not None:
                if face.user_number != user.number:
                    result.refused.append(Refusal(face_id, ANOTHER_USERS, user_id=face.user_id))
            else:
                vector = unpack([face.vector])[0]
                reference = vector if reference is None else reference
                cosine = float(np.clip(vector @ reference, -1, 1))
                if cosine < least and vector is not reference:
                    result.refused.append(Refusal(face_id, LOW_MATCH, cosine=cosine))
                else:
                    result.changed.append(face_id)
        result.face_count = user.face_count + len(result.changed)
        if result.changed:
            if result.face_count > MAX_FACES:
                raise FullError(MAX_FACES)
            _give(connection, [found[face_id].id for face_id in result.changed], user.number)
            _renew(connection, collection, user, result.face_count, change)
        return result

    def disassociate(
        self, connection: Connection, collection: int, user_id: str, face_ids: Sequence[str]
    ) -> Membership:
        """Take faces from a user. Faces that are nobody's are in no list. Raises as `associate` does, but FullError."""
        change = next_change(connection, collection)
        user = _existing(connection, collection, user_id)
        found = _faces(connection, collection, face_ids)
        result = Membership()
        for face_id in dict.fromkeys(face_ids):
            face = found.get(face_id)
            if face is None:
                result.refused.append(Refusal(face_id, FACE_NOT_FOUND))
            elif face.user_number == user.number:
                result.changed.append(face_id)
            elif face.user_number is not None:
                result.refused.append(Refusal(face_id, ANOTHER_USERS, user_id=face.user_id))
        result.face_count = user.face_count - len(result.changed)
        if result.changed:
            _give(connection, [found[face_id].id for face_id in result.changed], None)
            _renew(connection, collection, user, result.face_count, change)
        return result


# --- parts ------------------------------------------------------------------------------------------------------------


def _named(collection: int, user_id: str) -> Select[Any]:
    statement = select(*_COLUMNS, users.c.vector)
    return statement.where(users.c.collection_number == collection, users.c.user_id == user_id)


def _user(row: Any) -> User:
    number, user_id, face_count, *vector = row
    return User(number, user_id, face_count, unpack(vector)[0] if vector and vector[0] is not None else None)


def _existing(connection: Connection, collection: int, user_id: str) -> User:
    row = connection.execute(_named(collection, user_id)).one_or_none()
    if row is None:
        raise UserMissingError(f"there is no user {user_id}")
    return _user(row)


def _faces(connection: Connection, collection: int, face_ids: Sequence[str]) -> dict[str, Any]:
    columns = (faces.c.id, faces.c.face_id, faces.c.user_number, faces.c.vector, users.c.user_id)
    statement = select(*columns).select_from(faces.outerjoin(users, users.c.id == faces.c.user_number))
    mine = statement.where(faces.c.collection_number == collection, faces.c.face_id.in_(face_ids))
    return {row.face_id: row for row in connection.execute(mine)}


def _factors(connection: Connection, numbers: Iterable[int]) -> dict[int, float]:
    """As Users.factors."""
    wanted = [int(number) for number in numbers]
    statement = select(faces.c.user_number, faces.c.vector).where(faces.c.user_number.in_(wanted))
    rows = connection.execute(statement.order_by(faces.c.user_number)).all()
    if not rows:
        return {}
    owners, starts, counts = np.unique([row.user_number for row in rows], return_index=True, return_counts=True)
    sums = np.add.reduceat(unpack([row.vector for row in rows]), starts, axis=0)
    lengths = np.where(counts == 1, 1, np.linalg.norm(sums, axis=1) / counts)
    return dict(zip(owners.tolist(), np.minimum(lengths, 1) ** _POWER, strict=True))


def _give(connection: Connection, numbers: Sequence[int], user: int | None) -> None:
    connection.execute(update(faces).where(faces.c.id.in_(numbers)).values(user_number=user))


def _renew(connection: Connection, collection: int, user: User, face_count: int, change: int) -> None:
    """Make the user's vector anew from the faces."""
    stored = connection.execute(
        select(faces.c.vector).where(faces.c.user_number == user.number).order_by(faces.c.id)
    ).scalars()
    vectors = unpack(list(stored))
    values: dict[str, Any] = {"face_count": face_count, "change": change, "vector": None}
    if len(vectors):
        values["vector"] = pack(unit(vectors.mean(axis=0, keepdims=True))[0])
    else:
        note_removed(connection, collection, "users", change, [user.number])
    connection.execute(update(users).where(users.c.id == user.number).values(values))


def _count(connection: Connection, collection: int, more: int) -> int:
    table = collections
    counted = (
        update(table)
        .where(table.c.id == collection)
        .values(user_count=table.c.user_count + more)
        .returning(table.c.user_count)
    )
    return int(connection.execute(counted).scalar_one())
