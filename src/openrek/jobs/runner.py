"""One task of a job, done: the video planned, a chunk observed, or the result decided."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from openrek.jobs.errors import JobFailedError
from openrek.jobs.records import DECIDE, PLAN, Job, Row, Task
from openrek.jobs.sources import VideoSources
from openrek.jobs.tasks import TaskQueue
from openrek.settings import Settings

if TYPE_CHECKING:
    from openrek.vision.video import VideoInfo
    from openrek.vision.video.analysis import Analyser

Tick = Callable[[int], None]
"""Told how many frames of the task are done; raises where the task is to be dropped."""

OPEN_VIDEOS: Final = 4
"""Videos a worker keeps open: its next task is often of one of them, and opening a long one reads its whole index."""


class JobAnalysis(Protocol):
    """What one Start operation looks for, told by the floor above."""

    def analysers(self, job: Job) -> "Sequence[Analyser]":
        """New analysers for a job, with names of their own.

        Raises JobFailedError where what its request needs is no longer there.
        """
        ...

    def rows(self, job: Job, info: "VideoInfo", decisions: Mapping[str, Any]) -> Iterable[Row]:
        """The result rows, in order, from each analyser's decision by its name."""
        ...


class TaskRunner:
    """Does tasks, one at a time. Not thread-safe."""

    def __init__(
        self, queue: TaskQueue, sources: VideoSources, analyses: Mapping[str, JobAnalysis], settings: Settings
    ) -> None:
        """analyses: by the name of the Start operation."""
        self._queue = queue
        self._sources = sources
        self._analyses = analyses
        self._settings = settings
        self._videos: dict[tuple[str, str], _OpenVideo] = {}

    def run(self, task: Task, tick: Tick) -> None:
        """Do a task and record what came of it.

        Raises JobFailedError and VideoError where the job cannot succeed, LeaseLostError, and whatever else goes wrong.
        """
        do = {PLAN: self._plan, DECIDE: self._decide}.get(task.position, self._observe)
        try:
            do(task, tick)
        except Exception:
            self._close(task.job)  # it may not be tried again, or not here
            raise

    def keep(self, job_ids: Collection[str]) -> None:
        """Close the videos of all jobs but these: what is open keeps its place on the disk."""
        for key in [key for key in self._videos if key[0] not in job_ids]:
            self._videos.pop(key).close()

    def close(self) -> None:
        """Close the videos that are still open."""
        while self._videos:
            self._videos.popitem()[1].close()

    # --- the three kinds --------------------------------------------------------------------------------------------

    def _plan(self, task: Task, tick: Tick) -> None:
        from openrek.vision.video import check_profile

        bucket, key, version = _object(task.job)
        analysers = self._analysis(task.job).analysers(task.job)
        found = self._sources.info(bucket, key, version)
        video = self._video(task.job, found.etag, tick)
        info = video.reader.info
        check_profile(info, aws=not self._settings.relaxed)
        longest = self._settings.video_second_limit
        if info.duration_ms > longest * 1000:
            raise JobFailedError(
                f"Video length in seconds: {info.duration_ms / 1000:g} is more than the maximum limit of: {longest:g} "
                "seconds (OPENREK_MAX_VIDEO_SECONDS)."
            )
        chunks = [
            {"start": chunk.start, "stop": chunk.stop} for chunk in video.reader.chunks(self._settings.chunk_seconds)
        ]
        plan = {
            "etag": found.etag,
            "analysers": _versions(analysers),
            "video": describe(info),
            "skipped": video.reader.unnumbered,
        }
        self._queue.planned(task, plan, info.frames, chunks)

    def _observe(self, task: Task, tick: Tick) -> None:
        from openrek.vision.video.analysis import observe_packed

        analysers = self._analysers(task)
        if analysers is None:
            return
        start, stop = task.arguments["start"], task.arguments["stop"]
        video = self._video(task.job, task.job.plan["etag"], tick)
        seen = observe_packed(video.reader, analysers, start, stop, progress=lambda frame: tick(frame - start + 1))
        self._queue.observed(task, join(seen), stop - start, skipped=video.reader.corrupt_in(start, stop))

    def _decide(self, task: Task, tick: Tick) -> None:
        from openrek.vision.video.analysis import Observations
        from openrek.vision.video.packing import unpack

        analysers = self._analysers(task)
        if analysers is None:
            return
        reader = self._video(task.job, task.job.plan["etag"], tick).reader
        info = reader.info_with_loudness() if any(one.hears for one in analysers) else reader.info

        def observed(name: str) -> Iterator[tuple[int, Any]]:
            for blob in self._queue.observations(task.job):
                for row in unpack(part(blob, name)):
                    tick(0)
                    yield row

        def ticking(rows: Iterable[Row]) -> Iterator[Row]:
            for row in rows:
                tick(0)
                yield row

        decisions = {one.name: one.decide(info, Observations(partial(observed, one.name))) for one in analysers}
        rows = self._analysis(task.job).rows(task.job, info, decisions)
        self._queue.decided(task, ticking(rows))
        self._close(task.job)

    # --- what they need ---------------------------------------------------------------------------------------------

    def _analysis(self, job: Job) -> JobAnalysis:
        found = self._analyses.get(job.operation)
        if found is None:
            raise JobFailedError(f"This version of openrek does not perform {job.operation}.")
        return found

    def _analysers(self, task: Task) -> "Sequence[Analyser] | None":
        """The job's analysers; None where its observations were made by others, and it has to begin anew."""
        analysers = self._analysis(task.job).analysers(task.job)
        if _versions(analysers) == task.job.plan["analysers"]:
            return analysers
        self._queue.restart(task)
        return None

    def _video(self, job: Job, etag: str, tick: Tick) -> "_OpenVideo":
        key = (job.job_id, etag)
        video = self._videos.pop(key, None)
        if video is None:
            while len(self._videos) >= OPEN_VIDEOS:
                self._videos.pop(next(iter(self._videos))).close()
            video = _OpenVideo(self._sources, job, etag, tick)
        self._videos[key] = video  # the last one used is the last one closed
        return video

    def _close(self, job: Job) -> None:
        for key in [key for key in self._videos if key[0] == job.job_id]:
            self._videos.pop(key).close()


