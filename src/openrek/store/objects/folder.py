"""Buckets in a folder: each bucket is a folder, each object a file at its key's place (see `names`).

A person may put files into a bucket's folder by hand; they are objects at once. Nothing outside the folder can be
reached: a key is split and encoded before it meets the file system, each step down is taken from the folder above it,
and symbolic links are never followed.

Beside the buckets lie `.versions`, with a folder for each bucket that keeps versions, `.incoming` for objects that are
being written, and `.lock`, which writers hold while they change names.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from openrek.store.objects.base import ObjectInfo, ObjectNotFoundError, ObjectStoreError, ObjectTooLargeError
from openrek.store.objects.files import (
    ABSENT,
    DENIED,
    descend,
    enter,
    make_folder,
    open_file,
    open_folder,
    remove_empty,
    sweep,
    sync,
)
from openrek.store.objects.names import BESIDE, InvalidKeyError, KeyPath, decode_folders, decode_key, encode_key

VERSIONS: Final = ".versions"
INCOMING: Final = ".incoming"
LOCK: Final = ".lock"

_BUCKET: Final = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{2,254}")
_VERSION: Final = re.compile(r"[0-9a-f]{16}")
_COPY: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ListedObject:
    """A key and what it holds."""

    key: str
    info: ObjectInfo


class FolderStore:
    """The buckets in a folder. Safe to use from many threads and processes.

    A version is the file's time of modification (nanoseconds since the epoch, 16 hexadecimal digits): it survives a
    copy that keeps times, and a file that was put in or changed by hand has one too.
    """

    local = True

    def __init__(self, root: Path) -> None:
        self.root = root

    # --- reading ----------------------------------------------------------------------------------------------------

    def head(self, bucket: str, key: str, version: str | None = None) -> ObjectInfo:
        """What is known of an object. Raises ObjectNotFoundError, ObjectStoreError."""
        with self._open(bucket, key, version) as file:
            return _info(os.fstat(file), versioned=self.is_versioned(bucket))

    def read(self, bucket: str, key: str, version: str | None = None, *, limit: int) -> bytes:
        """The content, of `limit` bytes at most. Raises ObjectNotFoundError, ObjectTooLargeError, ObjectStoreError."""
        with self._open(bucket, key, version) as descriptor, open(descriptor, "rb", closefd=False) as file:
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise ObjectTooLargeError(bucket, key, size, limit)
            content = file.read(limit + 1)
            if len(content) > limit:  # it grew meanwhile
                raise ObjectTooLargeError(bucket, key, len(content), limit)
            return content

    @contextmanager
    def open(self, bucket: str, key: str, version: str | None = None) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        """The object's own file, open for reading. Raises ObjectNotFoundError, ObjectStoreError."""
        with self._open(bucket, key, version) as descriptor:
            own = os.dup(descriptor)
        with open(own, "rb") as file:
            yield _info(os.fstat(own), versioned=self.is_versioned(bucket)), file

    def buckets(self) -> list[str]:
        """The names of all buckets, sorted."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(e.name for e in entries if _BUCKET.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure(error, str(self.root)) from error

    def is_versioned(self, bucket: str) -> bool:
        """Whether a bucket keeps earlier contents of its keys."""
        return bool(_BUCKET.fullmatch(bucket)) and (self.root / VERSIONS / bucket).is_dir()

    def list_objects(self, bucket: str, prefix: str = "") -> list[ListedObject]:
        """The objects of a bucket whose keys begin with `prefix`, by key (UTF-8 bytes). Raises ObjectNotFoundError."""
        versioned = self.is_versioned(bucket)
        found: dict[str, ListedObject] = {}
        try:
            with self._folder(bucket) as folder:
                for key, beside, status in _walk(folder, (), prefix):
                    if not beside or key not in found:  # a plain file is what `read` finds first
                        found[key] = ListedObject(key, _info(status, versioned=versioned))
        except OSError as error:
            raise _failure(error, f"bucket {bucket!r}") from error
        return sorted(found.values(), key=lambda item: item.key.encode())

    def versions(self, bucket: str, key: str) -> list[ObjectInfo]:
        """All versions of a key, newest first; the current one is the first, unless the key was removed."""
        place = _place(key)
        found: dict[str, ObjectInfo] = {}
        with suppress(ObjectNotFoundError):
            current = self.head(bucket, key)
            found[current.version or "null"] = current
        if self.is_versioned(bucket):
            with suppress(FileNotFoundError), enter(self.root, (VERSIONS, bucket, *place.folders, place.beside)) as top:
                for name in os.listdir(top):
                    if _VERSION.fullmatch(name):
                        info = _info(os.stat(name, dir_fd=top, follow_symlinks=False), versioned=True, version=name)
                        found.setdefault(name, info)
        return sorted(found.values(), key=lambda info: info.version or "", reverse=True)

    # --- writing ----------------------------------------------------------------------------------------------------

    def create_bucket(self, bucket: str, *, versioning: bool = False) -> bool:
        """Make a bucket; whether it is new. With `versioning`, earlier contents of its keys are kept from now on.

        Raises ObjectStoreError for a name outside 3-255 letters, digits, `.`, `_` and `-`, or with a leading dot.
        """
        if not _BUCKET.fullmatch(bucket):
            raise ObjectStoreError(
                f"{bucket!r} is not a bucket name: 3 to 255 letters, digits, dots, hyphens and underscores, "
                "and no dot first"
            )
        with self._locked():
            try:
                new = make_folder(self.root / bucket)
                if versioning:
                    make_folder(self.root / VERSIONS)
                    make_folder(self.root / VERSIONS / bucket)
            except OSError as error:
                raise _failure(error, f"bucket {bucket!r}") from error
            return new

    def put(self, bucket: str, key: str, content: bytes | BinaryIO | Path) -> ObjectInfo:
        """Store an object, durably: when this returns it survives a crash, and a reader sees the old content or the
        new one, never a part. Raises ObjectNotFoundError (no such bucket), ObjectStoreError."""
        place = _place(key, ObjectStoreError)
        with self._folder(bucket):
            pass  # no need to read the content if there is no bucket
        versioned = self.is_versioned(bucket)
        with self._incoming(content) as temporary, self._locked(), self._folder(bucket) as top:
            try:
                with descend(top, place.folders, create=True) as folder:
                    target = _target(folder, place)
                    if versioned:
                        self._archive(bucket, place, folder, target)
                        self._make_newest(bucket, place, temporary)
                    status = os.stat(temporary, follow_symlinks=False)
                    os.rename(temporary, target, dst_dir_fd=folder)
                    os.fsync(folder)
                    return _info(status, versioned=versioned)
            except OSError as error:
                raise _failure(error, _named(bucket, key)) from error

    def delete(self, bucket: str, key: str, *, purge: bool = False) -> None:
        """Remove an object. A bucket with versioning keeps its contents as versions; `purge` removes those too.

        Raises ObjectNotFoundError, ObjectStoreError.
        """
        place = _place(key)
        versioned = self.is_versioned(bucket)
        with self._locked(), self._folder(bucket) as top:
            try:
                found = False
                with suppress(FileNotFoundError), descend(top, place.folders) as folder:
                    name = _found(folder, place)
                    if versioned and not purge:
                        self._archive(bucket, place, folder, name)
                    os.unlink(name, dir_fd=folder)
                    os.fsync(folder)
                    found = True
                remove_empty(top, place.folders)
                if versioned and purge:
                    history = (*place.folders, place.beside)
                    with enter(self.root, (VERSIONS, bucket)) as versions:
                        with suppress(FileNotFoundError), descend(versions, history) as folder:
                            for name in os.listdir(folder):
                                os.unlink(name, dir_fd=folder)
                            os.fsync(folder)
                            found = True
                        remove_empty(versions, history)
            except OSError as error:
                raise _failure(error, _named(bucket, key)) from error
        if not found:
            raise ObjectNotFoundError(f"there is no object {_named(bucket, key)}")

    def delete_bucket(self, bucket: str, *, recursive: bool = False) -> None:
        """Remove a bucket; with `recursive` also one that has objects or versions in it.

        Raises ObjectNotFoundError, ObjectStoreError.
        """
        with self._locked():
            with self._folder(bucket) as top:
                used = os.listdir(top)
            history = self.root / VERSIONS / bucket
            if not used and history.is_dir():
                used = os.listdir(history)
            if used and not recursive:
                raise ObjectStoreError(f"bucket {bucket!r} is not empty; remove its objects first, or use --recursive")
            try:
                for folder in (self.root / bucket, history):
                    trash = self.root / INCOMING / secrets.token_hex(16)
                    make_folder(trash.parent)
                    with suppress(FileNotFoundError):
                        folder.rename(trash)  # gone at once and as a whole; a crash leaves litter, not half a bucket
                        sync(folder.parent)
                        shutil.rmtree(trash)
            except OSError as error:
                raise _failure(error, f"bucket {bucket!r}") from error

    # --- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _folder(self, bucket: str) -> Iterator[int]:
        """The open folder of a bucket."""
        if not _BUCKET.fullmatch(bucket):
            raise ObjectNotFoundError(f"there is no bucket {bucket!r}")
        try:
            descriptor = open_folder(self.root, (bucket,))
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"there is no bucket {bucket!r}") from error
        except OSError as error:
            raise _failure(error, f"bucket {bucket!r}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _open(self, bucket: str, key: str, version: str | None) -> Iterator[int]:
        """The open file of an object."""
        place = _place(key)
        if not _BUCKET.fullmatch(bucket):
            raise ObjectNotFoundError(f"there is no bucket {bucket!r}")
        try:
            descriptor = self._find(bucket, place, version)
        except OSError as error:
            raise _failure(error, _named(bucket, key, version)) from error
        if descriptor is None:
            with self._folder(bucket):  # says so where it is the bucket that is missing
                raise ObjectNotFoundError(f"there is no object {_named(bucket, key, version)}")
        try:
            yield descriptor
        except OSError as error:
            raise _failure(error, _named(bucket, key, version)) from error
        finally:
            os.close(descriptor)

    def _find(self, bucket: str, place: KeyPath, version: str | None) -> int | None:
        versioned = version is not None and self.is_versioned(bucket)
        try:
            with enter(self.root, (bucket, *place.folders)) as folder:
                descriptor = open_file(folder, place.name)
                if descriptor is None:
                    descriptor = open_file(folder, place.beside)
        except FileNotFoundError:
            descriptor = None
        if version is None or (version == "null" and not versioned):
            return descriptor
        if descriptor is not None:
            if versioned and _version(os.fstat(descriptor)) == version:
                return descriptor
            os.close(descriptor)
        if not versioned or not _VERSION.fullmatch(version):
            return None
        with enter(self.root, (VERSIONS, bucket, *place.folders, place.beside)) as folder:
            return open_file(folder, version)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, of all processes and threads, changes names in this folder."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failure(error, str(self.root)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _incoming(self, content: bytes | BinaryIO | Path) -> Iterator[Path]:
        """A temporary file with the content, on the disk; removed if it is still there at the end."""
        folder = self.root / INCOMING
        temporary = folder / secrets.token_hex(16)
        try:
            try:
                make_folder(folder)
                sweep(folder)
                with open(temporary, "xb") as file:
                    if isinstance(content, bytes):
                        file.write(content)
                    elif isinstance(content, Path):
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, file, _COPY)
                    else:
                        shutil.copyfileobj(content, file, _COPY)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                what = error.filename or self.root
                raise ObjectStoreError(f"cannot store the object: {what}: {error.strerror or error}") from error
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _archive(self, bucket: str, place: KeyPath, folder: int, name: str) -> None:
        """Keep the current content of a key under its version. A crash after this leaves it in both places."""
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        with (
            enter(self.root, (VERSIONS, bucket)) as top,
            descend(top, (*place.folders, place.beside), create=True) as versions,
        ):
            with suppress(FileExistsError):
                os.link(name, _version(status), src_dir_fd=folder, dst_dir_fd=versions, follow_symlinks=False)
            os.fsync(versions)

    def _make_newest(self, bucket: str, place: KeyPath, file: Path) -> None:
        """Give a file a version above all others of its key, whatever the clock and the file system's time steps."""
        newest = 0
        with suppress(FileNotFoundError), enter(self.root, (VERSIONS, bucket, *place.folders, place.beside)) as top:
            newest = max((int(name, 16) for name in os.listdir(top) if _VERSION.fullmatch(name)), default=0)
        step = 1
        while file.stat().st_mtime_ns <= newest:
            os.utime(file, ns=(time.time_ns(), newest + step))
            step *= 10
        if step > 1:
            sync(file)


