"""A collection made again, in place, with the vectors of another face model.

A copy of the collection is made out of sight: face by face as their new vectors come, then the users and whose face
is whose. In the end, in one transaction, the copy takes the collection's name, ids, times and tags, and the collection
goes out of sight. A collection's number thus stands for one face model for good: a request that began before the switch
goes on with the old vectors and the old model, one that begins after it has the new ones, and none compares the two.

The copy is the progress: what it has need not be done again after a crash. Writers go on meanwhile; the copy follows
them (what they delete goes from the copy at once, see store.copies).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    Connection,
    Select,
    String,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from openrek.store.copies import REPLACED, STALE, copies_of
from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError
from openrek.store.faces import Box
from openrek.store.schema import collections, face_crops, faces, now_ms, users
from openrek.store.vector_changes import Floats, next_change, pack, unit, unpack

COPY: Final = "reindex"
"""The account of a copy: no caller's, as those have 12 digits."""

AT_ONCE: Final = 2_000
"""Rows of one step: other writers wait for no more than that."""

LAST_FACES: Final = 64
"""Faces that came at the very end, which are taken over while writers wait."""


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """A face that the copy does not have yet: `number` is the original's, `sealed` its kept crop, if it has one."""

    number: int
    face_id: str
    image_id: str
    box: Box
    sealed: bytes | None


_Find = Callable[[Connection], Sequence[Any]]
_Apply = Callable[[Connection, Sequence[Any]], None]

Embed = Callable[[Sequence[Left]], Mapping[int, Floats]]
"""New vectors (D,) by the numbers of faces; those that cannot be read again are left out."""


