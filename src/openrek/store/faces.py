"""Indexed faces: their metadata and vectors. Pictures are never kept, crops only where the owner asked for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, delete, insert, select, update

from openrek.store.copies import delete_from_copies
from openrek.store.database import Database
from openrek.store.errors import FullError
from openrek.store.schema import collections, face_crops, faces, now_ms, users
from openrek.store.vector_changes import Floats, next_change, note_removed, pack, unit, unpack

Box = tuple[float, float, float, float]
"""left, top, width, height, as ratios of the picture's sides; may reach beyond 0 and 1."""

_METADATA: Final = (
    faces.c.id,
    faces.c.face_id,
    faces.c.image_id,
    faces.c.external_image_id,
    faces.c.box_left,
    faces.c.box_top,
    faces.c.box_width,
    faces.c.box_height,
    faces.c.confidence,
    faces.c.model_version,
    users.c.user_id,
)


@dataclass(frozen=True, slots=True, eq=False)
class NewFace:
    """A face to be kept. confidence: 0..100. vector: (D,) float32 of any length above 0; it is kept at length 1.

    crop: the sealed crop of `store.face_crops`, where the owner of the server wants that kept.
    """

    face_id: str
    image_id: str
    external_image_id: str | None
    box: Box
    confidence: float
    model_version: str
    vector: Floats
    crop: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredFace:
    """A face of a collection: `number` is the store's own and never given twice; `vector` is there where asked for."""

    number: int
    face_id: str
    image_id: str
    external_image_id: str | None
    box: Box
    confidence: float
    model_version: str
    user_id: str | None
    vector: Floats | None = None


class Deletion(NamedTuple):
    """What became of the faces that were to be deleted, each in the order asked for."""

    deleted: list[str]
    unknown: list[str]
    of_users: list[tuple[str, str]]
    """Face id and user id of those that belong to a user, and so stay."""


