"""What workers do beside their work: old results purged, old copies removed, signs of life."""

import logging
import os
import socket
import threading
from typing import Final

from sqlalchemy import delete, update

from openrek.jobs.sources import VideoSources
from openrek.jobs.store import JobStore
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.schema import job_workers, now_ms

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
FORGET_WORKERS_MS: Final = 24 * 3600 * 1000


def keep_house(jobs: JobStore, sources: VideoSources, settings: Settings, stopping: threading.Event) -> None:
    """Purge expired jobs and remove idle copies, again and again until `stopping` is set."""
    pause = min(EVERY_SECONDS, settings.job_retention / 2)
    while True:
        try:
            purged = jobs.purge(settings.job_retention)
            if purged:
                log.info("purged %d jobs", purged)
            sources.sweep(jobs.open_videos())
        except (StoreError, OSError) as error:
            log.error("housekeeping: %s", error)
        if stopping.wait(pause):
            return


def say_alive(database: Database, worker_id: str) -> None:
    """Record that this worker lives. Raises StoreError."""
    now = now_ms()
    with database.begin() as connection:
        seen = connection.execute(
            update(job_workers)
            .where(job_workers.c.worker_id == worker_id)
            .values(seen_ms=now)
            .returning(job_workers.c.worker_id)
        ).all()
        if not seen:
            row = {"host": socket.gethostname(), "pid": os.getpid(), "started_ms": now, "seen_ms": now}
            database.insert_if_absent(job_workers, {"worker_id": worker_id, **row}, connection)
            connection.execute(delete(job_workers).where(job_workers.c.seen_ms < now - FORGET_WORKERS_MS))


def say_goodbye(database: Database, worker_id: str) -> None:
    """This worker ends. Raises StoreError."""
    with database.begin() as connection:
        connection.execute(delete(job_workers).where(job_workers.c.worker_id == worker_id))
