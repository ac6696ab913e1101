"""Processes for the tests that kill: `python -m tests.jobs_processes serve|worker HOME [ID]`.

`serve` stands for the server: it keeps two workers running and does nothing else. Both use the test analysis.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from openrek.jobs.supervisor import Supervisor
from openrek.jobs.worker import Worker
from tests.jobs_kit import OPERATION, Counting, House

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


def work(home: Path, worker_id: str) -> None:
    house = house_at(home)
    worker = Worker(
        house.database, house.objects, {OPERATION: Counting(slow=SLOW)}, house.settings, worker_id=worker_id
    )
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
