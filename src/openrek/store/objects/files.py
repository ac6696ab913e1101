"""Steps in a file system that cannot be led astray: one name at a time, below an open folder, never through a link."""

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from openrek.store.objects.names import BESIDE

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
STALE_SECONDS: Final = 24 * 3600.0

DENIED: Final = frozenset({errno.EACCES, errno.EPERM})
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})


def open_file(folder: int, name: str) -> int | None:
    """An open regular file, None where there is none."""
    try:
        descriptor = os.open(name, FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def open_folder(root: Path, names: tuple[str, ...]) -> int:
    """Step down from the root, one folder at a time, never through a link."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in names:
        above = descriptor
        try:
            descriptor = os.open(name, FOLDER, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise FileNotFoundError(errno.ENOENT, "no such folder", name) from error
            raise
        finally:
            os.close(above)
    return descriptor


@contextmanager
def enter(root: Path, names: tuple[str, ...]) -> Iterator[int]:
    descriptor = open_folder(root, names)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def descend(top: int, names: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
    """Step down from an open folder; with `create`, make what is missing, durably, and move files out of the way."""
    descriptor = os.dup(top)
    try:
        for name in names:
            if create:
                _make_step(descriptor, name)
            try:
                below = os.open(name, FOLDER, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise FileNotFoundError(errno.ENOENT, "no such folder", name) from error
                raise
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _make_step(folder: int, name: str) -> None:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(mode):
            return
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "there is something else than a folder in its place")
        os.rename(name, name + BESIDE, src_dir_fd=folder, dst_dir_fd=folder)
    os.mkdir(name, 0o700, dir_fd=folder)
    os.fsync(folder)


def remove_empty(top: int, names: tuple[str, ...]) -> None:
    """Remove folders that have become empty, from the bottom up."""
    for depth in range(len(names), 0, -1):
        try:
            with descend(top, names[: depth - 1]) as above:
                os.rmdir(names[depth - 1], dir_fd=above)
        except FileNotFoundError:
            continue
        except OSError:
            return


def make_folder(path: Path) -> bool:
    """Make a folder (0700), durably; whether it is new."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise
        return False
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    sync(path.parent)
    return True


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what a crash left behind long ago."""
    oldest = time.time() - STALE_SECONDS
    for path in folder.iterdir():
        with suppress(OSError):
            if path.lstat().st_mtime < oldest:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