class Reindexing:
    """The making of one copy. All methods raise StoreError, CollectionMissingError when the collection is deleted."""

    def __init__(self, database: Database, number: int, copy: int, version: str) -> None:
        self._database = database
        self.number = number
        self.copy = copy
        self._version = version

    @classmethod
    def begin(cls, database: Database, number: int, version: str) -> "Reindexing":
        """Begin to make a collection again for a model version, or go on with what was begun; other versions' are
        dropped, as are those of collections that are gone."""
        table = collections.c
        name = f"{number} {version}"
        with database.begin() as connection:
            next_change(connection, number)
            connection.execute(
                update(collections)
                .where(table.copy_of == number, table.collection_id != name)
                .values(account_id=REPLACED, collection_id=cast(table.id, String), copy_of=None, created_ms=0)
            )
            copy = connection.execute(copies_of(number)).scalar()
            if copy is None:
                region = select(table.region).where(table.id == number).scalar_subquery()
                row = {"account_id": COPY, "collection_id": name, "copy_of": number, "created_ms": now_ms()}
                made = insert(collections).values(**row, region=region, face_model_version=version)
                copy = connection.execute(made.returning(table.id)).scalar_one()
        return cls(database, number, int(copy), version)

    def newest(self) -> int:
        """The highest number of a face of the collection, 0 without one."""
        statement = select(func.max(faces.c.id)).where(faces.c.collection_number == self.number)
        with self._database.read() as connection:
            return int(connection.execute(statement).scalar() or 0)

    def counts(self) -> tuple[int, int]:
        """Faces in the copy, and in the collection."""
        counted = select(func.count()).select_from(faces)
        with self._database.read() as connection:
            done, all_faces = (
                connection.execute(counted.where(faces.c.collection_number == number)).scalar_one()
                for number in (self.copy, self.number)
            )
        return int(done), int(all_faces)

    def left(self, *, after: int = 0, limit: int = AT_ONCE, image_id: str | None = None) -> list[Left]:
        """Faces with numbers above `after` that the copy does not have, of one picture where it is given."""
        statement = self._left(after)
        if image_id is not None:
            statement = statement.where(faces.c.image_id == image_id)
        with self._database.read() as connection:
            return _lefts(connection, statement.limit(limit))

    def add(self, vectors: Mapping[int, Floats]) -> None:
        """Put faces with new vectors, by their numbers, into the copy; those that are gone by now are left out."""
        if vectors:
            with self._database.begin() as connection:
                self._hold(connection)
                self._add(connection, vectors)

    def follow(self) -> None:
        """Take over who went, the users, and whose face is whose, in steps that keep no writer waiting for long."""
        for find, apply in self._steps():
            with self._database.read() as connection:
                found = find(connection)
            for start in range(0, len(found), AT_ONCE):
                with self._database.begin() as connection:
                    self._hold(connection)
                    apply(connection, found[start : start + AT_ONCE])

    def switch(self, embed: Embed, *, leave_out: int = 0) -> bool:
        """Put the copy in the collection's place, in one transaction; False where there is more to do before.

        leave_out: faces with numbers up to this that still have no vector do not come along; of later ones none is
        left out.
        """
        with self._database.begin() as connection:
            self._hold(connection)
            came = _lefts(connection, self._left(leave_out).limit(LAST_FACES + 1))
            if len(came) > LAST_FACES:
                return False
            vectors = embed(came) if came else {}
            if len(vectors) < len(came):
                return False
            self._add(connection, vectors)
            for find, apply in self._steps():
                if found := find(connection):
                    apply(connection, found)
            self._take_place(connection)
        return True

    # --- parts --------------------------------------------------------------------------------------------------------

    def _hold(self, connection: Connection) -> None:
        """Make the collection's other writers wait; raises CollectionMissingError when it, or the copy, is gone."""
        table = collections.c
        next_change(connection, self.number)
        held = select(table.id).where(table.id == self.copy, table.copy_of == self.number).with_for_update()
        if connection.execute(held).scalar() is None:
            raise CollectionMissingError(f"the copy of collection {self.number} is gone")

    def _left(self, after: int) -> Select[Any]:
        copied = faces.alias("copied")
        there = exists().where(copied.c.collection_number == self.copy, copied.c.face_id == faces.c.face_id)
        box = (faces.c.box_left, faces.c.box_top, faces.c.box_width, faces.c.box_height)
        statement = select(faces.c.id, faces.c.face_id, faces.c.image_id, *box, face_crops.c.sealed)
        return (
            statement.select_from(faces.outerjoin(face_crops, face_crops.c.face_number == faces.c.id))
            .where(faces.c.collection_number == self.number, faces.c.id > after, ~there)
            .order_by(faces.c.id)
        )

    def _add(self, connection: Connection, vectors: Mapping[int, Floats]) -> None:
        if not vectors:
            return
        copied = faces.alias("copied")
        again = exists().where(copied.c.collection_number == self.copy, copied.c.face_id == faces.c.face_id)
        mine = faces.c.collection_number == self.number, faces.c.id.in_(list(vectors)), ~again
        there = {row["id"]: dict(row) for row in connection.execute(select(faces).where(*mine)).mappings()}
        if not there:
            return
        change = next_change(connection, self.copy)
        units = unit(np.stack([vectors[number] for number in there]))
        own = {"collection_number": self.copy, "model_version": self._version, "user_number": None, "change": change}
        rows = [row | own | {"vector": pack(vector)} for row, vector in zip(there.values(), units, strict=True)]
        for row in rows:
            del row["id"]
        connection.execute(insert(faces), rows)
        new, old = faces.alias("new"), faces.alias("old")
        same = and_(new.c.face_id == old.c.face_id, new.c.collection_number == self.copy)
        crops = (
            select(new.c.id, face_crops.c.sealed)
            .select_from(face_crops.join(old, old.c.id == face_crops.c.face_number).join(new, same))
            .where(old.c.id.in_(list(there)))
        )
        connection.execute(insert(face_crops).from_select(["face_number", "sealed"], crops))

    def _steps(self) -> Sequence[tuple[_Find, _Apply]]:
        """What makes the copy's users and memberships those of the collection, in this order."""
        return (
            (self._gone_faces, self._drop_faces),
            (self._gone_users, self._drop_users),
            (self._new_users, self._add_users),
            (self._other_owners, self._give),
            (self._stale_users, self._renew),
        )

    def _gone_faces(self, connection: Connection) -> Sequence[Any]:
        original = faces.alias("original")
        there = exists().where(original.c.collection_number == self.number, original.c.face_id == faces.c.face_id)
        mine = faces.c.collection_number == self.copy
        return connection.execute(select(faces.c.id, faces.c.user_number).where(mine, ~there)).all()

    def _drop_faces(self, connection: Connection, gone: Sequence[Any]) -> None:
        self._make_stale(connection, {row.user_number for row in gone if row.user_number is not None})
        connection.execute(delete(faces).where(faces.c.id.in_([row.id for row in gone])))

    def _gone_users(self, connection: Connection) -> Sequence[Any]:
        original = users.alias("original")
        there = exists().where(original.c.collection_number == self.number, original.c.user_id == users.c.user_id)
        return connection.execute(select(users.c.id).where(users.c.collection_number == self.copy, ~there)).all()

    def _drop_users(self, connection: Connection, gone: Sequence[Any]) -> None:
        numbers = [row.id for row in gone]
        connection.execute(update(faces).where(faces.c.user_number.in_(numbers)).values(user_number=None))
        connection.execute(delete(users).where(users.c.id.in_(numbers)))

    def _new_users(self, connection: Connection) -> Sequence[Any]:
        copied = users.alias("copied")
        there = exists().where(copied.c.collection_number == self.copy, copied.c.user_id == users.c.user_id)
        mine = select(users.c.user_id, users.c.created_ms).where(users.c.collection_number == self.number, ~there)
        return connection.execute(mine.order_by(users.c.id)).all()

    def _add_users(self, connection: Connection, new: Sequence[Any]) -> None:
        common = {"collection_number": self.copy, "change": next_change(connection, self.copy)}
        for row in new:
            user = common | {"user_id": row.user_id, "created_ms": row.created_ms}
            self._database.insert_if_absent(users, user, connection)

    def _other_owners(self, connection: Connection) -> Sequence[Any]:
        """Faces of the copy with the users that they have in the collection, where these differ."""
        original, owner, own = faces.alias("original"), users.alias("owner"), users.alias("own")
        joined = (
            faces.join(
                original,
                and_(original.c.collection_number == self.number, original.c.face_id == faces.c.face_id),
            )
            .outerjoin(owner, owner.c.id == original.c.user_number)
            .outerjoin(own, and_(own.c.collection_number == self.copy, own.c.user_id == owner.c.user_id))
        )
        statement = select(faces.c.id, faces.c.user_number, own.c.id.label("owner")).select_from(joined)
        mine = faces.c.collection_number == self.copy
        owned = or_(faces.c.user_number.is_not(None), original.c.user_number.is_not(None))
        return connection.execute(statement.where(mine, owned, faces.c.user_number.is_distinct_from(own.c.id))).all()

    def _give(self, connection: Connection, other: Sequence[Any]) -> None:
        touched = {number for row in other for number in (row.user_number, row.owner) if number is not None}
        self._make_stale(connection, touched)
        given = update(faces).where(faces.c.id == bindparam("face")).values(user_number=bindparam("owner"))
        connection.execute(given, [{"face": row.id, "owner": row.owner} for row in other])

    def _make_stale(self, connection: Connection, numbers: set[int]) -> None:
        stale = update(users).where(users.c.id == bindparam("user")).values(face_count=STALE, vector=None)
        if numbers:
            connection.execute(stale, [{"user": number} for number in sorted(numbers)])

    def _stale_users(self, connection: Connection) -> Sequence[Any]:
        mine = users.c.collection_number == self.copy
        return connection.execute(select(users.c.id).where(mine, users.c.face_count == STALE)).all()

    def _renew(self, connection: Connection, stale: Sequence[Any]) -> None:
        """Vectors of users: the mean of their faces' new ones."""
        change = next_change(connection, self.copy)
        for row in stale:
            owned = select(faces.c.vector).where(faces.c.user_number == row.id).order_by(faces.c.id)
            stored = list(connection.execute(owned).scalars())
            mean = pack(unit(unpack(stored).mean(axis=0, keepdims=True))[0]) if stored else None
            values = {"face_count": len(stored), "vector": mean, "change": change}
            connection.execute(update(users).where(users.c.id == row.id).values(values))

    def _take_place(self, connection: Connection) -> None:
        table = collections.c
        old = connection.execute(select(collections).where(table.id == self.number)).one()
        counts = {
            name: select(func.count()).where(counted.c.collection_number == self.copy).scalar_subquery()
            for name, counted in (("face_count", faces), ("user_count", users))
        }
        hidden = {"account_id": REPLACED, "collection_id": str(self.number), "created_ms": now_ms()}
        connection.execute(update(collections).where(table.id == self.number).values(hidden))
        named = {"account_id": old.account_id, "region": old.region, "collection_id": old.collection_id}
        named |= {"created_ms": old.created_ms, "copy_of": None}
        connection.execute(update(collections).where(table.id == self.copy).values(**named, **counts))


def _lefts(connection: Connection, statement: Select[Any]) -> list[Left]:
    return [
        Left(
            row.id,
            row.face_id,
            row.image_id,
            (row.box_left, row.box_top, row.box_width, row.box_height),
            bytes(row.sealed) if row.sealed is not None else None,
        )
        for row in connection.execute(statement)
    ]


def remaining(reindexing: Reindexing) -> Iterator[list[Left]]:
    """The faces that the copy does not have now, in portions; each once, though some may never get a vector. Those that
    come meanwhile are left to the next time: busy writers would keep this from ending."""
    after, newest = 0, reindexing.newest()
    while after < newest and (portion := reindexing.left(after=after, limit=LAST_FACES)):
        after = portion[-1].number
        yield portion
