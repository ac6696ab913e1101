"""What an object store is."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from openrek.store.errors import StoreError


class ObjectStoreError(StoreError):
    """The object store failed: not reachable, no credentials, a disk error."""


class ObjectNotFoundError(ObjectStoreError):
    """There is no such bucket, key or version, or this server may not read it (S3 does not always tell them apart)."""


class ObjectTooLargeError(ObjectStoreError):
    """The object is larger than the caller's limit."""

    def __init__(self, bucket: str, key: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"the object {key!r} of bucket {bucket!r} has {size} bytes; the limit is {limit}")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object without its content. `size` in bytes; `etag` is opaque and changes with the content; `version` is None
    in a bucket without versioning; `last_modified` is in UTC."""

    size: int
    etag: str
    version: str | None
    last_modified: datetime


class ObjectStore(Protocol):
    """Reads objects. Safe to use from many threads.

    A version names one content of a key; in a bucket that never had versioning the only one is `null`, as in S3.
    `local`: whether an opened object is a file of this machine, which can seek and costs nothing to read twice.
    """

    local: bool

    def head(self, bucket: str, key: str, version: str | None = None) -> ObjectInfo:
        """What is known of an object. Raises ObjectNotFoundError, ObjectStoreError."""
        ...

    def read(self, bucket: str, key: str, version: str | None = None, *, limit: int) -> bytes:
        """The content, of `limit` bytes at most. Raises ObjectNotFoundError, ObjectTooLargeError, ObjectStoreError."""
        ...

    def open(
        self, bucket: str, key: str, version: str | None = None
    ) -> AbstractContextManager[tuple[ObjectInfo, BinaryIO]]:
        """The content as a stream, of any size, with what is known of it. Only `read` is sure to work where the store
        is not `local`. Raises ObjectNotFoundError, ObjectStoreError, the latter while reading too."""
        ...
