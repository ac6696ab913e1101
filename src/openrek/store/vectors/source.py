"""The vectors of the database, as a search wants them."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, BindParameter, Select, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from openrek.store.database import Database
from openrek.store.schema import faces, users
from openrek.store.vector_changes import Changes, Floats, Kind, VectorChanges, unpack
from openrek.store.vectors.base import Numbers

_TABLES: Final = {"faces": faces, "users": users}


class StoredVectors:
    """The VectorSource of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = VectorChanges(database)
        self._statements = {kind: _numbered(kind, embedded=database.embedded) for kind in _TABLES}

    def newest(self, collection: int) -> int | None:
        return self._changes.newest(collection)

    def forgotten(self, collection: int) -> int:
        return self._changes.forgotten(collection)

    def since(self, collection: int, change: int, kind: Kind = "faces", *, limit: int = 100_000) -> Changes:
        return self._changes.since(collection, change, kind, limit=limit)

    def vectors(self, collection: int, kind: Kind, numbers: Sequence[int]) -> tuple[Numbers, Floats]:
        listed = ",".join(map(str, numbers))
        if self._database.embedded:
            listed = f"[{listed}]"
        found = self._database.fetch(self._statements[kind], numbers=listed)
        rows = [row for row in found if row[2] == collection]
        return np.fromiter((row[0] for row in rows), np.int64, len(rows)), unpack([row[1] for row in rows])


def _numbered(kind: str, *, embedded: bool) -> Select[Any]:
    """One parameter for all numbers: thousands of them cost no more to compile than one.

    With a condition on the collection, SQLite would go through all of its rows instead of looking up the numbers.
    """
    table = _TABLES[kind]
    numbers: BindParameter[str] = bindparam("numbers")
    wanted = (
        table.c.id.in_(select(func.json_each(numbers).table_valued("value").c.value))
        if embedded
        else table.c.id == func.any(cast(func.string_to_array(numbers, ","), ARRAY(BigInteger)))
    )
    columns = table.c.id, table.c.vector, table.c.collection_number
    return select(*columns).where(wanted, table.c.vector.is_not(None))