# --- places and names -----------------------------------------------------------------------------------------------


def _place(key: str, error_class: type[ObjectStoreError] = ObjectNotFoundError) -> KeyPath:
    try:
        return encode_key(key)
    except InvalidKeyError as error:
        raise error_class(str(error)) from error


def _target(folder: int, place: KeyPath) -> str:
    """The name a key's file has, or shall have, in its folder."""
    for name in (place.name, place.beside):
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISREG(mode):
            return name
        if not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "there is something else than a file in its place")
        if name == place.name:
            return place.beside
    return place.name


def _found(folder: int, place: KeyPath) -> str:
    """The name of a key's file. Raises FileNotFoundError."""
    name = _target(folder, place)
    os.stat(name, dir_fd=folder, follow_symlinks=False)
    return name


def _walk(folder: int, folders: tuple[str, ...], prefix: str) -> Iterator[tuple[str, bool, os.stat_result]]:
    """Every key below an open folder, whether its file lies beside a folder, and its status."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            above = decode_folders((*folders, entry.name))
            if not (above.startswith(prefix) or prefix.startswith(above)):
                continue
            with suppress(FileNotFoundError), descend(folder, (entry.name,)) as below:
                yield from _walk(below, (*folders, entry.name), prefix)
        elif entry.is_file(follow_symlinks=False):
            beside = entry.name.endswith(BESIDE) and entry.name != BESIDE
            key = decode_key(folders, entry.name.removesuffix(BESIDE) if beside else entry.name)
            if key is not None and key.startswith(prefix):
                with suppress(FileNotFoundError):
                    yield key, beside, os.stat(entry.name, dir_fd=folder, follow_symlinks=False)


# --- words ----------------------------------------------------------------------------------------------------------


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:016x}"


def _info(status: os.stat_result, *, versioned: bool, version: str | None = None) -> ObjectInfo:
    return ObjectInfo(
        size=status.st_size,
        etag=f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}",
        version=(version or _version(status)) if versioned else None,
        last_modified=datetime.fromtimestamp(status.st_mtime, UTC),
    )


def _named(bucket: str, key: str, version: str | None = None) -> str:
    return f"{key!r} in bucket {bucket!r}" + (f" with version {version!r}" if version is not None else "")


def _failure(error: OSError, what: str) -> ObjectStoreError:
    reason = error.strerror or str(error)
    if error.errno in ABSENT | DENIED:
        return ObjectNotFoundError(f"cannot open {what}: {reason}")
    return ObjectStoreError(f"cannot read or write {what}: {reason}")
