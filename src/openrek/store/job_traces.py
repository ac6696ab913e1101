"""What results of video jobs hold of people who are erased."""

from collections import Counter
from typing import Final

import orjson
from sqlalchemy import Connection, Select, delete, insert, select, update

from openrek.store.schema import job_results, jobs

_AT_ONCE: Final = 500


def forget_matches(connection: Connection, face_id: str) -> None:
    """Take a face out of what searches found; the people who were seen there stay, unnamed."""
    table = job_results.c
    named = select(job_results).where(
        table.job_number.in_(_started_by("StartFaceSearch")), table.item.contains(face_id, autoescape=True)
    )
    for row in connection.execute(named).all():
        item = orjson.loads(row.item)
        matches = [match for match in item.pop("FaceMatches", ()) if match["Face"]["FaceId"] != face_id]
        if matches:
            item["FaceMatches"] = matches
        here = table.job_number == row.job_number, table.view == row.view, table.position == row.position
        connection.execute(update(job_results).where(*here).values(item=orjson.dumps(item).decode()))


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
