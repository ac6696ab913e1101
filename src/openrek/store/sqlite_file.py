"""Making SQLite files and switching them to write-ahead logging while others may be doing the same."""

import errno
import os
import secrets
import sqlite3
import time
from pathlib import Path


def make_private_file(path: Path) -> None:
    """Make the file (0600) and its folder (0700) where they are not there; take the others' rights off a file that is.

    The file itself is never opened here: closing it would drop the locks that other connections of this process hold
    on it (https://www.sqlite.org/howtocorrupt.html, 2.2). Raises OSError: it cannot be made, or not be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            os.link(temporary, path)  # unlike a rename, never over another file
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):  # no hard links: exFAT, some shares
                raise
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    if not os.access(path, os.R_OK | os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def use_write_ahead_log(connection: sqlite3.Connection, patience: float) -> None:
    """Switch the file of a connection without an open transaction; a file that is switched already stays as it is.

    SQLite's own busy timeout does not cover this switch, so it is tried again for up to `patience` seconds. Raises
    sqlite3.OperationalError (busy) after that, and what else the switch fails with.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
