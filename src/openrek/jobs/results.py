"""Pages of a job's result."""

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select, tuple_

from openrek.jobs.errors import RowGoneError
from openrek.jobs.records import Job, View
from openrek.store.database import Database
from openrek.store.schema import job_results


@dataclass(frozen=True, slots=True)
class Page:
    """Some items in order, and the number of the row with which the next page begins; None after the last one."""

    items: list[Any]
    following: int | None


class JobResults:
    """Reads the rows that the deciding task wrote; only erasing a person changes them (store.erasure)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, job: Job, *, start: int | None = None, limit: int, view: View = View.FOUND, by_key: bool = False
    ) -> Page:
        """Up to `limit` items from row number `start` on, or from the first one.

        by_key: in the operation's other order (`Row.sort_text`). A page is found by an index in either order, however
        many come before it. Raises RowGoneError where row `start` was erased and its place in that order is not known.
        """
        table = job_results.c
        of_view = select(table.position, table.item).where(table.job_number == job.number, table.view == int(view))
        key = tuple_(table.sort_text, table.sort_number, table.position)
        statement = of_view.order_by(*key) if by_key else of_view.order_by(table.position)
        with self._database.read() as connection:
            if start is not None and by_key:
                first = connection.execute(of_view.with_only_columns(*key).where(table.position == start)).one_or_none()
                if first is None:
                    raise RowGoneError(f"row {start} of the result of job {job.job_id} is gone")
                statement = statement.where(key >= tuple_(*first))
            elif start is not None:
                statement = statement.where(table.position >= start)
            found = connection.execute(statement.limit(limit + 1)).all()
        items = [orjson.loads(row.item) for row in found[:limit]]
        return Page(items, found[limit].position if len(found) > limit else None)
