"""The queue of jobs, one script on both databases."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from openrek.jobs import (
    JobLimitError,
    JobResults,
    JobStateError,
    JobStore,
    LeaseLostError,
    NewJob,
    Row,
    RowGoneError,
    Status,
    Task,
    TaskQueue,
    View,
)
from openrek.jobs.notices import Outbox
from openrek.jobs.records import DECIDE, PLAN
from openrek.jobs.tasks import MOST_INTERRUPTIONS
from openrek.store.database import Database
from openrek.store.schema import job_notices, job_results, job_tasks, job_workers, jobs, now_ms

ACCOUNT, REGION = "000000000000", "us-east-1"
TOPIC = "arn:aws:sns:us-east-1:000000000000:AmazonRekognitionDone"


Wait = Callable[[float], None]


@pytest.fixture(autouse=True)
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Time stands still for the queue but for what a test waits: a slow machine loses no lease."""
    now = [now_ms()]
    for module in ("housekeeping", "notices", "store", "tasks"):
        monkeypatch.setattr(f"openrek.jobs.{module}.now_ms", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += round(seconds * 1000)

    return forward


def add(database: Database, limit: int | None = None, *, account: str = ACCOUNT, priority: int = 0, **more: Any) -> str:
    parameters = {"Video": {"S3Object": {"Bucket": "videos", "Name": "a.mp4"}}} | more
    with database.begin() as connection:
        new = NewJob("StartFaceDetection", account, REGION, parameters, priority)
        return JobStore(database).create(connection, new, limit=limit)


def queue_of(database: Database, lease: float = 30.0) -> TaskQueue:
    return TaskQueue(database, lease)


def claimed(queue: TaskQueue, worker: str = "w") -> Task:
    task = queue.claim(worker)
    assert task is not None
    return task


def plan(queue: TaskQueue, chunks: int = 2) -> Task:
    task = claimed(queue)
    assert task.position == PLAN
    queue.planned(task, {"etag": "e"}, 100 * chunks, [{"start": 100 * n, "stop": 100 * n + 100} for n in range(chunks)])
    return task


def count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def finish(database: Database, rows: list[Row], chunks: int = 1) -> None:
    queue = queue_of(database)
    plan(queue, chunks)
    for _ in range(chunks):
        queue.observed(claimed(queue), b"", 100)
    queue.decided(claimed(queue), rows)


# --- a job's way ------------------------------------------------------------------------------------------------------


def test_a_job_goes_through_plan_chunks_and_decision(database: Database) -> None:
    store, queue = JobStore(database), queue_of(database)
    job_id = add(database, JobTag="tag")
    assert len(job_id) == 64
    assert set(job_id) <= set("0123456789abcdef")
    job = store.find(job_id)
    assert job is not None
    assert (job.status, job.share, job.tag, job.started_ms) == (Status.IN_PROGRESS, 0.0, "tag", None)

    plan(queue, chunks=3)
    assert queue.claim("w2") is not None  # chunk 0
    tasks = [claimed(queue) for _ in range(2)]
    assert [task.position for task in tasks] == [1, 2]
    assert tasks[1].arguments == {"start": 200, "stop": 300}
    assert tasks[1].job.plan == {"etag": "e"}
    assert queue.claim("w") is None  # all are held
    queue.observed(tasks[1], b"two", 100)
    queue.heartbeat(tasks[0], 50)
    job = store.find(job_id)
    assert job is not None
    assert job.share == 0.5
    queue.observed(tasks[0], b"one", 100)
    assert queue.claim("w") is None  # the decision waits for chunk 0
    queue.release("w2")
    queue.observed(claimed(queue), b"zero", 100)

    task = claimed(queue)
    assert task.position == DECIDE
    assert list(queue.observations(task.job)) == [b"zero", b"one", b"two"]
    assert queue.decided(task, [Row({"n": 0}), Row({"n": 1})]) == 2
    job = store.find(job_id)
    assert job is not None
    assert (job.status, job.share, job.chunks_done) == (Status.SUCCEEDED, 1.0, 3)
    assert job.finished_ms is not None
    assert count(database, job_tasks) == 0  # observations are not kept
    assert queue.claim("w") is None


def test_jobs_take_turns_and_priority_goes_first(database: Database) -> None:
    queue = queue_of(database)
    first, second = add(database), add(database)
    urgent = add(database, priority=1)
    order = []
    for _ in range(3):
        task = claimed(queue)
        order.append((task.job.job_id, task.position))
        queue.planned(task, {}, 2, [{}, {}])
        if task.job.job_id == urgent:
            for _ in range(2):
                task = claimed(queue)
                order.append((task.job.job_id, task.position))
                queue.observed(task, b"", 1)
            queue.decided(claimed(queue), [])
    for _ in range(4):
        task = claimed(queue)
        order.append((task.job.job_id, task.position))
        queue.observed(task, b"", 1)
        if task.position == 1:
            queue.decided(claimed(queue), [])
    assert order == [
        (urgent, PLAN),
        (urgent, 0),
        (urgent, 1),
        (first, PLAN),
        (second, PLAN),
        (first, 0),  # a chunk of each in turn
        (second, 0),
        (first, 1),
        (second, 1),
    ]


def test_priority_can_be_changed_while_a_job_waits(database: Database) -> None:
    add(database)
    late = add(database)
    JobStore(database).set_priority(late, 5)
    task = claimed(queue_of(database))
    assert (task.job.job_id, task.job.priority) == (late, 5)


def test_open_jobs_are_limited_by_account(database: Database) -> None:
    ids = [add(database, 2) for _ in range(2)]
    with pytest.raises(JobLimitError) as caught:
        add(database, 2)
    assert (caught.value.open_jobs, caught.value.limit) == (2, 2)
    add(database, 2, account="111111111111")
    JobStore(database).cancel(ids[0])
    add(database, 2)
    with pytest.raises(JobLimitError):
        add(database, 2)


def test_the_limit_holds_under_a_rush(database: Database) -> None:
    outcomes: list[bool] = []
    barrier = threading.Barrier(8)

    def rush() -> None:
        barrier.wait()
        try:
            add(database, 3)
        except JobLimitError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=rush) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == 3
    assert count(database, jobs) == 3