class _OpenVideo:
    """A reader and the file below it."""

    def __init__(self, sources: VideoSources, job: Job, etag: str, tick: Tick) -> None:
        from openrek.vision.video import VideoReader

        with ExitStack() as opening:
            file = opening.enter_context(sources.open(*_object(job), etag, lambda: tick(0)))
            # a video that is long or slow to read still moves
            self.reader = opening.enter_context(VideoReader.open(file, progress=lambda: tick(0)))
            self._closing = opening.pop_all()

    def close(self) -> None:
        self._closing.close()


def describe(info: "VideoInfo") -> dict[str, Any]:
    """What every page of a result says of the video, as JSON can hold it."""
    return {
        "codec": info.codec,
        "format": info.format,
        "duration_ms": info.duration_ms,
        "rate": float(info.rate),
        "width": info.width,
        "height": info.height,
        "color_range": info.color_range,
        "audio": [
            {
                "codec": stream.codec,
                "duration_ms": stream.duration_ms,
                "sample_rate": stream.sample_rate,
                "channels": stream.channels,
            }
            for stream in info.audio
        ],
    }


def join(parts: Mapping[str, bytes]) -> bytes:
    """Several named byte strings as one: a line of JSON with names and lengths, then the strings."""
    index = [[name, len(content)] for name, content in parts.items()]
    return orjson.dumps(index) + b"\n" + b"".join(parts.values())


def part(joined: bytes, name: str) -> bytes:
    """One of the byte strings that `join` put together."""
    head, _, _ = joined.partition(b"\n")
    place = len(head) + 1
    for each, length in orjson.loads(head):
        if each == name:
            return joined[place : place + length]
        place += length
    raise JobFailedError(f"A chunk has no observations of {name}.")


def _versions(analysers: "Sequence[Analyser]") -> dict[str, int]:
    return {one.name: one.version for one in analysers}


def _object(job: Job) -> tuple[str, str, str | None]:
    s3_object = job.video["S3Object"]
    return s3_object["Bucket"], s3_object["Name"], s3_object.get("Version")
