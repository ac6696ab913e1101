"""Processes for the tests that kill: `python -m tests.jobs_processes serve|worker HOME [ID [PHASE]]`.

`serve` stands for the server: it keeps two workers running and does nothing else. Both use the test analysis. A worker
with a PHASE (plan, chunk, decide or rows) kills itself in the midst of that.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrek.jobs import Job, Row
from openrek.jobs.supervisor import Supervisor
from openrek.jobs.worker import Worker
from openrek.vision.video import Frame, VideoInfo
from tests.jobs_kit import OPERATION, Brightness, Counting, House

SLOW = 0.004
LEASE = 1.0


def house_at(home: Path) -> House:
    """The home of a test; in a database of one's own where OPENREK_TEST_DATABASE names an empty one."""
    return House.build(home, chunk_seconds=0.4, job_lease=LEASE, database_url=os.environ.get("OPENREK_TEST_DATABASE"))


def serve(home: Path) -> None:
    house = house_at(home)

    def command(worker_id: str) -> list[str]:
        return [sys.executable, "-m", "tests.jobs_processes", "worker", str(home), worker_id]

    supervisor = Supervisor(house.settings, house.database, count=2, command=command)
    supervisor.start()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    stopping.wait()
    supervisor.stop()
    house.database.close()


class Deadly(Counting):
    """The test analysis of a process that ends by SIGKILL in one phase of a job."""

    def __init__(self, phase: str) -> None:
        super().__init__(slow=SLOW)
        self.phase = phase

    def analysers(self, job: Job) -> list[Brightness]:
        self.die("plan")
        return [DeadlyBrightness(slow=SLOW, deadly=self)]

    def rows(self, job: Job, info: VideoInfo, decisions: Mapping[str, Any]) -> Iterable[Row]:
        for number, row in enumerate(decisions["brightness"]):
            yield row
            if number == 30:
                self.die("rows")

    def die(self, phase: str) -> None:
        """Here is this phase."""
        if phase == self.phase:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class DeadlyBrightness(Brightness):
    deadly: Deadly | None = None

    def observe(self, frame: Frame) -> tuple[float, float]:
        if self.deadly is not None and frame.index == 15:
            self.deadly.die("chunk")
        return Brightness.observe(self, frame)

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, tuple[float, float]]]) -> Iterator[Row]:
        for number, row in enumerate(Brightness.decide(self, info, observations)):
            if self.deadly is not None and number == 15:
                self.deadly.die("decide")
            yield row


def work(home: Path, worker_id: str, phase: str = "") -> None:
    house = house_at(home)
    analysis = Deadly(phase) if phase else Counting(slow=SLOW)
    worker = Worker(house.database, house.objects, {OPERATION: analysis}, house.settings, worker_id=worker_id)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())

    def follow() -> None:
        sys.stdin.buffer.read()
        worker.stop()

    threading.Thread(target=follow, daemon=True).start()
    worker.run()
    house.database.close()


if __name__ == "__main__":
    role, place, *rest = sys.argv[1:]
    if role == "serve":
        serve(Path(place))
    else:
        work(Path(place), *rest)
