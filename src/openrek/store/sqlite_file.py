"""Making SQLite files and switching them to write-ahead logging while others may be doing the same."""

import errno
import os
import sqlite3
import time
from pathlib import Path

from openrek.store.private_file import place


def make_private_file(path: Path) -> None:
    """Make the file (0600) and its folder (0700) where they are not there; take the others' rights off a file that is.

    The file itself is never opened here: closing it would drop the locks that other connections of this process hold
    on it (https://www.sqlite.org/howtocorrupt.html, 2.2). Raises OSError: it cannot be made, or not be written.
    """
    if not path.exists():
        place(path, b"")
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
