"""Pictures that were looked at for a collection and gave it no face, so that nobody need look at them again."""

from sqlalchemy import delete, insert, select

from openrek.store.copies import REPLACED
from openrek.store.database import Database
from openrek.store.schema import collections, faceless_pictures

_columns = faceless_pictures.c


class FacelessPictures:
    """Those of one database; collections are given by number. All methods raise StoreError when it fails.

    looked_with: the model and all else that decides whether a face is found, at most 255 characters; another one counts
    as not looked at.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, collection: int, image_id: str, looked_with: str) -> bool:
        """Whether a picture gave no face when it was looked at in this way."""
        mine = _columns.collection_number == collection, _columns.image_id == image_id
        with self._database.read() as connection:
            return connection.execute(select(_columns.looked_with).where(*mine)).scalar() == looked_with

    def note(self, collection: int, image_id: str, looked_with: str) -> None:
        """Remember a picture, in place of an earlier look at it. Nothing is kept of a collection that is gone."""
        table = collections.c
        there = select(table.id).where(table.id == collection, table.account_id.not_in(("", REPLACED)))
        mine = _columns.collection_number == collection, _columns.image_id == image_id
        with self._database.begin() as connection:
            if connection.execute(there.with_for_update(read=True)).scalar() is None:
                return
            connection.execute(delete(faceless_pictures).where(*mine))
            row = {"collection_number": collection, "image_id": image_id, "looked_with": looked_with}
            connection.execute(insert(faceless_pictures).values(row))
