"""kill -9 of workers and of the server at random moments: every job ends as if nothing had happened."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from openrek.jobs import JobStore, Status
from openrek.store.schema import job_notices, job_results, jobs
from tests.full_disk import no_more_space
from tests.jobs_kit import House, make_clip
from tests.jobs_processes import house_at

pytest.importorskip("av", reason="reading video needs PyAV")

ROOT = Path(__file__).parents[2]
TOPIC = "arn:aws:sns:us-east-1:000000000000:done"
KILLS = 8
PATIENCE = 120.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def alive(house: House) -> list[int]:
    return [worker.pid for worker in JobStore(house.database).workers(alive_ms=900) if running(worker.pid)]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def server(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.jobs_processes", "serve", str(home)], cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def worker(home: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of its own; at the end its standard input closes, and it stops."""
    command = [sys.executable, "-m", "tests.jobs_processes", "worker", str(home), name]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.send_signal(signal.SIGCONT)  # where a test stopped it
        process.stdin.close()
        process.wait(timeout=60)


def results(house: House) -> dict[str, list[tuple[object, ...]]]:
    """Every byte of every job's result."""
    table = job_results
    with house.database.read() as connection:
        rows = connection.execute(
            select(jobs.c.job_id, table.c.view, table.c.position, table.c.sort_text, table.c.sort_number, table.c.item)
            .join(jobs, jobs.c.id == table.c.job_number)
            .order_by(jobs.c.id, table.c.view, table.c.position)
        ).all()
    found: dict[str, list[tuple[object, ...]]] = {}
    for job_id, *row in rows:
        found.setdefault(job_id, []).append(tuple(row))
    return found


def test_random_kills_change_no_result(tmp_path: Path) -> None:
    moments = random.Random(20261123)
    house = house_at(tmp_path)
    house.objects.put("videos", "clip.mp4", make_clip(tmp_path / "clip.mp4", 120))
    undisturbed = house.submit()
    house.work()
    expected = results(house)[undisturbed]
    assert len(expected) == 132

    channel = {"SNSTopicArn": TOPIC, "RoleArn": "arn:aws:iam::000000000000:role/r"}
    ids = [house.submit(NotificationChannel=channel) for _ in range(3)]
    store = JobStore(house.database)
    kills = 0
    while kills < KILLS:
        with server(tmp_path) as process:
            for _ in range(moments.randint(1, 3)):
                until(lambda: bool(alive(house)), "no worker came up")
                time.sleep(moments.uniform(0.0, 0.4))
                if moments.random() < 0.25:
                    process.kill()
                    process.wait()
                    kills += 1
                    until(lambda: not alive(house), "workers outlived their server")
                    break
                pids = alive(house)
                if pids:
                    os.kill(moments.choice(pids), signal.SIGKILL)
                    kills += 1
                if all(job.status is not Status.IN_PROGRESS for job in store.newest()):
                    ids.append(house.submit(NotificationChannel=channel))
    with server(tmp_path):
        until(lambda: all(job.status is not Status.IN_PROGRESS for job in store.newest()), "a job hangs")

    assert {job.status for job in store.newest()} == {Status.SUCCEEDED}
    found = results(house)
    assert found.keys() == {undisturbed, *ids}
    for job_id in ids:
        assert found[job_id] == expected
    with house.database.read() as connection:  # and one notice for each, although nothing takes them here
        numbers = connection.execute(select(job_notices.c.job_number)).scalars().all()
    assert len(numbers) == len(set(numbers)) == len(ids)
    house.database.close()


@pytest.mark.parametrize("phase", ["plan", "chunk", "decide", "rows"])
def test_a_kill_in_each_phase_changes_no_result(tmp_path: Path, phase: str) -> None:
    house = house_at(tmp_path)
    house.objects.put("videos", "clip.mp4", make_clip(tmp_path / "clip.mp4", 60))
    undisturbed = house.submit()
    house.work()
    expected = results(house)[undisturbed]
    job_id = house.submit()

    def worker(name: str, *phase: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.jobs_processes", "worker", str(tmp_path), name, *phase]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)

    with worker("doomed", phase) as doomed:
        assert doomed.wait(timeout=PATIENCE) == -signal.SIGKILL
    store = JobStore(house.database)

    def status() -> Status:
        return next(job.status for job in store.newest() if job.job_id == job_id)

    assert status() is Status.IN_PROGRESS
    with worker("next") as following:
        try:
            until(lambda: status() is not Status.IN_PROGRESS, "the job hangs")
        finally:
            following.terminate()
    assert status() is Status.SUCCEEDED
    assert results(house)[job_id] == expected
    house.database.close()


def test_a_stopped_process_that_wakes_up_late_writes_nothing(tmp_path: Path) -> None:
    """SIGSTOP: the worker is not dead, but its lease is; another does its work, and it comes to nothing."""
    house = house_at(tmp_path)
    house.objects.put("videos", "clip.mp4", make_clip(tmp_path / "clip.mp4", 60))
    undisturbed = house.submit()
    house.work()
    expected = results(house)[undisturbed]

    store = JobStore(house.database)
    job_id = house.submit()

    def status() -> Status:
        job = store.find(job_id)
        assert job is not None
        return job.status

    with worker(tmp_path, "sleeper") as sleeper:
        until(lambda: bool(store.find(job_id).started_ms), "the job was not begun")
        sleeper.send_signal(signal.SIGSTOP)
        with worker(tmp_path, "other"):
            until(lambda: status() is Status.SUCCEEDED, "the other worker did not take over")
            sleeper.send_signal(signal.SIGCONT)
            time.sleep(0.5)
    assert results(house)[job_id] == expected
    house.database.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process need Linux")
def test_a_full_disk_in_the_middle_of_a_job_costs_time_alone(tmp_path: Path) -> None:
    """Nothing can be written, not even a failure: the job waits, and goes on as soon as there is room again."""
    house = house_at(tmp_path)
    house.objects.put("videos", "clip.mp4", make_clip(tmp_path / "clip.mp4", 240))
    undisturbed = house.submit()
    house.work()
    expected = results(house)[undisturbed]
    store, job_id = JobStore(house.database), house.submit()

    def done() -> tuple[Status, int]:
        job = store.find(job_id)
        assert job is not None
        return job.status, job.chunks_done

    with worker(tmp_path, "cramped") as process:
        until(lambda: done()[1] > 0, "the job was not begun")
        with no_more_space(process.pid):
            full = done()
            time.sleep(2.5)  # longer than a lease
            assert process.poll() is None
            assert done()[0] is Status.IN_PROGRESS
            assert done()[1] - full[1] <= 1  # what was being written just then
        until(lambda: done()[0] is not Status.IN_PROGRESS, "the job did not go on")
    assert done()[0] is Status.SUCCEEDED
    assert results(house)[job_id] == expected
    house.database.close()
