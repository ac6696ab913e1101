"""Files that only their owner may read, put in place whole."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path


def place(path: Path, content: bytes) -> bool:
    """Put a file (0600) into its folder (made with 0700), whole and durably; False where one is there already.

    Of several processes that do so at the same time one succeeds. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
