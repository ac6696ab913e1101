"""A worker: a process that takes tasks and does them, one after the other.

Beside the work, threads prolong the lease of what is held, publish notices and keep house. Killed at any moment, a
worker leaves nothing behind but a lease that ends.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import Final

from openrek.jobs.courier import Courier
from openrek.jobs.errors import JobFailedError, LeaseLostError
from openrek.jobs.housekeeping import keep_house, say_alive, say_goodbye
from openrek.jobs.records import Task
from openrek.jobs.runner import JobAnalysis, TaskRunner
from openrek.jobs.sources import VideoSources
from openrek.jobs.store import JobStore
from openrek.jobs.tasks import TaskQueue
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.objects import ObjectStore

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""How often an idle worker looks for work; a look is one read of an index."""

STALLED: Final = 75
"""Exit status of a worker that ended itself because nothing moved."""


def new_worker_id() -> str:
    """A name that no other worker has or will have."""
    return f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"


class StoppedError(Exception):
    """The worker is asked to stop; what it is at will be done by another."""


class Worker:
    """Works until it is told to stop. Make it and run it in one process of its own."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        analyses: Mapping[str, JobAnalysis],
        settings: Settings,
        *,
        worker_id: str | None = None,
    ) -> None:
        self.worker_id = worker_id or new_worker_id()
        self._database = database
        self._settings = settings
        self._queue = TaskQueue(database, settings.job_lease)
        self._sources = VideoSources(objects, settings.video_folder, limit=settings.video_byte_limit)
        self._runner = TaskRunner(self._queue, self._sources, analyses, settings)
        self._courier = Courier(database, settings)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._task: Task | None = None
        self._lost = False
        self._frames = 0
        self._moved = time.monotonic()

    def stop(self) -> None:
        """End soon: what is held is given back. For signal handlers and other threads."""
        self._stopping.set()
        self._courier.wake()

    def close(self) -> None:
        """Close the videos that are still open; `run` does it at its end."""
        self._runner.close()

    def run(self) -> None:
        """Work until `stop`."""
        threads = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._courier.run, args=(self._stopping,), name="courier", daemon=True),
            threading.Thread(
                target=keep_house,
                args=(JobStore(self._database), self._sources, self._settings, self._stopping),
                name="housekeeping",
                daemon=True,
            ),
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stopping.is_set():
                if not self.work_once():
                    self._stopping.wait(LOOK_SECONDS)
        finally:
            self.stop()
            self.close()
            for thread in threads:
                thread.join(timeout=5)
            try:
                say_goodbye(self._database, self.worker_id)
            except StoreError as error:
                log.error("%s", error)

    def work_once(self) -> bool:
        """Take one task and do it; whether there was one."""
        try:
            task = self._queue.claim(self.worker_id)
        except StoreError as error:
            log.error("looking for work: %s", error)
            return False
        if task is None:
            return False
        with self._lock:
            self._task, self._lost, self._frames, self._moved = task, False, 0, time.monotonic()
        try:
            self._do(task)
        except LeaseLostError as error:
            log.info("%s", error)
        except StoreError as error:  # what was done is not kept; the lease will end
            log.error("job %s, %s: %s", task.job.job_id, task.name, error)
        finally:
            with self._lock:
                self._task = None
        self._courier.wake()
        self._tidy()
        return True

    def _tidy(self) -> None:
        """Close and remove what jobs left that have ended, here or elsewhere."""
        try:
            wanted = JobStore(self._database).open_videos()
        except StoreError as error:
            log.error("tidying: %s", error)
            return
        self._runner.keep({video.job_id for video in wanted})
        self._sources.tidy(wanted)

    def _do(self, task: Task) -> None:
        from openrek.vision.runtime import ModelError
        from openrek.vision.video import VideoError

        try:
            self._runner.run(task, self._tick)
        except StoppedError:
            self._queue.give_back(task)
        except LeaseLostError:
            raise
        except JobFailedError as error:
            self._queue.failed(task, str(error))
        except VideoError as error:
            self._queue.failed(task, f"The video cannot be analysed: {error}.")
        except Exception as error:
            known = isinstance(error, StoreError | ModelError | OSError)  # their messages say it all
            log.log(
                logging.WARNING if known else logging.ERROR,
                "job %s, %s: %s",
                task.job.job_id,
                task.name,
                error,
                exc_info=None if known else error,
            )
            self._queue.again(
                task,
                f"Analysing the video failed in {task.name}: {'' if known else type(error).__name__ + ': '}{error}",
                attempts=self._settings.job_attempts,
                wait=self._settings.job_retry_wait * 2**task.failures,
            )

    def _tick(self, frames: int) -> None:
        self._frames = frames
        self._moved = time.monotonic()
        if self._lost:
            raise LeaseLostError("the task was taken away")
        if self._stopping.is_set():
            raise StoppedError

    def _beat(self) -> None:
        """Until the worker stops: prolong the lease, say that this process lives, and end it where nothing moves."""
        pause = self._settings.job_lease / 4
        while True:
            with self._lock:
                task, silent = self._task, time.monotonic() - self._moved
            try:
                say_alive(self._database, self.worker_id)
                if task is not None:
                    self._queue.heartbeat(task, self._frames)
            except LeaseLostError:
                with self._lock:
                    if self._task is task:
                        self._lost = True
            except StoreError as error:
                log.error("heartbeat: %s", error)
            if task is not None and silent > self._settings.job_stall:
                log.critical("job %s, %s: nothing moved for %.0f s; ending", task.job.job_id, task.name, silent)
                os._exit(STALLED)
            if self._stopping.wait(pause):
                return