# --- leases -----------------------------------------------------------------------------------------------------------


def test_a_silent_worker_loses_its_task_and_can_no_longer_write(database: Database, wait: Wait) -> None:
    queue = queue_of(database, lease=0.2)
    job_id = add(database)
    plan(queue, chunks=1)
    dead = claimed(queue, "dead")
    assert queue.claim("other") is None
    wait(0.25)
    heir = claimed(queue, "other")
    assert (heir.position, heir.interruptions) == (0, 1)
    for late in (
        lambda: queue.heartbeat(dead, 1),
        lambda: queue.observed(dead, b"late", 1),
        lambda: queue.failed(dead, "late"),
        lambda: queue.again(dead, "late", attempts=3, wait=0),
        lambda: queue.restart(dead),
    ):
        with pytest.raises(LeaseLostError):
            late()
    queue.observed(heir, b"right", 1)
    with pytest.raises(LeaseLostError):
        queue.observed(heir, b"twice", 1)
    task = claimed(queue)
    assert list(queue.observations(task.job)) == [b"right"]
    job = JobStore(database).find(job_id)
    assert job is not None
    assert job.chunks_done == 1


def test_a_heartbeat_keeps_the_task(database: Database, wait: Wait) -> None:
    queue = queue_of(database, lease=0.3)
    add(database)
    task = claimed(queue)
    for _ in range(4):
        wait(0.15)
        queue.heartbeat(task, 1)
        assert queue.claim("other") is None


def test_a_decision_that_lost_its_lease_leaves_no_rows_behind(database: Database, wait: Wait) -> None:
    queue = queue_of(database, lease=0.2)
    job_id = add(database)
    plan(queue, 1)
    queue.observed(claimed(queue), b"", 1)
    dead = claimed(queue)

    def rows() -> Any:
        for n in range(2500):  # more than one transaction
            yield Row({"n": n})
        wait(0.25)
        heir = claimed(queue, "other")
        queue.decided(heir, [Row({"right": True})])
        yield Row({"n": -1})

    with pytest.raises(LeaseLostError):
        queue.decided(dead, rows())
    job = JobStore(database).find(job_id)
    assert job is not None
    assert JobResults(database).page(job, limit=10).items == [{"right": True}]
    assert count(database, job_results) == 1


