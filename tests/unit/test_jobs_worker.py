"""Workers on real clips: chunks, failures, cancelling, stopping, videos that are gone or changed."""

import errno
import io
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from openrek.jobs import Job, JobFailedError, JobResults, JobStore, LeaseLostError, Row, Status, View
from openrek.jobs.records import PLAN, OpenVideo
from openrek.jobs.runner import TaskRunner, join, part
from openrek.jobs.sources import SPARE_BYTES, VideoSources
from openrek.jobs.tasks import TaskQueue
from openrek.store.objects import FolderStore, ObjectInfo, ObjectStoreError
from openrek.store.schema import job_results
from openrek.vision.video import VideoReader
from tests.jobs_kit import OPERATION, Brightness, Counting, House, make_clip
from tests.video_kit import encode, numbered

pytest.importorskip("av", reason="reading video needs PyAV")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 60)


@pytest.fixture
def house(tmp_path: Path, clip: Path) -> Iterator[House]:
    built = House.build(tmp_path)
    built.objects.put("videos", "clip.mp4", clip)
    yield built
    built.database.close()


def job(house: House, job_id: str) -> Job:
    found = JobStore(house.database).find(job_id)
    assert found is not None
    return found


def stored(house: House, job_id: str) -> list[tuple[Any, ...]]:
    """Every byte of a result."""
    table = job_results
    with house.database.read() as connection:
        rows = connection.execute(
            select(table.c.view, table.c.position, table.c.sort_text, table.c.sort_number, table.c.item)
            .where(table.c.job_number == job(house, job_id).number)
            .order_by(table.c.view, table.c.position)
        )
        return [tuple(row) for row in rows]


def test_a_job_succeeds_with_every_frame_once(house: House) -> None:
    job_id = house.submit()
    assert house.work() == 5  # plan, three chunks, decision
    done = job(house, job_id)
    assert (done.status, done.message, done.chunks) == (Status.SUCCEEDED, None, 3)
    assert done.plan["video"] == {
        "codec": "h264",
        "format": "QuickTime / MOV",
        "duration_ms": 2400,
        "rate": 25.0,
        "width": 96,
        "height": 64,
        "color_range": "LIMITED",
        "audio": [],
    }
    page = JobResults(house.database).page(done, limit=1000)
    assert [item["Frame"] for item in page.items] == list(range(60))
    view = JobResults(house.database).page(done, limit=1000, view=View.AGGREGATED)
    assert [item["Frame"] for item in view.items] == list(range(0, 60, 10))


@pytest.mark.parametrize("seconds", [0.01, 0.4, 1.3, 1000.0])
def test_any_chunking_gives_the_same_bytes(house: House, seconds: float) -> None:
    first = house.submit()
    house.work()
    second = house.submit()
    house.work(house.worker(chunk_seconds=seconds))
    assert job(house, second).chunks == {0.01: 6, 0.4: 6, 1.3: 2, 1000.0: 1}[seconds]
    assert stored(house, second) == stored(house, first)
    assert len(stored(house, first)) == 66


def test_two_workers_share_a_job_and_give_the_same_bytes(house: House) -> None:
    first = house.submit()
    house.work()
    second = house.submit()
    workers = [house.worker(Counting(slow=0.005), chunk_seconds=0.01) for _ in range(2)]
    counts = [0, 0]

    def run(n: int) -> None:
        while job(house, second).status is Status.IN_PROGRESS:
            counts[n] += workers[n].work_once()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.close()
    assert min(counts) >= 1
    assert sum(counts) == 8
    assert stored(house, second) == stored(house, first)


def test_damage_is_added_up_over_the_chunks(house: House, clip: Path) -> None:
    damaged = bytearray(clip.read_bytes())
    begin, end = damaged.index(b"mdat") + 8, damaged.index(b"moov")
    for place in range(begin + (end - begin) // 3, begin + (end - begin) // 2, 3):
        damaged[place] ^= 0x5A
    house.objects.put("videos", "damaged.mp4", bytes(damaged))
    with VideoReader.open(io.BytesIO(damaged)) as reader:
        lost = 60 - len(list(reader.frames()))
    job_id = house.submit("damaged.mp4")
    house.work()
    done = job(house, job_id)
    assert done.chunks == 3
    assert done.skipped == lost > 0


def test_planning_and_deciding_move_while_the_file_is_read(house: House) -> None:
    job_id = house.submit()
    queue = TaskQueue(house.database, 30.0)
    sources = VideoSources(house.objects, house.settings.video_folder, limit=house.settings.video_byte_limit)
    runner = TaskRunner(queue, sources, {OPERATION: Counting()}, house.settings)
    task = queue.claim("w")
    assert task is not None
    ticks: list[int] = []
    runner.run(task, ticks.append)
    runner.close()
    assert job(house, job_id).chunks == 3
    assert len(ticks) >= 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The video cannot be analysed: the file is empty."),
        (b"\0" * 44, "The video cannot be analysed: the file is no video"),
        (b"GIF89a" + b"\0" * 100, "The video cannot be analysed: "),
    ],
)
def test_what_is_no_video_fails_with_a_reason(house: House, content: bytes, message: str) -> None:
    house.objects.put("videos", "broken.mp4", content)
    job_id = house.submit("broken.mp4")
    assert house.work() == 1  # not tried again
    failed = job(house, job_id)
    assert failed.status is Status.FAILED
    assert failed.message is not None
    assert failed.message.startswith(message)