class Faces:
    """The faces of one database; collections are given by number. All methods raise StoreError when it fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, collection: int, new: Sequence[NewFace], *, limit: int | None = None) -> list[StoredFace]:
        """Keep faces, all or none; their rows in the same order. A face id that is there stays as it is, but gets a
        crop where it has none.

        limit: the most faces that the collection may have afterwards. Raises CollectionMissingError, FullError.
        """
        if not new:
            return []
        vectors = unit(np.stack([face.vector for face in new]))
        with self._database.begin() as connection:
            change = next_change(connection, collection)
            known = self._rows(connection, _of(collection, [face.face_id for face in new]))
            rows: dict[str, dict[str, Any]] = {}
            for face, vector in zip(new, vectors, strict=True):
                if face.face_id not in known:
                    rows.setdefault(face.face_id, _row(collection, face, vector, change))
            if rows:
                _count(connection, collection, len(rows), limit)
                connection.execute(insert(faces), list(rows.values()))
                known = self._rows(connection, _of(collection, [face.face_id for face in new]))
            for face in new:
                if face.crop is not None:
                    crop = {"face_number": known[face.face_id].number, "sealed": face.crop}
                    self._database.insert_if_absent(face_crops, crop, connection)
        return [known[face.face_id] for face in new]

    def get(self, collection: int, face_ids: Sequence[str], *, vectors: bool = False) -> dict[str, StoredFace]:
        """The faces with these ids, by id; unknown ones are left out. With their vectors when asked."""
        with self._database.read() as connection:
            return self._rows(connection, _of(collection, face_ids, vectors=vectors))

    def numbered(self, collection: int, numbers: Iterable[int]) -> dict[int, StoredFace]:
        """The faces with these numbers, by number; those that are gone are left out."""
        wanted = [int(number) for number in numbers]
        statement = _select().where(faces.c.collection_number == collection, faces.c.id.in_(wanted))
        with self._database.read() as connection:
            return {row.id: _face(row) for row in connection.execute(statement)}

    def of_image(self, collection: int, image_id: str, external_image_id: str | None) -> list[StoredFace]:
        """The faces that were indexed from a picture under an external id (or none)."""
        table = faces.c
        external = table.external_image_id
        statement = _select().where(
            table.collection_number == collection,
            table.image_id == image_id,
            external.is_(None) if external_image_id is None else external == external_image_id,
        )
        with self._database.read() as connection:
            return [_face(row) for row in connection.execute(statement.order_by(table.id))]

    def page(
        self,
        collection: int,
        *,
        after: str = "",
        limit: int,
        user_id: str | None = None,
        face_ids: Sequence[str] | None = None,
    ) -> list[StoredFace]:
        """Up to `limit` faces whose ids sort after `after`, by id ascending; of a user, among ids, or both."""
        statement = _select().where(faces.c.face_id > after)
        if face_ids is not None:
            statement = statement.where(faces.c.face_id.in_(face_ids))
        with self._database.read() as connection:
            if user_id is None:
                statement = statement.where(faces.c.collection_number == collection)
            else:
                owner = _owner(connection, collection, user_id)
                if owner is None:
                    return []
                # a user is of one collection: with a condition on that too, all of its faces might be gone through
                statement = statement.where(faces.c.user_number == owner)
            found = connection.execute(statement.order_by(faces.c.face_id).limit(limit))
            return [_face(row) for row in found]

    def delete(self, collection: int, face_ids: Sequence[str]) -> Deletion:
        """Delete faces for good; those that belong to a user stay. Raises CollectionMissingError."""
        wanted = list(dict.fromkeys(face_ids))
        with self._database.begin() as connection:
            change = next_change(connection, collection)
            found = self._rows(connection, _of(collection, wanted))
            gone = [found[face_id] for face_id in wanted if face_id in found and found[face_id].user_id is None]
            numbers = [face.number for face in gone]
            if numbers:
                connection.execute(delete(faces).where(faces.c.id.in_(numbers)))
                note_removed(connection, collection, "faces", change, numbers)
                delete_from_copies(connection, collection, [face.face_id for face in gone])
                _count(connection, collection, -len(numbers), None)
        return Deletion(
            [face.face_id for face in gone],
            [face_id for face_id in wanted if face_id not in found],
            [
                (face_id, user)
                for face_id in wanted
                if face_id in found and (user := found[face_id].user_id) is not None
            ],
        )

    @staticmethod
    def _rows(connection: Connection, statement: Select[Any]) -> dict[str, StoredFace]:
        return {row.face_id: _face(row) for row in connection.execute(statement)}


# --- rows -------------------------------------------------------------------------------------------------------------


def _select(*, vectors: bool = False) -> Select[Any]:
    columns = (*_METADATA, faces.c.vector) if vectors else _METADATA
    return select(*columns).select_from(faces.outerjoin(users, users.c.id == faces.c.user_number))


def _of(collection: int, face_ids: Sequence[str], *, vectors: bool = False) -> Select[Any]:
    return _select(vectors=vectors).where(faces.c.collection_number == collection, faces.c.face_id.in_(face_ids))


def _owner(connection: Connection, collection: int, user_id: str) -> int | None:
    """The number of a user, None for an unknown one."""
    named = select(users.c.id).where(users.c.collection_number == collection, users.c.user_id == user_id)
    return connection.execute(named).scalar_one_or_none()


def _face(row: Any) -> StoredFace:
    number, face_id, image_id, external, left, top, width, height, confidence, version, user_id, *vector = row
    box = (left, top, width, height)
    return StoredFace(
        number, face_id, image_id, external, box, confidence, version, user_id, unpack(vector)[0] if vector else None
    )


def _row(collection: int, face: NewFace, vector: NDArray[np.float32], change: int) -> dict[str, Any]:
    left, top, width, height = face.box
    return {
        "collection_number": collection,
        "face_id": face.face_id,
        "image_id": face.image_id,
        "external_image_id": face.external_image_id,
        "box_left": left,
        "box_top": top,
        "box_width": width,
        "box_height": height,
        "confidence": face.confidence,
        "model_version": face.model_version,
        "vector": pack(vector),
        "change": change,
        "created_ms": now_ms(),
    }


def _count(connection: Connection, collection: int, more: int, limit: int | None) -> None:
    table = collections
    counted = (
        update(table)
        .where(table.c.id == collection)
        .values(face_count=table.c.face_count + more)
        .returning(table.c.face_count)
    )
    count = connection.execute(counted).scalar_one()
    if limit is not None and count > limit:
        raise FullError(limit)
