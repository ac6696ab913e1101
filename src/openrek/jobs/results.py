"""Pages of a job's result."""

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from openrek.jobs.records import Job, View
from openrek.store.database import Database
from openrek.store.schema import job_results


@dataclass(frozen=True, slots=True)
class Page:
    """Some items in order, and where the next page begins; None after the last one."""

    items: list[Any]
    following: int | None


class JobResults:
    """Reads the rows that the deciding task wrote; only erasing a face changes them (store.erasure)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, job: Job, *, start: int, limit: int, view: View = View.FOUND, by_key: bool = False) -> Page:
        """Up to `limit` items from number `start` on. by_key: in the operation's other order (`Row.sort_text`)."""
        table = job_results
        statement = select(table.c.item).where(table.c.job_number == job.number, table.c.view == int(view))
        if by_key:
            statement = statement.order_by(table.c.sort_text, table.c.sort_number, table.c.position).offset(start)
        else:
            statement = statement.where(table.c.position >= start).order_by(table.c.position)
        with self._database.read() as connection:
            found = connection.execute(statement.limit(limit + 1)).scalars().all()
        items = [orjson.loads(item) for item in found[:limit]]
        return Page(items, start + limit if len(found) > limit else None)
