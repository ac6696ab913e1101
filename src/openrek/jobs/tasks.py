"""The queue of tasks: claimed with a lease, kept by heartbeats, finished once.

A worker that dies stops prolonging its lease; when it ends, the next worker takes the task. A worker that only seemed
dead finds its lease gone at its next write, and writes nothing: results are neither lost nor doubled, whoever is
killed and whenever. What a task produced and what follows from it are one transaction.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from openrek.jobs.errors import LeaseLostError
from openrek.jobs.records import DECIDE, Job, Row, Status, Task, View
from openrek.jobs.store import add_chunks, add_plan, end_job, lock_job, overwrite_deleted, read_job
from openrek.store.database import Database
from openrek.store.schema import job_results, job_tasks, jobs, now_ms

ROWS_AT_ONCE: Final = 2000
"""Result rows of one transaction."""

MOST_INTERRUPTIONS: Final = 10
"""How often a worker may die over a task before the task is taken for the cause."""

ATTEMPTS_TO_CLAIM: Final = 5
"""How often a worker that came second looks for another task before it rests."""

_waiting = (
    select(job_tasks.c.job_number, job_tasks.c.position)
    .where(
        job_tasks.c.state == "open",
        job_tasks.c.not_before_ms <= bindparam("now"),
        job_tasks.c.lease_until_ms <= bindparam("now"),
    )
    # the first chunks of all jobs before the second ones: a short job is not kept waiting by a long one
    .order_by(job_tasks.c.priority.desc(), job_tasks.c.position, job_tasks.c.job_number)
    .limit(1)
)


class TaskQueue:
    """The tasks of one database. `lease` in seconds: how long a worker may be silent before it is taken for dead."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self._lease_ms = round(lease * 1000)

    # --- taking -----------------------------------------------------------------------------------------------------

    def claim(self, worker_id: str) -> Task | None:
        """The next task, now held by this worker; None where nothing is to be done."""
        for _ in range(ATTEMPTS_TO_CLAIM):
            now = now_ms()
            waiting = self._database.fetch(_waiting, now=now)
            if not waiting:
                return None
            number, position = waiting[0]
            task = self._claim(worker_id, number, position, now)
            if task is not None:
                return task
        return None

    def _claim(self, worker_id: str, number: int, position: int, now: int) -> Task | None:
        """A task that was waiting a moment ago; None where another worker was faster or the job ended."""
        table = job_tasks
        mine = (table.c.job_number == number) & (table.c.position == position)
        free = (table.c.state == "open") & (table.c.not_before_ms <= now) & (table.c.lease_until_ms <= now)
        with self._database.begin() as connection:
            if not lock_job(connection, number):
                return None
            before = connection.execute(select(table).where(mine, free).with_for_update()).one_or_none()
            if before is None:
                return None
            lease = secrets.token_hex(16)
            interruptions = before.interruptions + int(before.lease is not None)
            connection.execute(
                update(table)
                .where(mine)
                .values(
                    lease=lease,
                    lease_until_ms=now + self._lease_ms,
                    worker_id=worker_id,
                    frames_done=0,
                    interruptions=interruptions,
                )
            )
            connection.execute(
                update(jobs).where(jobs.c.id == number, jobs.c.started_ms.is_(None)).values(started_ms=now)
            )
            job = read_job(connection, number)
            task = Task(job, position, orjson.loads(before.arguments), lease, before.failures, interruptions)
            if interruptions > MOST_INTERRUPTIONS:
                message = f"Analysing this video ended its worker {interruptions} times (in {task.name})."
                end_job(connection, job, Status.FAILED, message)
                return None
            return task

    def heartbeat(self, task: Task, frames_done: int) -> None:
        """Prolong the lease and record progress. Raises LeaseLostError."""
        with self._database.begin() as connection:
            kept = connection.execute(
                update(job_tasks)
                .where(*_held(task))
                .values(lease_until_ms=now_ms() + self._lease_ms, frames_done=frames_done)
                .returning(job_tasks.c.position)
            ).all()
        if not kept:
            raise LeaseLostError(f"{task.name} of job {task.job.job_id} is no longer this worker's")

    # --- finishing --------------------------------------------------------------------------------------------------

    def planned(self, task: Task, plan: Mapping[str, Any], frames: int, chunks: Sequence[Mapping[str, Any]]) -> None:
        """The planning task is done: keep the plan, add the tasks of its chunks. Raises LeaseLostError."""
        with self._database.begin() as connection:
            job = self._take(connection, task)
            connection.execute(delete(job_tasks).where(*_held(task)))
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job.number)
                .values(plan=orjson.dumps(dict(plan)).decode(), frames=frames, chunks=len(chunks), chunks_done=0)
            )
            add_chunks(connection, job, chunks)

    def observed(self, task: Task, observations: bytes, frames: int, *, skipped: int = 0) -> None:
        """A chunk is done: keep its observations; after the last one, the decision follows.

        frames: of the chunk; skipped: how many of them could not be decoded. Raises LeaseLostError.
        """
        with self._database.begin() as connection:
            job = self._take(connection, task)
            connection.execute(
                update(job_tasks)
                .where(*_held(task))
                .values(state="done", lease=None, observations=observations, frames_done=frames)
            )
            done = job.chunks_done + 1
            plan = {**job.plan, "skipped": job.skipped + skipped}
            connection.execute(
                update(jobs).where(jobs.c.id == job.number).values(chunks_done=done, plan=orjson.dumps(plan).decode())
            )
            if done == job.chunks:
                connection.execute(
                    insert(job_tasks).values(
                        job_number=job.number, position=DECIDE, state="open", priority=job.priority, arguments="{}"
                    )
                )

    def observations(self, job: Job) -> Iterator[bytes]:
        """What the chunks of a job observed, in order; one at a time is in memory."""
        for position in range(job.chunks):
            with self._database.read() as connection:
                yield connection.execute(
                    select(job_tasks.c.observations).where(
                        job_tasks.c.job_number == job.number, job_tasks.c.position == position
                    )
                ).scalar_one()

    def decided(self, task: Task, rows: Iterable[Row], message: str | None = None) -> int:
        """The deciding task is done: keep the result rows and end the job as SUCCEEDED; how many rows.

        Rows are written in several transactions, and seen by nobody before the last one. Raises LeaseLostError.
        """
        table = job_results
        with self._database.begin() as connection:  # what an interrupted decision left
            self._take(connection, task)
            connection.execute(delete(table).where(table.c.job_number == task.job.number))
        positions = dict.fromkeys(View, 0)
        source = iter(rows)
        while batch := list(islice(source, ROWS_AT_ONCE)):
            values = []
            for row in batch:
                values.append(
                    {
                        "job_number": task.job.number,
                        "view": int(row.view),
                        "position": positions[row.view],
                        "sort_text": row.sort_text,
                        "sort_number": row.sort_number,
                        "item": orjson.dumps(row.item).decode(),
                    }
                )
                positions[row.view] += 1
            with self._database.begin() as connection:
                self._take(connection, task)
                connection.execute(insert(table), values)
        with self._database.begin() as connection:
            job = self._take(connection, task)
            end_job(connection, job, Status.SUCCEEDED, message)
        return sum(positions.values())

    # --- not finishing ----------------------------------------------------------------------------------------------

    def failed(self, task: Task, message: str) -> None:
        """The job cannot succeed. Raises LeaseLostError."""
        with self._database.begin() as connection:
            end_job(connection, self._take(connection, task), Status.FAILED, message)

    def again(self, task: Task, message: str, *, attempts: int, wait: float) -> bool:
        """The task failed in a way that may pass: try it again after `wait` seconds, `attempts` times in all.

        Whether it will be tried again; else the job has failed. Raises LeaseLostError.
        """
        if task.failures + 1 >= attempts:
            self.failed(task, message)
            return False
        with self._database.begin() as connection:
            self._take(connection, task)
            connection.execute(
                update(job_tasks)
                .where(*_held(task))
                .values(
                    lease=None,
                    lease_until_ms=0,
                    failures=task.failures + 1,
                    not_before_ms=now_ms() + round(wait * 1000),
                )
            )
        return True

    def restart(self, task: Task) -> None:
        """Begin the task's job anew: its observations are of another version. Raises LeaseLostError."""
        with self._database.begin() as connection:
            job = self._take(connection, task)
            overwrite_deleted(connection)
            connection.execute(delete(job_tasks).where(job_tasks.c.job_number == job.number))
            connection.execute(
                update(jobs).where(jobs.c.id == job.number).values(plan=None, frames=0, chunks=0, chunks_done=0)
            )
            add_plan(connection, job.number, job.priority)

    def release(self, worker_id: str) -> int:
        """Give back what a worker holds, at once: it stops, or is known to be dead. How many tasks."""
        with self._database.begin() as connection:
            freed = connection.execute(
                update(job_tasks)
                .where(job_tasks.c.worker_id == worker_id, job_tasks.c.state == "open", job_tasks.c.lease.is_not(None))
                .values(lease_until_ms=0)
                .returning(job_tasks.c.position)
            ).all()
        return len(freed)

    def give_back(self, task: Task) -> None:
        """The worker stops on purpose: the task waits for another, and this does not count as an interruption."""
        with self._database.begin() as connection:
            connection.execute(update(job_tasks).where(*_held(task)).values(lease=None, lease_until_ms=0))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take(self, connection: Connection, task: Task) -> Job:
        """The task's job, its row held, if the task is still ours. Raises LeaseLostError."""
        # the job's row first, as `cancel` does: nobody waits in a circle
        locked = lock_job(connection, task.job.number)
        held = connection.execute(select(job_tasks.c.position).where(*_held(task)).with_for_update()).one_or_none()
        if not locked or held is None:
            raise LeaseLostError(f"{task.name} of job {task.job.job_id} is no longer this worker's")
        return read_job(connection, task.job.number)


def _held(task: Task) -> tuple[Any, ...]:
    table = job_tasks
    return (
        table.c.job_number == task.job.number,
        table.c.position == task.position,
        table.c.lease == task.lease,
        table.c.state == "open",
    )