def test_a_task_is_claimed_once_by_many_workers(database: Database) -> None:
    for _ in range(6):
        add(database)
    queue, found = queue_of(database), []
    barrier = threading.Barrier(8)

    def take(name: str) -> None:
        barrier.wait()
        task = queue.claim(name)
        if task is not None:
            found.append(task.job.job_id)

    threads = [threading.Thread(target=take, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while (task := queue.claim("last")) is not None:  # a claim may find nothing while another has the row
        found.append(task.job.job_id)
    assert len(found) == 6
    assert len(set(found)) == 6


def test_chunks_that_end_at_the_same_time_make_one_decision(database: Database) -> None:
    queue = queue_of(database)
    add(database)
    plan(queue, chunks=6)
    tasks = [claimed(queue) for _ in range(6)]
    barrier = threading.Barrier(6)

    def end(task: Task) -> None:
        barrier.wait()
        queue.observed(task, b"", 1)

    threads = [threading.Thread(target=end, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert claimed(queue).position == DECIDE
    assert queue.claim("w") is None


def test_a_task_that_keeps_ending_its_worker_fails_the_job(database: Database) -> None:
    queue = queue_of(database)
    job_id = add(database)
    for n in range(MOST_INTERRUPTIONS + 1):
        assert claimed(queue, f"w{n}").interruptions == n
        queue.release(f"w{n}")
    assert queue.claim("w") is None
    job = JobStore(database).find(job_id)
    assert job is not None
    assert job.status is Status.FAILED
    assert job.message == "Analysing this video ended its worker 11 times (in plan)."


def test_giving_back_is_no_interruption(database: Database) -> None:
    queue = queue_of(database)
    add(database)
    for _ in range(MOST_INTERRUPTIONS + 5):
        task = claimed(queue)
        assert task.interruptions == 0
        queue.give_back(task)


def test_a_failing_task_is_tried_again_and_then_fails_the_job(database: Database, wait: Wait) -> None:
    queue = queue_of(database)
    job_id = add(database)
    assert queue.again(claimed(queue), "first", attempts=2, wait=0.2)
    assert queue.claim("w") is None  # it waits
    wait(0.25)
    task = claimed(queue)
    assert (task.failures, task.interruptions) == (1, 0)
    assert not queue.again(task, "second", attempts=2, wait=0)
    job = JobStore(database).find(job_id)
    assert job is not None
    assert (job.status, job.message) == (Status.FAILED, "second")


def test_a_restarted_job_begins_with_its_plan(database: Database) -> None:
    queue = queue_of(database)
    add(database)
    plan(queue, 3)
    queue.observed(claimed(queue), b"old", 1)
    queue.restart(claimed(queue))
    plan(queue, 1)
    queue.observed(claimed(queue), b"new", 1)
    assert list(queue.observations(claimed(queue).job)) == [b"new"]


# --- an operator's orders ---------------------------------------------------------------------------------------------


def test_cancel_ends_a_job_and_its_worker_notices(database: Database) -> None:
    store, queue = JobStore(database), queue_of(database)
    job_id = add(database, NotificationChannel={"SNSTopicArn": TOPIC, "RoleArn": "r"})
    plan(queue, 2)
    task = claimed(queue)
    store.cancel(job_id)
    with pytest.raises(LeaseLostError):
        queue.heartbeat(task, 1)
    job = store.find(job_id)
    assert job is not None
    assert (job.status, job.message) == (Status.FAILED, "The job was cancelled.")
    assert [notice.state for notice in Outbox(database).of(job)] == ["open"]
    assert queue.claim("w") is None
    for wrong in (store.cancel, lambda j: store.set_priority(j, 1)):
        with pytest.raises(JobStateError):
            wrong(job_id)
    with pytest.raises(JobStateError):
        store.cancel("f" * 64)


def test_retry_begins_a_failed_job_anew(database: Database) -> None:
    store, queue = JobStore(database), queue_of(database)
    job_id = add(database)
    with pytest.raises(JobStateError):
        store.retry(job_id)
    queue.failed(claimed(queue), "broken")
    store.retry(job_id)
    finish(database, [Row({"n": 1})])
    job = store.find(job_id)
    assert job is not None
    assert (job.status, job.message) == (Status.SUCCEEDED, None)
    with pytest.raises(JobStateError):
        store.retry(job_id)


def test_jobs_are_found_listed_and_matched(database: Database) -> None:
    store = JobStore(database)
    ids = [add(database) for _ in range(3)]
    store.cancel(ids[1])
    assert [job.job_id for job in store.newest()] == ids[::-1]
    assert [job.job_id for job in store.newest(Status.FAILED)] == [ids[1]]
    assert [job.job_id for job in store.newest(limit=1)] == [ids[2]]
    assert [job.job_id for job in store.matching(ids[0][:20], limit=2)] == [ids[0]]
    assert store.find(ids[0], operation="StartFaceDetection", account_id=ACCOUNT, region=REGION)
    assert store.find(ids[0], operation="StartLabelDetection") is None
    assert store.find(ids[0], account_id="111111111111") is None
    assert store.find(ids[0], region="eu-west-1") is None


# --- results and retention --------------------------------------------------------------------------------------------


def test_results_are_paged_in_both_orders_and_views(database: Database) -> None:
    names = ["Bus", "car", "Ärger", "Car"]
    rows = [Row({"n": n, "name": names[n % 4]}, names[n % 4], -float(n)) for n in range(12)]
    rows += [Row({"stretch": name}, name, 0.0, View.AGGREGATED) for name in names]
    job_id = add(database)
    finish(database, rows)
    job = JobStore(database).find(job_id)
    assert job is not None
    results = JobResults(database)

    def walk(**how: Any) -> list[Any]:
        items: list[Any] = []
        start = None
        while True:
            page = results.page(job, start=start, limit=5, **how)
            items += page.items
            if page.following is None:
                return items
            start = page.following

    assert [item["n"] for item in walk()] == list(range(12))
    ordered = walk(by_key=True)
    assert [item["name"] for item in ordered] == ["Bus"] * 3 + ["Car"] * 3 + ["car"] * 3 + ["Ärger"] * 3
    assert [item["n"] for item in ordered] == [8, 4, 0, 11, 7, 3, 9, 5, 1, 10, 6, 2]
    assert [item["stretch"] for item in walk(view=View.AGGREGATED)] == names
    assert [item["stretch"] for item in walk(view=View.AGGREGATED, by_key=True)] == ["Bus", "Car", "car", "Ärger"]
    assert results.page(job, limit=12).following is None
    assert results.page(job, start=12, limit=12).items == []


@pytest.mark.parametrize("by_key", [False, True])
def test_a_walk_goes_on_where_rows_are_erased_meanwhile(database: Database, by_key: bool) -> None:
    job_id = add(database)
    finish(database, [Row({"n": n}, "abc"[n % 3], float(n)) for n in range(9)])
    job = JobStore(database).find(job_id)
    assert job is not None
    results = JobResults(database)
    order = [0, 3, 6, 1, 4, 7, 2, 5, 8] if by_key else list(range(9))

    def erase(*numbers: int) -> None:
        with database.begin() as connection:
            connection.execute(delete(job_results).where(job_results.c.position.in_(numbers)))

    first = results.page(job, limit=4, by_key=by_key)
    erase(order[1], order[6])
    second = results.page(job, start=first.following, limit=4, by_key=by_key)
    assert [item["n"] for item in first.items + second.items] == [*order[:6], order[7], order[8]]
    assert second.following is None
    erase(order[4])
    if by_key:
        with pytest.raises(RowGoneError):
            results.page(job, start=first.following, limit=4, by_key=by_key)
    else:
        assert results.page(job, start=first.following, limit=4).items == [{"n": n} for n in (5, 7, 8)]


def test_expired_jobs_are_purged_with_all_they_left(
    database: Database, monkeypatch: pytest.MonkeyPatch, wait: Wait
) -> None:
    store = JobStore(database)
    monkeypatch.setattr("openrek.jobs.store.PURGE_ROWS", 100)
    add(database, NotificationChannel={"SNSTopicArn": TOPIC, "RoleArn": "r"})
    finish(database, [Row({"n": n}) for n in range(250)] + [Row({}, view=View.AGGREGATED)])
    still_open = add(database)
    assert store.purge(60) == 0
    wait(0.01)
    assert store.purge(0.001) == 1
    assert [count(database, table) for table in (job_results, job_notices)] == [0, 0]
    assert [job.job_id for job in store.newest()] == [still_open]


def test_what_was_purged_is_gone_from_the_file(tmp_path: Path, wait: Wait) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'openrek.db'}")
    add(database)
    queue = queue_of(database)
    plan(queue, 1)
    queue.observed(claimed(queue), b"a face that nobody shall find " * 20, 1)
    queue.decided(claimed(queue), [Row({"secret": "a face that nobody shall find " * 20})])
    wait(0.01)
    JobStore(database).purge(0.001)
    database.close()  # the log is written back and removed with the last connection
    for path in tmp_path.iterdir():
        assert b"a face that nobody" not in path.read_bytes(), path.name


# --- notices ----------------------------------------------------------------------------------------------------------


def test_a_notice_is_taken_by_one_and_settled(database: Database) -> None:
    outbox = Outbox(database)
    add(database, NotificationChannel={"SNSTopicArn": TOPIC, "RoleArn": "r"})
    finish(database, [])
    notice = outbox.claim()
    assert notice is not None
    assert (notice.topic, notice.attempts) == (TOPIC, 1)
    assert outbox.claim() is None
    outbox.sent(notice)
    assert outbox.claim() is None
    assert not count_open(database)


def test_a_notice_that_cannot_go_out_waits_longer_each_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, now = Outbox(database), [1_000_000]
    monkeypatch.setattr("openrek.jobs.notices.now_ms", lambda: now[0])
    add(database, NotificationChannel={"SNSTopicArn": TOPIC, "RoleArn": "r"})
    finish(database, [])
    waits = []
    for attempt in range(1, 12):
        notice = outbox.claim()
        assert notice is not None
        assert notice.attempts == attempt
        assert outbox.failed(notice, "no answer", attempts=11) == (attempt < 11)
        begun = now[0]
        while attempt < 11 and outbox_is_quiet(outbox, database):
            now[0] += 1000
        waits.append((now[0] - begun) // 1000)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 0]
    now[0] += 10_000_000
    assert outbox.claim() is None
    with database.read() as connection:
        assert connection.execute(select(job_notices.c.state, job_notices.c.error)).one() == ("failed", "no answer")


def outbox_is_quiet(outbox: Outbox, database: Database) -> bool:
    import openrek.jobs.notices as module

    with database.read() as connection:
        due = connection.execute(select(job_notices.c.not_before_ms)).scalar_one()
    return bool(due > module.now_ms())


def count_open(database: Database) -> int:
    with database.read() as connection:
        return int(
            connection.execute(
                select(func.count()).select_from(job_notices).where(job_notices.c.state == "open")
            ).scalar_one()
        )


def test_workers_are_seen_while_they_live(database: Database) -> None:
    from openrek.jobs.housekeeping import say_alive, say_goodbye

    store, queue = JobStore(database), queue_of(database)
    job_id = add(database)
    say_alive(database, "w1")
    say_alive(database, "w1")
    say_alive(database, "w2")
    claimed(queue, "w1")
    alive = {worker.worker_id: worker.tasks for worker in store.workers(alive_ms=10_000)}
    assert alive == {"w1": (f"{job_id[:12]}/plan",), "w2": ()}
    say_goodbye(database, "w1")
    assert [worker.worker_id for worker in store.workers(alive_ms=10_000)] == ["w2"]
    assert count(database, job_workers) == 1
