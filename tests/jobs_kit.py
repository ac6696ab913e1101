"""What the tests of jobs share: tiny clips, an analysis that counts, workers in this process and others."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from openrek.jobs import Job, JobFailedError, JobStore, NewJob, Row, View
from openrek.jobs.worker import Worker
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.objects import FolderStore
from openrek.vision.video import Frame, VideoInfo

ACCOUNT, REGION = "000000000000", "us-east-1"
OPERATION = "StartSegmentDetection"


def make_clip(
    path: Path,
    frames: int = 60,
    *,
    rate: int = 25,
    size: tuple[int, int] = (96, 64),
    gop: int = 10,
    codec: str = "libx264",
) -> Path:
    """A clip with a key frame every `gop` frames, whose frames all differ; each tenth of it is another scene."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.options = {
                "preset": "ultrafast",
                "crf": "30",
                "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0",
            }
        for number in range(frames):
            pixels = np.full((height, width, 3), (number * 10 // frames) * 25, np.uint8)
            pixels[:8, : 4 * (number % 24) + 4] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@dataclass(slots=True)
class Brightness:
    """Observes each frame's mean luma and how it differs from the frame before; decides with a running hash."""

    name: str = "brightness"
    version: int = 1
    step: Fraction | None = None
    lead: int = 1
    hears: bool = False
    slow: float = 0.0
    last: float | None = None

    def begin(self, info: VideoInfo) -> None:
        self.last = None

    def observe(self, frame: Frame) -> tuple[float, float]:
        if self.slow:
            import time

            time.sleep(self.slow)
        mean = float(frame.luma(8, 8).mean())
        change = 0.0 if self.last is None else mean - self.last
        self.last = mean
        return mean, change

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, tuple[float, float]]]) -> Iterator[Row]:
        digest = hashlib.sha256()
        for frame, (mean, change) in observations:
            digest.update(f"{frame} {mean} {change}".encode())
            item = {"Frame": frame, "Mean": mean, "Change": change, "Digest": digest.hexdigest()[:16]}
            yield Row(item, sort_text=f"{int(mean) // 25:03}", sort_number=-mean)
            if frame % 10 == 0:
                yield Row(item, view=View.AGGREGATED)


class Counting:
    """The analysis of one operation for tests. `fails`: how it fails, if it does."""

    def __init__(self, *, slow: float = 0.0, fails: Exception | None = None, times: int = 10**9) -> None:
        self.slow = slow
        self.fails = fails
        self.times = times

    def analysers(self, job: Job) -> list[Brightness]:
        if self.fails is not None and self.times > 0:
            self.times -= 1
            raise self.fails
        return [Brightness(slow=self.slow)]

    def rows(self, job: Job, info: VideoInfo, decisions: Mapping[str, Any]) -> Iterable[Row]:
        rows: Iterable[Row] = decisions["brightness"]
        return rows


@dataclass(slots=True)
class House:
    """A home with a bucket, a database, and settings that make small clips long."""

    settings: Settings
    database: Database
    objects: FolderStore

    @classmethod
    def build(cls, home: Path, *, database_url: str | None = None, **settings: Any) -> "House":
        given = {"chunk_seconds": 0.5, "job_lease": 2.0, "job_retry_wait": 0.0} | settings
        made = Settings(home=home, cache=home / "cache", database_url=database_url, **given)
        objects = FolderStore(made.home / "buckets")
        objects.create_bucket("videos")
        return cls(made, Database.open(made.database_address), objects)

    def submit(
        self, key: str = "clip.mp4", *, operation: str = OPERATION, limit: int | None = None, **parameters: Any
    ) -> str:
        request = {"Video": {"S3Object": {"Bucket": "videos", "Name": key}}} | parameters
        with self.database.begin() as connection:
            return JobStore(self.database).create(connection, NewJob(operation, ACCOUNT, REGION, request), limit=limit)

    def worker(self, analysis: Any = None, **settings: Any) -> Worker:
        analyses = {OPERATION: analysis or Counting()}
        return Worker(self.database, self.objects, analyses, self.settings.model_copy(update=settings))

    def work(self, worker: Worker | None = None, steps: int = 1000) -> int:
        """Do what is to be done, in this thread; how many tasks."""
        worker = worker or self.worker()
        done = 0
        while done < steps and worker.work_once():
            done += 1
        worker.close()
        return done


__all__ = ["ACCOUNT", "OPERATION", "REGION", "Brightness", "Counting", "House", "JobFailedError", "make_clip"]
