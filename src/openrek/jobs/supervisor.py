"""The server's own workers: child processes, started again when they die."""

import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from openrek.jobs.tasks import TaskQueue
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.errors import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
SHORT_LIFE: Final = 10.0
"""A worker that dies sooner than this is started again with a growing pause."""
LONGEST_PAUSE: Final = 30.0
PATIENCE: Final = 20.0
"""Seconds a worker has for stopping before it is killed."""


def default_workers(cores: int | None = None) -> int:
    """One worker for two cores, at least one: decoders and models use several threads themselves."""
    return max(1, (cores or os.cpu_count() or 1) // 2)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment variables that give a child process the same settings."""
    given: dict[str, Any] = json.loads(settings.model_dump_json(exclude_unset=True))
    prefix = settings.model_config.get("env_prefix", "")
    return {
        prefix + name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }


@dataclass(slots=True)
class _Place:
    """One worker's place: the process in it now, and when the next may start."""

    process: "subprocess.Popen[bytes] | None" = None
    worker_id: str = ""
    started: float = 0.0
    pause: float = 0.0
    not_before: float = field(default=0.0)


class Supervisor:
    """Keeps `count` workers running, in a thread. Each worker ends by itself when this process is gone, by whatever
    cause: it reads from a pipe whose other end is here."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        count: int,
        command: Callable[[str], list[str]] | None = None,
    ) -> None:
        """command: the command line of a worker with this id; `python -m openrek worker` by default."""
        self._settings = settings
        self._queue = TaskQueue(database, settings.job_lease)
        self._places = [_Place() for _ in range(count)]
        self._command = command or _worker_command
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    def start(self) -> None:
        """Start the workers."""
        self._thread.start()

    def processes(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [place.process.pid for place in self._places if place.process and place.process.poll() is None]

    def stop(self) -> None:
        """Stop the workers: what they are at is given back to the queue."""
        self._stopping.set()
        self._thread.join(timeout=5)
        for place in self._places:
            if place.process is not None:
                place.process.terminate()
        deadline = time.monotonic() + PATIENCE
        for place in self._places:
            if place.process is not None:
                try:
                    place.process.wait(timeout=max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    place.process.kill()
                    place.process.wait()
                self._close(place)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for place in self._places:
                try:
                    self._mind(place)
                except (OSError, StoreError) as error:
                    log.error("a worker cannot be started: %s", error)
                    place.not_before = time.monotonic() + LONGEST_PAUSE
            self._stopping.wait(LOOK_SECONDS)

    def _mind(self, place: _Place) -> None:
        now = time.monotonic()
        if place.process is not None:
            status = place.process.poll()
            if status is None:
                return
            self._close(place)
            lived = now - place.started
            place.pause = min(max(0.5, place.pause * 2), LONGEST_PAUSE) if lived < SHORT_LIFE else 0.0
            place.not_before = now + place.pause
            log.warning("a worker ended (status %d) after %.0f s; the next starts", status, lived)
            self._queue.release(place.worker_id)
        if now >= place.not_before:
            place.worker_id = f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
            place.process = subprocess.Popen(
                self._command(place.worker_id),
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches the server, which stops its workers in order
                env={**os.environ, **environment_of(self._settings)},
            )
            place.started = now

    @staticmethod
    def _close(place: _Place) -> None:
        if place.process is not None and place.process.stdin is not None:
            with suppress(OSError):
                place.process.stdin.close()
        place.process = None


def _worker_command(worker_id: str) -> list[str]:
    return [sys.executable, "-m", "openrek", "worker", "--attached", "--id", worker_id]
