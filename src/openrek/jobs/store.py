"""Jobs in the database: made, read, listed, cancelled, tried again and purged. Their tasks are in `tasks`."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, Select, delete, func, insert, select, text, update

from openrek.jobs.errors import JobLimitError, JobStateError
from openrek.jobs.notices import note_finish
from openrek.jobs.records import PLAN, Job, NewJob, OpenVideo, Status, Worker, task_name
from openrek.store.database import Database
from openrek.store.schema import job_notices, job_results, job_tasks, job_workers, jobs, now_ms

CANCELLED: Final = "The job was cancelled."
PURGE_ROWS: Final = 5000
"""Rows deleted in one transaction, so that nobody waits long for it."""

_LIMIT_LOCK: Final = 0x6F70656E_72656B01  # one creation of a job at a time on PostgreSQL


class JobStore:
    """The jobs of one database. Safe to use from many threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- making -----------------------------------------------------------------------------------------------------

    def create(self, connection: Connection, new: NewJob, *, limit: int | None) -> str:
        """Add a job with its planning task, in a transaction of the caller's; its id of 64 hexadecimal digits.

        limit: how many jobs of the account may be open. Raises JobLimitError.
        """
        if limit is not None:
            if not self._database.embedded:  # SQLite has one writer anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LIMIT_LOCK})
            open_jobs = connection.execute(
                select(func.count())
                .select_from(jobs)
                .where(jobs.c.status == Status.IN_PROGRESS, jobs.c.account_id == new.account_id)
            ).scalar_one()
            if open_jobs >= limit:
                raise JobLimitError(open_jobs, limit)
        job_id = secrets.token_hex(32)
        number = connection.execute(
            insert(jobs)
            .values(
                job_id=job_id,
                account_id=new.account_id,
                region=new.region,
                operation=new.operation,
                parameters=orjson.dumps(dict(new.parameters)).decode(),
                priority=new.priority,
                status=Status.IN_PROGRESS,
                created_ms=now_ms(),
            )
            .returning(jobs.c.id)
        ).scalar_one()
        add_plan(connection, number, new.priority)
        return job_id

    # --- reading ----------------------------------------------------------------------------------------------------

    def find(
        self, job_id: str, *, operation: str | None = None, account_id: str | None = None, region: str | None = None
    ) -> Job | None:
        """A job by its id, where it also is of this operation, account and region (None: any)."""
        statement = job_rows().where(jobs.c.job_id == job_id)
        for column, value in (
            (jobs.c.operation, operation),
            (jobs.c.account_id, account_id),
            (jobs.c.region, region),
        ):
            if value is not None:
                statement = statement.where(column == value)
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else job_of(row)

    def matching(self, prefix: str, *, limit: int) -> list[Job]:
        """The jobs whose id begins with these characters, at most so many."""
        statement = job_rows().where(jobs.c.job_id >= prefix, jobs.c.job_id < prefix + "~").limit(limit)
        with self._database.read() as connection:
            return [job_of(row) for row in connection.execute(statement)]

    def newest(self, status: Status | None = None, *, limit: int = 100) -> list[Job]:
        """The newest jobs, newest first."""
        statement = job_rows().order_by(jobs.c.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(jobs.c.status == status)
        with self._database.read() as connection:
            return [job_of(row) for row in connection.execute(statement)]

    def open_videos(self) -> list[OpenVideo]:
        """What the jobs in progress look at."""
        statement = select(jobs.c.job_id, jobs.c.parameters, jobs.c.plan).where(jobs.c.status == Status.IN_PROGRESS)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        found = []
        for row in rows:
            named = orjson.loads(row.parameters).get("Video", {}).get("S3Object", {})
            etag = orjson.loads(row.plan)["etag"] if row.plan else None
            found.append(OpenVideo(row.job_id, named.get("Bucket"), named.get("Name"), named.get("Version"), etag))
        return found

    def workers(self, *, alive_ms: int) -> list[Worker]:
        """The workers that gave a sign of life in the last `alive_ms` milliseconds, and what they are at."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(job_workers)
                .where(job_workers.c.seen_ms >= now_ms() - alive_ms)
                .order_by(job_workers.c.started_ms)
            ).all()
            held = connection.execute(
                select(job_tasks.c.worker_id, jobs.c.job_id, job_tasks.c.position)
                .join(jobs, jobs.c.id == job_tasks.c.job_number)
                .where(job_tasks.c.state == "open", job_tasks.c.lease.is_not(None))
            ).all()
        return [
            Worker(
                row.worker_id,
                row.host,
                row.pid,
                row.started_ms,
                row.seen_ms,
                tuple(f"{one.job_id[:12]}/{task_name(one.position)}" for one in held if one.worker_id == row.worker_id),
            )
            for row in rows
        ]

    # --- an operator's orders ---------------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> None:
        """End an open job as FAILED, which is published; its workers notice and drop it. Raises JobStateError."""
        with self._database.begin() as connection:
            job = _locked(connection, job_id)
            if job.status is not Status.IN_PROGRESS:
                raise JobStateError(f"the job {job_id} is {job.status}: only a job in progress can be cancelled")
            end_job(connection, job, Status.FAILED, CANCELLED)

    def retry(self, job_id: str) -> None:
        """Begin a failed job anew; its end will be published again. Raises JobStateError.

        It is open from then on, but not refused where an account has many open jobs: that limit is for requests, and
        this is an operator's order.
        """
        with self._database.begin() as connection:
            job = _locked(connection, job_id)
            if job.status is not Status.FAILED:
                raise JobStateError(f"the job {job_id} is {job.status}: only a failed job can be tried again")
            connection.execute(delete(job_tasks).where(job_tasks.c.job_number == job.number))
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job.number)
                .values(
                    status=Status.IN_PROGRESS,
                    message=None,
                    plan=None,
                    frames=0,
                    chunks=0,
                    chunks_done=0,
                    started_ms=None,
                    finished_ms=None,
                )
            )
            add_plan(connection, job.number, job.priority)

    def set_priority(self, job_id: str, priority: int) -> None:
        """Jobs of higher priority are worked on first; the default is 0. Raises JobStateError."""
        with self._database.begin() as connection:
            job = _locked(connection, job_id)
            if job.status is not Status.IN_PROGRESS:
                raise JobStateError(f"the job {job_id} is {job.status}: its priority no longer matters")
            connection.execute(update(jobs).where(jobs.c.id == job.number).values(priority=priority))
            connection.execute(update(job_tasks).where(job_tasks.c.job_number == job.number).values(priority=priority))

    # --- retention --------------------------------------------------------------------------------------------------

    def purge(self, retention: float) -> int:
        """Delete the jobs that ended more than `retention` seconds ago, with all they left; how many.

        Deleted pages of a SQLite file are overwritten, as results may describe faces.
        """
        purged = 0
        before = now_ms() - round(retention * 1000)
        while True:
            with self._database.read() as connection:
                number = connection.execute(
                    select(jobs.c.id).where(jobs.c.finished_ms <= before).order_by(jobs.c.finished_ms).limit(1)
                ).scalar()
            if number is None:
                return purged
            purged += self._purge(number)

    def _purge(self, number: int) -> int:
        while True:
            with self._database.begin() as connection:
                overwrite_deleted(connection)
                table = job_results
                some = (
                    select(table.c.view, table.c.position)
                    .where(table.c.job_number == number)
                    .order_by(table.c.view, table.c.position)
                    .limit(PURGE_ROWS)
                )
                last = connection.execute(some).all()
                if last:
                    view, position = last[-1]
                    connection.execute(
                        delete(table).where(
                            table.c.job_number == number,
                            (table.c.view < view) | ((table.c.view == view) & (table.c.position <= position)),
                        )
                    )
                    continue
                for other in (job_tasks, job_notices):
                    connection.execute(delete(other).where(other.c.job_number == number))
                gone = connection.execute(delete(jobs).where(jobs.c.id == number).returning(jobs.c.id)).all()
                return len(gone)


# --- shared with tasks ------------------------------------------------------------------------------------------------


def overwrite_deleted(connection: Connection) -> None:
    """Let SQLite overwrite what this connection deletes: observations and results may describe faces."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def end_job(connection: Connection, job: Job, status: Status, message: str | None = None) -> None:
    """Give an open job its final status, drop its tasks and put its notice into the outbox: all of it or nothing.

    What a decision that does not come to its end has written of the result goes too.
    """
    finished = now_ms()
    overwrite_deleted(connection)
    connection.execute(
        update(jobs).where(jobs.c.id == job.number).values(status=status, message=message, finished_ms=finished)
    )
    connection.execute(delete(job_tasks).where(job_tasks.c.job_number == job.number))
    if status is Status.FAILED:
        connection.execute(delete(job_results).where(job_results.c.job_number == job.number))
    note_finish(connection, job, status, finished)


def lock_job(connection: Connection, number: int) -> bool:
    """Hold a job's row until the transaction ends, before any of its tasks, so that nobody waits in a circle.

    Whether there is such a job.
    """
    return connection.execute(select(jobs.c.id).where(jobs.c.id == number).with_for_update()).first() is not None


def read_job(connection: Connection, number: int) -> Job:
    """A job by its number."""
    return job_of(connection.execute(job_rows().where(jobs.c.id == number)).one())


def job_of(row: Row[Any]) -> Job:
    """A row of `job_rows` as a Job."""
    status = Status(row.status)
    # the tasks of a job that has ended are gone, and with them what they had done
    done = row.frames if status is Status.SUCCEEDED else int(row.frames_done or 0)
    return Job(
        number=row.id,
        job_id=row.job_id,
        operation=row.operation,
        account_id=row.account_id,
        region=row.region,
        parameters=orjson.loads(row.parameters),
        priority=row.priority,
        status=status,
        message=row.message,
        plan=orjson.loads(row.plan) if row.plan else {},
        frames=row.frames,
        frames_done=done,
        chunks=row.chunks,
        chunks_done=row.chunks_done,
        created_ms=row.created_ms,
        started_ms=row.started_ms,
        finished_ms=row.finished_ms,
    )


def job_rows() -> Select[Any]:
    """All columns of jobs, and the frames that were looked at so far."""
    done = (
        select(func.sum(job_tasks.c.frames_done))
        .where(job_tasks.c.job_number == jobs.c.id)
        .correlate(jobs)
        .scalar_subquery()
    )
    return select(jobs, done.label("frames_done"))


def _locked(connection: Connection, job_id: str) -> Job:
    number = connection.execute(select(jobs.c.id).where(jobs.c.job_id == job_id)).scalar()
    if number is None:
        raise JobStateError(f"there is no job {job_id}")
    lock_job(connection, number)
    return read_job(connection, number)


def add_plan(connection: Connection, number: int, priority: int) -> None:
    """Add a job's first task."""
    connection.execute(
        insert(job_tasks).values(job_number=number, position=PLAN, state="open", priority=priority, arguments="{}")
    )


def add_chunks(connection: Connection, job: Job, chunks: Iterable[Mapping[str, Any]]) -> None:
    """Add the tasks of a job's chunks, in order."""
    rows = [
        {
            "job_number": job.number,
            "position": position,
            "state": "open",
            "priority": job.priority,
            "arguments": orjson.dumps(dict(arguments)).decode(),
        }
        for position, arguments in enumerate(chunks)
    ]
    connection.execute(insert(job_tasks), rows)
