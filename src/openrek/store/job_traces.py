"""What results of video jobs hold of people who are erased."""

import re
from collections import Counter
from collections.abc import Set
from typing import Final

import orjson
from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

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
    """Take the sightings of someone out of what was recognised; those after them move up."""
    table = job_results.c
    named = select(table.job_number).where(
        table.job_number.in_(_started_by("StartCelebrityRecognition")),
        table.item.contains(celebrity_id, autoescape=True),
    )
    for number in connection.execute(named.distinct()).scalars().all():
        of_job = table.job_number == number
        rows = connection.execute(select(job_results).where(of_job).order_by(table.view, table.position)).all()
        connection.execute(delete(job_results).where(of_job))
        positions: Counter[int] = Counter()
        kept = []
        for row in rows:
            if orjson.loads(row.item)["Celebrity"]["Id"] != celebrity_id:
                kept.append({**row._mapping, "position": positions[row.view]})
                positions[row.view] += 1
        for start in range(0, len(kept), _AT_ONCE):
            connection.execute(insert(job_results), kept[start : start + _AT_ONCE])


def _started_by(operation: str) -> Select[tuple[int]]:
    return select(jobs.c.id).where(jobs.c.operation == operation)
