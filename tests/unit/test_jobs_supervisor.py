"""The server's own workers: started, started again, stopped, and gone with the server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openrek.jobs.records import PLAN
from openrek.jobs.supervisor import Supervisor, default_workers, environment_of
from openrek.jobs.tasks import TaskQueue
from openrek.settings import Settings
from tests.jobs_kit import House

# a worker that does nothing but live until its standard input ends
IDLE = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House.build(tmp_path, job_lease=600.0)
    yield made
    made.database.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_settings_reach_the_workers(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        cache=tmp_path / "cache",
        chunk_seconds=7.5,
        offline=True,
        database_url="postgresql://u:p@h/d",
        topics={"arn:aws:sns:r:a:t": "http://127.0.0.1/"},
    )
    environment = environment_of(settings)
    assert environment["OPENREK_HOME"] == str(tmp_path)
    code = "from openrek.settings import Settings; print(Settings().model_dump_json())"
    output = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout
    assert Settings.model_validate_json(output) == settings


def test_a_dead_worker_is_replaced_and_its_task_freed(house: House) -> None:
    ids: list[str] = []

    def command(worker_id: str) -> list[str]:
        ids.append(worker_id)
        return IDLE

    supervisor = Supervisor(house.settings, house.database, count=2, command=command)
    supervisor.start()
    try:
        until(lambda: len(supervisor.processes()) == 2)
        house.submit()
        queue = TaskQueue(house.database, 600.0)
        assert queue.claim(ids[0]) is not None
        assert queue.claim("other") is None
        first = supervisor.processes()
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(set(supervisor.processes()) - set(first)) == 1)
        task = queue.claim("other")  # long before the lease ends
        assert task is not None
        assert (task.position, task.interruptions) == (PLAN, 1)
        assert len(set(ids)) == 3
    finally:
        supervisor.stop()
    assert supervisor.processes() == []


def test_a_worker_that_dies_at_once_is_started_ever_more_slowly(house: House) -> None:
    starts: list[float] = []

    def command(worker_id: str) -> list[str]:
        starts.append(time.monotonic())
        return [sys.executable, "-S", "-c", "raise SystemExit(3)"]

    supervisor = Supervisor(house.settings, house.database, count=1, command=command)
    supervisor.start()
    try:
        until(lambda: len(starts) >= 3)
    finally:
        supervisor.stop()
    assert starts[1] - starts[0] >= 0.5
    assert starts[2] - starts[1] >= 1.0


def test_workers_end_with_a_killed_server(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from tests.jobs_kit import House
from openrek.jobs.supervisor import Supervisor
house = House.build(Path(sys.argv[1]))
idle = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]
supervisor = Supervisor(house.settings, house.database, count=2, command=lambda worker_id: idle)
supervisor.start()
while len(supervisor.processes()) < 2:
    time.sleep(0.01)
print(*supervisor.processes(), flush=True)
time.sleep(600)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        process.kill()
    until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_how_many_workers_by_default() -> None:
    assert [default_workers(cores) for cores in (1, 2, 3, 4, 16)] == [1, 1, 1, 2, 8]
