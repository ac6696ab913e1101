"""Tags: names and values on a resource, which is given by its ARN."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from openrek.store.database import Database
from openrek.store.errors import FullError
from openrek.store.schema import tags

MAX_TAGS: Final = 200
"""The most tags of a resource: what one request may bring."""


class Tags:
    """The tags of one database. The caller checks that the resource exists, in the same transaction where it writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, resource: str) -> dict[str, str]:
        """The tags of a resource, by name ascending."""
        statement = select(tags.c.name, tags.c.value).where(tags.c.resource == resource).order_by(tags.c.name)
        with self._database.read() as connection:
            return {row.name: row.value for row in connection.execute(statement)}

    def put(
        self, connection: Connection, resource: str, values: Mapping[str, str], *, limit: int | None = None
    ) -> None:
        """Set tags; a name that is there gets the new value.

        limit: the most tags that the resource may have afterwards. Raises FullError.
        """
        if not values:
            return
        self.remove(connection, resource, list(values))
        rows = [{"resource": resource, "name": name, "value": value} for name, value in values.items()]
        connection.execute(insert(tags), rows)
        if limit is not None:
            counted = select(func.count()).select_from(tags).where(tags.c.resource == resource)
            if connection.execute(counted).scalar_one() > limit:
                raise FullError(limit)

    def remove(self, connection: Connection, resource: str, names: Sequence[str]) -> None:
        """Remove tags by name; a name that is not there is no error."""
        connection.execute(delete(tags).where(tags.c.resource == resource, tags.c.name.in_(names)))

    def remove_all(self, connection: Connection, resource: str) -> None:
        """Remove every tag of a resource."""
        connection.execute(delete(tags).where(tags.c.resource == resource))
