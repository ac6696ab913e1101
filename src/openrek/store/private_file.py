"""Files that only their owner may read, put in place whole."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def place(path: Path, content: bytes) -> bool:
    """Put a file (0600) into its folder (made with 0700), whole and durably; False where one is there already.

    Of several processes that do so at the same time one succeeds. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with _opened(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, never over another file
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):  # no hard links: exFAT, some shares
                raise
            if path.exists():
                return False
            temporary.rename(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _flush_folder(path.parent)
    return True


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file (0600) to be written, which is at `path`, whole and durably, when the block ends, in place of one that was
    there. Where the block raises, nothing is left of it. Raises OSError."""
    temporary = _beside(path)
    try:
        with _opened(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}")


def _opened(path: Path) -> BinaryIO:
    """A new file, private from its first byte on: whoever put one, or a link, there before is not written to."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _flush_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
