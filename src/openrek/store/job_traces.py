"""What results of video jobs hold of people who are erased."""

import re
from collections.abc import Set
from typing import Final

import orjson
from sqlalchemy import Connection, Select, bindparam, delete, select, update

from openrek.store.schema import job_results, jobs

_AT_ONCE: Final = 500
_FACE_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ids_in(text: str) -> list[str]:
    """All that looks like the id of a face in a stored answer."""
    return _FACE_ID.findall(text)


def forget_matches(connection: Connection, face_ids: Set[str]) -> None:
    """Take faces out of what searches found, in one pass over it; the people who were seen there stay, unnamed."""
    table = job_results.c
    rows = select(table.job_number, table.view, table.position, table.item)
    found = rows.where(table.job_number.in_(_started_by("StartFaceSearch")))
    changed = []
    for number, view, position, text in connection.execute(found.execution_options(yield_per=_AT_ONCE)):
        if face_ids.isdisjoint(ids_in(text)):
            continue
        item = orjson.loads(text)
        matches = [match for match in item.pop("FaceMatches", ()) if match["Face"]["FaceId"] not in face_ids]
        if matches:
            item["FaceMatches"] = matches
        changed.append({"number": number, "at_view": view, "at": position, "left": orjson.dumps(item).decode()})
    here = (
        table.job_number == bindparam("number"),
        table.view == bindparam("at_view"),
        table.position == bindparam("at"),
    )
    if changed:
        connection.execute(update(job_results).where(*here).values(item=bindparam("left")), changed)


def forget_celebrity(connection: Connection, celebrity_id: str) -> None:
    """Take the sightings of someone out of what was recognised; the numbers of other rows stay."""
    table = job_results.c
    named = select(job_results).where(
        table.job_number.in_(_started_by("StartCelebrityRecognition")),
        table.item.contains(celebrity_id, autoescape=True),
    )
    for row in connection.execute(named).all():
        if orjson.loads(row.item)["Celebrity"]["Id"] == celebrity_id:
            here = table.job_number == row.job_number, table.view == row.view, table.position == row.position
            connection.execute(delete(job_results).where(*here))


def _started_by(operation: str) -> Select[tuple[int]]:
    return select(jobs.c.id).where(jobs.c.operation == operation)
