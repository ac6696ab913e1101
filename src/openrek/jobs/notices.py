"""The outbox: what is to be published about finished jobs, written in the transaction that ends the job.

A notice is taken with a lease, published, and marked as sent. Only a crash between those last two steps lets it go out
twice; the copies then carry one message id (webhooks) or deduplication id (FIFO topics), by which they can be told.
"""

import secrets
from typing import Any, Final

import orjson
from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from openrek.jobs.records import Job, Notice, Status
from openrek.store.database import Database
from openrek.store.schema import job_notices, now_ms

LEASE_MS: Final = 60_000
"""Longer than any attempt to publish takes."""

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0
"""Seconds between attempts: they double from the first to the longest."""

_due = (
    select(job_notices.c.id)
    .where(job_notices.c.state == "open", job_notices.c.not_before_ms <= bindparam("now"))
    .order_by(job_notices.c.not_before_ms)
    .limit(1)
)


def note_finish(connection: Connection, job: Job, status: Status, finished_ms: int) -> None:
    """Put the notice of a job's end into the outbox, where the job has a notification channel."""
    topic = job.parameters.get("NotificationChannel", {}).get("SNSTopicArn")
    if topic is None:
        return
    connection.execute(
        insert(job_notices).values(
            job_number=job.number,
            topic=topic,
            message=completion_message(job, status, finished_ms),
            state="open",
            not_before_ms=0,
            changed_ms=finished_ms,
        )
    )


def completion_message(job: Job, status: Status, finished_ms: int) -> str:
    """The text that Rekognition publishes: JSON with the end's time in milliseconds since the epoch."""
    message: dict[str, Any] = {"JobId": job.job_id, "Status": str(status), "API": job.operation}
    if job.tag is not None:
        message["JobTag"] = job.tag
    video = job.video.get("S3Object", {})
    message["Timestamp"] = finished_ms
    message["Video"] = {"S3ObjectName": video.get("Name"), "S3Bucket": video.get("Bucket")}
    return orjson.dumps(message).decode()


class Outbox:
    """The notices of one database. Safe to use from many threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self) -> Notice | None:
        """The next notice that is due, now this caller's for a while."""
        now = now_ms()
        if not self._database.fetch(_due, now=now):
            return None
        with self._database.begin() as connection:
            number = connection.execute(_due.with_for_update(skip_locked=True), {"now": now}).scalar()
            if number is None:
                return None
            row = connection.execute(
                update(job_notices)
                .where(job_notices.c.id == number)
                .values(
                    lease=secrets.token_hex(16),
                    not_before_ms=now + LEASE_MS,
                    attempts=job_notices.c.attempts + 1,
                    changed_ms=now,
                )
                .returning(job_notices)
            ).one()
        return _notice(row._mapping)

    def sent(self, notice: Notice) -> None:
        """It went out."""
        self._settle(notice, state="sent", error=None)

    def failed(self, notice: Notice, error: str, *, attempts: int) -> bool:
        """It did not: try again later, `attempts` times in all; whether it will be."""
        more = notice.attempts < attempts
        wait = min(FIRST_WAIT * 2 ** (notice.attempts - 1), LONGEST_WAIT)
        self._settle(
            notice,
            state="open" if more else "failed",
            error=error,
            not_before_ms=now_ms() + round(wait * 1000),
        )
        return more

    def of(self, job: Job) -> list[Notice]:
        """The notices of a job, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(job_notices).where(job_notices.c.job_number == job.number).order_by(job_notices.c.id)
            ).all()
        return [_notice(row._mapping) for row in rows]

    def _settle(self, notice: Notice, **values: Any) -> None:
        with self._database.begin() as connection:
            connection.execute(
                update(job_notices)
                .where(job_notices.c.id == notice.number, job_notices.c.lease == notice.lease)
                .values(changed_ms=now_ms(), **values)
            )


def _notice(row: RowMapping) -> Notice:
    return Notice(
        row["id"],
        row["job_number"],
        row["topic"],
        row["message"],
        row["state"],
        row["attempts"],
        row["error"],
        row["changed_ms"],
        row["lease"],
    )
