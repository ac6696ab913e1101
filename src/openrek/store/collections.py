"""Collections: named indexes of faces, each bound to the face model it was made with."""

from typing import Final, NamedTuple

from sqlalchemy import bindparam, select

from openrek.store.database import Database
from openrek.store.schema import collections

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


class Collection(NamedTuple):
    """A collection: `number` is the store's own and never given twice, `collection_id` the client's."""

    number: int
    collection_id: str
    face_model_version: str


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
