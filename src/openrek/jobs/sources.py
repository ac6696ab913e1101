"""The file of a job's video on this machine: a bucket's own file, or a copy from S3 in the cache."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from filelock import FileLock, Timeout

from openrek.jobs.errors import JobFailedError
from openrek.jobs.records import OpenVideo
from openrek.store.objects import ObjectInfo, ObjectNotFoundError, ObjectStore

SPARE_BYTES: Final = 256 * 1024 * 1024
"""What a download leaves free on the disk."""

BLOCK: Final = 1024 * 1024

IDLE_SECONDS: Final = 3600.0
"""A copy that nobody opened for this long is removed."""


Copy = tuple[str, str, str | None, str]
"""Bucket, key, version and etag of an object that was copied."""


class VideoSources:
    """Opens the objects of jobs as files that can seek. Safe to use from several threads."""

    def __init__(self, objects: ObjectStore, folder: Path, *, limit: int) -> None:
        """folder: for copies; limit: the largest video in bytes."""
        self._objects = objects
        self._folder = folder
        self._limit = limit
        self._copies: set[Copy] = set()

    def info(self, bucket: str, key: str, version: str | None) -> ObjectInfo:
        """What is known of an object. Raises JobFailedError where it is gone, ObjectStoreError."""
        try:
            found = self._objects.head(bucket, key, version)
        except ObjectNotFoundError as error:
            raise JobFailedError(f"The video could not be read: {error}") from error
        if found.size > self._limit:
            raise JobFailedError(
                f"Video size in bytes: {found.size} is more than the maximum limit of: {self._limit} bytes."
            )
        return found

    @contextmanager
    def open(
        self, bucket: str, key: str, version: str | None, etag: str, tick: Callable[[], None]
    ) -> Iterator[BinaryIO]:
        """The content that has this etag; `tick` is called while a copy is made.

        Raises JobFailedError where the object is gone or has changed, ObjectStoreError and OSError (a full disk).
        """
        if self._objects.local:
            with self._opened(bucket, key, version, etag) as (_, file):
                yield file
        else:
            with self._copy(bucket, key, version, etag, tick) as file:
                yield file

    def tidy(self, wanted: Iterable[OpenVideo]) -> None:
        """Remove the copies that were opened here and that no open job needs. wanted: what open jobs look at."""
        objects = {(video.bucket, video.key, video.version, video.etag) for video in wanted}
        for copy in list(self._copies):
            *named, _ = copy
            if copy not in objects and (*named, None) not in objects:  # a job that is not planned yet may need it
                self._forget(copy)

    def sweep(self, wanted: Iterable[OpenVideo]) -> None:
        """`tidy`, and remove what nobody opened for long: copies of workers that died, or of jobs that ended elsewhere.

        Call with what open jobs look at: a copy is not opened anew for every chunk of a long video.
        """
        wanted = list(wanted)
        self.tidy(wanted)
        needed = {
            self._place(video.bucket, video.key, video.version, video.etag).name
            for video in wanted
            if video.etag is not None
        }
        oldest = time.time() - IDLE_SECONDS
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    if path.name.partition(".")[0] not in needed and path.stat().st_mtime < oldest:
                        path.unlink()

    def _forget(self, copy: Copy) -> None:
        place = self._place(*copy)
        with suppress(OSError, Timeout), FileLock(f"{place}.lock", timeout=0):  # held by who is just opening it
            place.unlink(missing_ok=True)
            self._copies.discard(copy)

    def _place(self, bucket: str, key: str, version: str | None, etag: str) -> Path:
        name = "\0".join((bucket, key, version or "", etag))
        return self._folder / hashlib.sha256(name.encode()).hexdigest()

    @contextmanager
    def _opened(self, bucket: str, key: str, version: str | None, etag: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        try:
            opened = self._objects.open(bucket, key, version)
            info, file = opened.__enter__()
        except ObjectNotFoundError as error:
            raise JobFailedError(f"The video could not be read: {error}") from error
        with ExitStack() as closing:
            closing.push(opened)
            if info.etag != etag:
                raise JobFailedError("The video was replaced by another object while it was being analysed.")
            yield info, file

    def _copy(self, bucket: str, key: str, version: str | None, etag: str, tick: Callable[[], None]) -> BinaryIO:
        """The copy, opened; made where there is none."""
        place = self._place(bucket, key, version, etag)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):  # the workers of a machine share one copy
            self._copies.add((bucket, key, version, etag))
            if place.exists():
                with suppress(OSError):
                    os.utime(place)
                return place.open("rb")
            part = place.with_name(f"{place.name}.{os.getpid()}.part")
            try:
                with self._opened(bucket, key, version, etag) as (info, stream), part.open("wb") as file:
                    self._room_for(info.size)
                    while block := stream.read(BLOCK):
                        file.write(block)
                        tick()
                part.replace(place)
            finally:
                part.unlink(missing_ok=True)
            return place.open("rb")

    def _room_for(self, size: int) -> None:
        stats = os.statvfs(self._folder)
        free = stats.f_bavail * stats.f_frsize
        if free < size + SPARE_BYTES:
            raise OSError(
                errno.ENOSPC,
                f"the disk of {self._folder} has {free:,} bytes free; the video has {size:,}, and "
                f"{SPARE_BYTES:,} must stay free",
            )
