"""Collections: named indexes of faces, each bound to the face model it was made with."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, String, bindparam, cast, select, update

from openrek.store.copies import hide_copies
from openrek.store.database import Database
from openrek.store.errors import ExistsError
from openrek.store.schema import collections, now_ms
from openrek.store.tags import Tags

_columns = collections.c
_OF_CALLER: Final = select(_columns.id, _columns.collection_id, _columns.face_model_version).where(
    _columns.account_id == bindparam("account_id"), _columns.region == bindparam("region")
)
_PAGE: Final = (
    _OF_CALLER.where(_columns.collection_id > bindparam("after"))
    .order_by(_columns.collection_id)
    .limit(bindparam("limit"))
)
_NUMBERED: Final = _OF_CALLER.where(_columns.id == bindparam("number"))
_NAMED: Final = _OF_CALLER.where(_columns.collection_id == bindparam("collection_id"))
_DESCRIBED: Final = select(
    _columns.face_model_version, _columns.created_ms, _columns.face_count, _columns.user_count
).where(
    _columns.account_id == bindparam("account_id"),
    _columns.region == bindparam("region"),
    _columns.collection_id == bindparam("collection_id"),
)


class Collection(NamedTuple):
    """A collection: `number` is the store's own and never given twice, `collection_id` the client's."""

    number: int
    collection_id: str
    face_model_version: str


class Description(NamedTuple):
    """What a collection holds."""

    face_model_version: str
    created_ms: int
    face_count: int
    user_count: int


class Collections:
    """The collections of one database. All methods raise StoreError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, account_id: str, region: str, *, after: str = "", limit: int) -> list[Collection]:
        """Up to `limit` collections whose ids sort after `after`, by id (code points) ascending."""
        rows = self._database.fetch(_PAGE, account_id=account_id, region=region, after=after, limit=limit)
        return [Collection._make(row) for row in rows]

    def numbered(self, account_id: str, region: str, number: int) -> Collection | None:
        """The collection with a number, None when it is gone."""
        rows = self._database.fetch(_NUMBERED, account_id=account_id, region=region, number=number)
        return Collection._make(rows[0]) if rows else None

    def find(self, account_id: str, region: str, collection_id: str) -> Collection | None:
        """The collection with an id, None where there is none."""
        rows = self._database.fetch(_NAMED, account_id=account_id, region=region, collection_id=collection_id)
        return Collection._make(rows[0]) if rows else None

    def describe(self, account_id: str, region: str, collection_id: str) -> Description | None:
        """What the collection with an id holds, None where there is none."""
        rows = self._database.fetch(_DESCRIBED, account_id=account_id, region=region, collection_id=collection_id)
        return Description._make(rows[0]) if rows else None

    def hold(self, connection: Connection, account_id: str, region: str, collection_id: str) -> Collection | None:
        """As `find`, in a transaction that writes; the collection stays as it is until that ends."""
        mine = {"account_id": account_id, "region": region, "collection_id": collection_id}
        for _ in range(2):  # PostgreSQL: the collection that was waited for may have given its name to another one
            row = connection.execute(_NAMED.with_for_update(), mine).one_or_none()
            if row is not None:
                return Collection._make(row)
        return None

    def create(
        self,
        account_id: str,
        region: str,
        collection_id: str,
        face_model_version: str,
        *,
        resource: str,
        tags: Mapping[str, str],
        tag_limit: int | None = None,
    ) -> None:
        """Make an empty collection; `tags` are put on its ARN, `resource`. Raises ExistsError, FullError."""
        row = {
            "account_id": account_id,
            "region": region,
            "collection_id": collection_id,
            "face_model_version": face_model_version,
            "created_ms": now_ms(),
        }
        with self._database.begin() as connection:
            if not self._database.insert_if_absent(collections, row, connection):
                raise ExistsError(f"the collection id {collection_id} is in use")
            Tags(self._database).put(connection, resource, tags, limit=tag_limit)

    def delete(self, account_id: str, region: str, collection_id: str, *, resource: str) -> int | None:
        """Delete a collection with its tags; its number, None where there is none of this id.

        It is gone for everybody at once, durably, and its name is free; `store.purge` then deletes the rows.
        """
        hidden = (
            update(collections)
            .where(
                _columns.account_id == account_id,
                _columns.region == region,
                _columns.collection_id == collection_id,
            )
            .values(account_id="", collection_id=cast(_columns.id, String))
            .returning(_columns.id)
        )
        with self._database.begin() as connection:
            number = connection.execute(hidden).scalar_one_or_none()
            if number is None:
                return None
            hide_copies(connection, number)
            Tags(self._database).remove_all(connection, resource)
        return int(number)