def test_a_codec_outside_the_profile_fails_and_passes_relaxed(house: House, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.webm", 10, codec="libvpx-vp9")
    house.objects.put("videos", "clip.webm", path)
    job_id = house.submit("clip.webm")
    house.work()
    assert job(house, job_id).status is Status.FAILED
    assert "MP4 and MOV are supported" in (job(house, job_id).message or "")
    from openrek.settings import Profile

    other = house.submit("clip.webm")
    house.work(house.worker(profile=Profile.RELAXED))
    assert job(house, other).status is Status.SUCCEEDED


def test_a_truncated_video_is_read_as_far_as_it_goes(house: House, clip: Path) -> None:
    """Its index lies at the end: nothing can be read."""
    house.objects.put("videos", "half.mp4", clip.read_bytes()[: clip.stat().st_size // 2])
    job_id = house.submit("half.mp4")
    house.work()
    assert job(house, job_id).status is Status.FAILED


def test_limits_of_the_job(house: House) -> None:
    too_long, too_large = house.submit(), house.submit()
    house.work(house.worker(max_video_seconds=1.0), steps=1)
    message = "Video length in seconds: 2.4 is more than the maximum limit of: 1 seconds (OPENREK_MAX_VIDEO_SECONDS)."
    assert job(house, too_long).message == message
    house.work(house.worker(max_video_bytes=10), steps=1)
    assert (job(house, too_large).message or "").startswith("Video size in bytes: ")


@pytest.mark.parametrize(("longest", "status"), [(None, Status.FAILED), (12 * 3600.0, Status.SUCCEEDED)])
def test_the_setting_alone_says_how_long_a_video_may_be(house: House, longest: float | None, status: Status) -> None:
    times = [0, 40, 7 * 3_600_000]
    video = encode((numbered(n) for n in range(3)), times=times, time_base=Fraction(1, 1000), options={"bf": "0"})
    house.objects.put("videos", "long.mp4", video)
    job_id = house.submit("long.mp4")
    house.work(house.worker(max_video_seconds=longest))
    done = job(house, job_id)
    assert (done.status, "21600 seconds" in (done.message or "")) == (status, longest is None)


def test_a_video_that_is_gone_fails_the_job(house: House) -> None:
    job_id = house.submit()
    house.objects.delete("videos", "clip.mp4")
    house.work()
    failed = job(house, job_id)
    assert (failed.status, (failed.message or "")[:28]) == (Status.FAILED, "The video could not be read:")


def test_a_video_that_is_replaced_meanwhile_fails_the_job(house: House, tmp_path: Path) -> None:
    job_id = house.submit()
    house.work(steps=2)
    house.objects.put("videos", "clip.mp4", make_clip(tmp_path / "other.mp4", 60, rate=30))
    house.work(house.worker())
    failed = job(house, job_id)
    assert failed.status is Status.FAILED
    assert "replaced" in (failed.message or "")


def test_a_passing_failure_is_tried_again(house: House) -> None:
    job_id = house.submit()
    house.work(house.worker(Counting(fails=OSError(errno.EIO, "the cable was out"), times=2)))
    assert job(house, job_id).status is Status.SUCCEEDED


def test_a_lasting_failure_fails_the_job_with_its_reason(house: House) -> None:
    job_id = house.submit()
    assert house.work(house.worker(Counting(fails=OSError(errno.ENOSPC, "the disk is full")))) == 3
    failed = job(house, job_id)
    assert failed.status is Status.FAILED
    assert failed.message == "Analysing the video failed in plan: [Errno 28] the disk is full"


def test_a_programming_error_fails_the_job_too(house: House, caplog: pytest.LogCaptureFixture) -> None:
    job_id = house.submit()
    house.work(house.worker(Counting(fails=ZeroDivisionError("division by zero"))))
    assert job(house, job_id).message == "Analysing the video failed in plan: ZeroDivisionError: division by zero"
    assert "Traceback" in caplog.text


def test_what_the_request_needs_may_be_gone(house: House) -> None:
    job_id = house.submit()
    assert house.work(house.worker(Counting(fails=JobFailedError("The collection is gone.")))) == 1
    assert job(house, job_id).message == "The collection is gone."


def test_an_operation_that_this_version_lacks(house: House) -> None:
    job_id = house.submit(operation="StartLabelDetection")
    house.work()
    assert job(house, job_id).message == "This version of openrek does not perform StartLabelDetection."


def test_observations_of_another_version_are_made_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = house.submit()
    house.work(steps=3)
    assert job(house, job_id).chunks_done == 2

    class Newer(Counting):
        def analysers(self, job: Job) -> list[Brightness]:
            return [Brightness(version=2)]

    house.work(house.worker(Newer()))
    done = job(house, job_id)
    assert (done.status, done.plan["analysers"]) == (Status.SUCCEEDED, {"brightness": 2})


def running(house: House, worker: Any) -> threading.Thread:
    thread = threading.Thread(target=worker.run)
    thread.start()
    return thread


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def test_a_cancelled_job_is_dropped_in_the_middle_of_a_chunk(house: House) -> None:
    worker = house.worker(Counting(slow=0.2), job_lease=1.0, chunk_seconds=1000)
    job_id = house.submit()
    thread = running(house, worker)
    try:
        until(lambda: job(house, job_id).chunks == 1)
        JobStore(house.database).cancel(job_id)
        began = time.monotonic()
        other = house.submit()
        until(lambda: job(house, other).started_ms is not None)
        assert time.monotonic() - began < 8  # the whole chunk takes twelve seconds
    finally:
        worker.stop()
        thread.join()
    assert job(house, job_id).message == "The job was cancelled."
    assert stored(house, job_id) == []


def test_a_stopping_worker_gives_its_task_back(house: House) -> None:
    worker = house.worker(Counting(slow=0.2), chunk_seconds=1000, job_lease=30.0)
    job_id = house.submit()
    thread = running(house, worker)
    until(lambda: job(house, job_id).chunks == 1)
    time.sleep(0.1)
    worker.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    task = TaskQueue(house.database, 30.0).claim("other")  # at once, although the lease is long
    assert task is not None
    assert (task.position, task.interruptions) == (0, 0)
    assert JobStore(house.database).workers(alive_ms=60_000) == []


def test_progress_is_seen_while_a_chunk_is_at_work(house: House) -> None:
    worker = house.worker(Counting(slow=0.06), chunk_seconds=1000, job_lease=0.6)
    job_id = house.submit()
    thread = running(house, worker)
    try:
        until(lambda: 0.1 < job(house, job_id).share < 0.9)
        until(lambda: job(house, job_id).status is Status.SUCCEEDED)
    finally:
        worker.stop()
        thread.join()


def test_expired_results_are_purged_by_workers(house: House) -> None:
    job_id = house.submit()
    worker = house.worker(job_retention=2.5)
    thread = running(house, worker)
    try:
        until(lambda: job(house, job_id).status is Status.SUCCEEDED)
        until(lambda: JobStore(house.database).find(job_id) is None)
    finally:
        worker.stop()
        thread.join()


# --- sources ----------------------------------------------------------------------------------------------------------


class Remote(FolderStore):
    """A bucket that is not on this machine: read once from front to back."""

    local = False
    reads = 0

    def open(self, bucket: str, key: str, version: str | None = None) -> Any:
        self.reads += 1
        return super().open(bucket, key, version)


def remote(house: House, tmp_path: Path) -> tuple[Remote, VideoSources, ObjectInfo]:
    store = Remote(house.settings.home / "buckets")
    return store, VideoSources(store, tmp_path / "copies", limit=10**9), store.head("videos", "clip.mp4")


def test_a_remote_video_is_copied_once_and_forgotten(house: House, tmp_path: Path, clip: Path) -> None:
    store, sources, info = remote(house, tmp_path)
    for _ in range(2):
        with sources.open("videos", "clip.mp4", None, info.etag, lambda: None) as file:
            assert file.read() == clip.read_bytes()
            file.seek(0)
    assert store.reads == 1
    needs = OpenVideo("j", "videos", "clip.mp4", None, info.etag)
    for wanted in (needs, replace(needs, etag=None)):  # the second one is not planned yet
        sources.tidy([wanted])
        assert len(copies(tmp_path / "copies")) == 1
    sources.tidy([replace(needs, etag="another"), replace(needs, key="another")])
    assert copies(tmp_path / "copies") == []


def copies(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


def test_a_job_on_a_remote_video(house: House) -> None:
    house.objects = Remote(house.settings.home / "buckets")
    job_id = house.submit()
    house.work()
    assert job(house, job_id).status is Status.SUCCEEDED
    assert copies(house.settings.video_folder) == []


def test_jobs_on_one_remote_video_share_its_copy(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrek.jobs.runner.OPEN_VIDEOS", 1)
    house.objects = store = Remote(house.settings.home / "buckets")
    ids = [house.submit() for _ in range(3)]
    house.work()
    assert [job(house, one).status for one in ids] == [Status.SUCCEEDED] * 3
    assert store.reads == 1
    assert copies(house.settings.video_folder) == []


def test_a_failed_job_leaves_no_copy(house: House, tmp_path: Path) -> None:
    make_clip(tmp_path / "other.mp4", 20, codec="mpeg4")
    house.objects.put("videos", "other.mp4", tmp_path / "other.mp4")
    house.objects = store = Remote(house.settings.home / "buckets")
    job_id = house.submit("other.mp4")
    house.work()
    assert "mpeg4" in (job(house, job_id).message or "")
    assert store.reads == 1
    assert copies(house.settings.video_folder) == []


def test_a_cancelled_job_leaves_no_copy(house: House) -> None:
    house.objects = Remote(house.settings.home / "buckets")
    store, worker = JobStore(house.database), house.worker()
    one, other = house.submit(), house.submit()
    assert worker.work_once()
    assert worker.work_once()
    store.cancel(one)
    worker._sources.sweep(store.open_videos())  # as workers do once a minute
    assert len(copies(house.settings.video_folder)) == 1
    store.cancel(other)
    worker._sources.sweep(store.open_videos())
    assert copies(house.settings.video_folder) == []
    worker.close()


def test_a_job_whose_store_fails_for_a_moment_is_tried_again(house: House) -> None:
    class Flickering(Remote):
        failures = 0

        def head(self, bucket: str, key: str, version: str | None = None) -> ObjectInfo:
            self.failures += 1
            if self.failures < 3:
                raise ObjectStoreError("S3 does not answer")
            return super().head(bucket, key, version)

    house.objects = Flickering(house.settings.home / "buckets")
    job_id = house.submit()
    house.work()
    assert job(house, job_id).status is Status.SUCCEEDED


def test_a_full_disk_is_said_before_it_is_full(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, sources, info = remote(house, tmp_path)

    class Full:
        f_bavail, f_frsize = SPARE_BYTES // 4096, 4096

    monkeypatch.setattr("os.statvfs", lambda path: Full)
    with (
        pytest.raises(OSError, match="must stay free"),
        sources.open("videos", "clip.mp4", None, info.etag, lambda: None),
    ):
        pass
    assert not [path for path in (tmp_path / "copies").iterdir() if path.suffix == ".part"]


def test_a_broken_download_leaves_nothing(house: House, tmp_path: Path) -> None:
    _, sources, info = remote(house, tmp_path)

    def tick() -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError), sources.open("videos", "clip.mp4", None, info.etag, tick):
        pass
    assert [path.suffix for path in (tmp_path / "copies").iterdir()] == [".lock"]


def test_idle_copies_are_swept(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, sources, info = remote(house, tmp_path)
    with sources.open("videos", "clip.mp4", None, info.etag, lambda: None):
        pass
    _, others, _ = remote(house, tmp_path)  # of a worker that did not open it
    others.sweep([])
    assert len(list((tmp_path / "copies").iterdir())) == 2
    monkeypatch.setattr("openrek.jobs.sources.IDLE_SECONDS", -1.0)
    others.sweep([OpenVideo("j", "videos", "clip.mp4", None, info.etag)])
    assert len(copies(tmp_path / "copies")) == 1
    others.sweep([])
    assert list((tmp_path / "copies").iterdir()) == []


def test_what_a_cancelled_decision_wrote_goes_with_the_job(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrek.jobs.tasks.ROWS_AT_ONCE", 3)
    job_id = house.submit()
    store, queue = JobStore(house.database), TaskQueue(house.database, 30.0)
    house.work(steps=4)
    task = queue.claim("w")
    assert task is not None

    def rows() -> Iterator[Row]:
        for n in range(9):
            if n == 6:
                assert len(stored(house, job_id)) == 6
                store.cancel(job_id)
            yield Row({"n": n})

    with pytest.raises(LeaseLostError):
        queue.decided(task, rows())
    assert stored(house, job_id) == []


def test_blobs_are_joined_and_parted() -> None:
    joined = join({"a": b"one\n", "b": b"", "c": b"\x00three"})
    assert [part(joined, name) for name in "abc"] == [b"one\n", b"", b"\x00three"]
    with pytest.raises(JobFailedError):
        part(joined, "d")


def test_the_plan_is_not_repeated_after_it_was_kept(house: House) -> None:
    house.submit()
    queue = TaskQueue(house.database, 30.0)
    house.work(steps=1)
    task = queue.claim("w")
    assert task is not None
    assert task.position != PLAN
