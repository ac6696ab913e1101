"""`openrek jobs` and `openrek worker`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from typer.testing import CliRunner, Result

from openrek.cli.common import UserError
from openrek.cli.main import app
from openrek.jobs import Job, JobStateError, JobStore, Status, Task
from openrek.jobs.housekeeping import say_alive
from openrek.jobs.tasks import TaskQueue
from openrek.store.schema import jobs
from tests.jobs_kit import ACCOUNT, OPERATION, REGION, House

VIDEO = {"codec": "h264", "width": 96, "height": 64, "rate": 25.0, "duration_ms": 9600}
TOPIC = "arn:aws:sns:us-east-1:000000000000:done"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House.build(tmp_path / "home")
    yield made
    made.database.close()


def run(house: House, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["jobs", *arguments, "--home", str(house.settings.home)], env={"COLUMNS": "160"})


def output(house: House, *arguments: str) -> str:
    result = run(house, *arguments)
    assert result.exit_code == 0, result.exception
    return result.output


def claimed(queue: TaskQueue) -> Task:
    task = queue.claim("w")
    assert task is not None
    return task


def job(house: House, job_id: str) -> Job:
    found = JobStore(house.database).find(job_id)
    assert found is not None
    return found


def test_nothing_is_listed_in_an_empty_home(house: House) -> None:
    assert "no jobs" in output(house, "list")
    assert json.loads(output(house, "list", "--json")) == {"jobs": [], "workers": []}


def test_jobs_are_listed_with_their_workers(house: House) -> None:
    ids = [house.submit() for _ in range(3)]
    text = output(house, "list")
    assert "No worker is alive" in text
    say_alive(house.database, "worker-1")
    assert TaskQueue(house.database, 30.0).claim("worker-1") is not None
    text = output(house, "list")
    # a narrow terminal wraps the other columns
    assert re.findall(r"^ ?([0-9a-f]{12})\b", text, re.MULTILINE) == [job_id[:12] for job_id in ids[::-1]]
    assert f"worker worker-1: {ids[0][:12]}/plan" in text
    listed = json.loads(output(house, "list", "--json", "--limit", "2"))
    assert [one["job_id"] for one in listed["jobs"]] == ids[:0:-1]
    assert listed["workers"][0]["tasks"] == [f"{ids[0][:12]}/plan"]
    assert json.loads(output(house, "list", "--json", "--status", "failed"))["jobs"] == []
    assert isinstance(run(house, "list", "--status", "lost").exception, UserError)


def test_one_job_is_shown_with_its_notification(house: House) -> None:
    job_id = house.submit(NotificationChannel={"SNSTopicArn": TOPIC, "RoleArn": "r"}, JobTag="[red]tag")
    queue = TaskQueue(house.database, 30.0)
    task = queue.claim("w")
    assert task is not None
    queue.failed(task, "The video cannot be analysed: [the file] is empty.")
    text = output(house, "show", job_id[:10])
    assert job_id in text
    assert "The video cannot be analysed: [the file] is empty." in text  # markup in it is text
    assert f"open to {TOPIC} after 0 attempts" in text
    assert "[red]tag" in text
    shown = json.loads(output(house, "show", job_id, "--json"))
    assert shown["status"] == "FAILED"
    (notice,) = shown["notices"]
    assert (notice["state"], notice["message"]["JobId"]) == ("open", job_id)


def test_damage_is_shown(house: House) -> None:
    job_id = house.submit()
    queue = TaskQueue(house.database, 30.0)
    plan = {"etag": "e", "analysers": {}, "video": VIDEO, "skipped": 1}
    queue.planned(claimed(queue), plan, 240, [{"start": 0, "stop": 240}])
    assert "1 damaged packet skipped" in output(house, "show", job_id)
    queue.observed(claimed(queue), b"", 240, skipped=171)
    assert "172 damaged packets skipped" in output(house, "show", job_id)
    assert json.loads(output(house, "show", job_id, "--json"))["skipped_packets"] == 172


def test_a_job_is_cancelled_and_tried_again(house: House) -> None:
    job_id = house.submit()
    output(house, "cancel", job_id[:8])
    assert job(house, job_id).message == "The job was cancelled."
    assert isinstance(run(house, "cancel", job_id).exception, JobStateError)
    output(house, "retry", job_id)
    assert job(house, job_id).status is Status.IN_PROGRESS
    output(house, "priority", job_id, "7")
    assert job(house, job_id).priority == 7


def test_an_unknown_or_doubtful_job_is_refused(house: House) -> None:
    only = house.submit()
    assert isinstance(run(house, "show", "z").exception, UserError)
    for command in ("cancel", "show", "watch"):
        refused = run(house, command, "").exception
        assert isinstance(refused, UserError)
        assert "an empty id names no job" in str(refused)
    assert job(house, only).status is Status.IN_PROGRESS
    with house.database.begin() as connection:
        connection.execute(update(jobs).values(job_id="ab" + only[2:]))
        for n in range(20):
            like = {"account_id": ACCOUNT, "region": REGION, "operation": OPERATION, "parameters": "{}"}
            new = {"job_id": f"{'cd' if n < 3 else 'ef'}{n:062}", "status": Status.IN_PROGRESS, "created_ms": 0}
            connection.execute(insert(jobs).values(like | new))
    for prefix, words in (("cd", "3 jobs begin with cd"), ("ef", "more than 9 jobs begin with ef")):
        assert str(run(house, "show", prefix).exception) == f"{words}: write more of the id"


def test_a_finished_job_has_all_its_frames(house: House) -> None:
    job_id = house.submit()
    queue = TaskQueue(house.database, 30.0)
    plan = {"etag": "e", "analysers": {}, "video": VIDEO}
    queue.planned(claimed(queue), plan, 240, [{"start": 0, "stop": 240}])
    assert "0.0% (0 of 240 frames)" in output(house, "show", job_id)
    queue.observed(claimed(queue), b"", 240)
    queue.decided(claimed(queue), [])
    assert "100.0% (240 of 240 frames)" in output(house, "show", job_id)
    assert json.loads(output(house, "show", job_id, "--json"))["frames_done"] == 240


def test_the_list_fits_a_narrow_terminal(house: House) -> None:
    for operation in ("StartCelebrityRecognition", "StartSegmentDetection"):
        house.submit("a film with a rather long name.mp4", operation=operation)
    narrow = {"COLUMNS": "80"}
    text = CliRunner().invoke(app, ["jobs", "list", "--home", str(house.settings.home)], env=narrow).output
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    for operation in ("CelebrityRecognition", "Segment"):
        (row,) = [line for line in lines if operation in line]
        assert re.search(rf"^ ?[0-9a-f]{{12}} +{operation} +IN_PROGRESS +0% +\d\d-\d\d \d\d:\d\d +- +\S", row)


def test_watching_nothing_says_so(house: House) -> None:
    assert output(house, "watch") == "no job is in progress\n"
    assert output(house, "watch", "--json") == ""


def test_topics_that_are_no_json_are_refused_in_a_sentence(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENREK_TOPICS", "arn=address")
    result = run(house, "list")
    assert isinstance(result.exception, UserError)
    assert 'field "topics"' in str(result.exception)


def test_watch_ends_with_the_jobs(house: House) -> None:
    job_id = house.submit()
    JobStore(house.database).cancel(job_id)
    assert "The job was cancelled." in output(house, "watch", job_id)
    (line,) = output(house, "watch", job_id, "--json").splitlines()
    assert json.loads(line)["status"] == "FAILED"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_starts_and_stops_cleanly(house: House, how: signal.Signals) -> None:
    pytest.importorskip("av", reason="reading video needs PyAV")
    command = [sys.executable, "-m", "openrek", "worker", "--home", str(house.settings.home)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "200"}) as worker:
        assert worker.stderr is not None
        assert b"is at work" in worker.stderr.readline()
        for _ in range(600):
            if JobStore(house.database).workers(alive_ms=60_000):
                break
            time.sleep(0.05)
        worker.send_signal(how)
        assert worker.wait(timeout=60) == 0
        assert worker.stderr.read() == b""
    assert JobStore(house.database).workers(alive_ms=60_000) == []


def test_an_attached_worker_ends_with_its_pipe(house: House) -> None:
    pytest.importorskip("av", reason="reading video needs PyAV")
    home = str(house.settings.home)
    command = [sys.executable, "-m", "openrek", "worker", "--attached", "--id", "w-1", "--home", home]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as worker:
        for _ in range(600):
            if JobStore(house.database).workers(alive_ms=60_000):
                break
            time.sleep(0.05)
        assert [one.worker_id for one in JobStore(house.database).workers(alive_ms=60_000)] == ["w-1"]
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(timeout=60) == 0
