"""The photo library: what the models saw in each picture of one's folders, in one SQLite file with a full-text index.

A picture is known by the SHA-256 of its bytes, and files point to it: a file that was moved or copied is not looked at
again. Every write is one transaction, so a crash loses at most the photo in work. The file holds nothing that cannot be
made again from the photos.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from openrek.store.errors import StoreError
from openrek.store.library_query import tokens
from openrek.store.sqlite_file import make_private_file, use_write_ahead_log

APPLICATION: Final = 0x4F52454C  # "OREL" in the file's header: no other database is written to by mistake
VERSION: Final = 1
BUSY_TIMEOUT: Final = 30.0
TOKENIZER: Final = "porter unicode61 remove_diacritics 2"

_SCHEMA: Final = f"""
CREATE TABLE pictures (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  format TEXT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  taken TEXT,
  faces INTEGER NOT NULL,
  models TEXT NOT NULL
);
CREATE TABLE files (
  path BLOB PRIMARY KEY,
  picture INTEGER NOT NULL REFERENCES pictures (id),
  size INTEGER NOT NULL,
  modified INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_picture ON files (picture);
CREATE TABLE things (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (kind, name)
);
CREATE TABLE seen (
  thing INTEGER NOT NULL REFERENCES things (id),
  picture INTEGER NOT NULL REFERENCES pictures (id),
  confidence REAL NOT NULL,
  PRIMARY KEY (thing, picture)
) WITHOUT ROWID;
CREATE INDEX seen_by_picture ON seen (picture);
CREATE VIRTUAL TABLE names USING fts5 (
  name, thing UNINDEXED, alias UNINDEXED, words UNINDEXED, tokenize = '{TOKENIZER}'
);
CREATE VIRTUAL TABLE words USING fts5 (text, files, tokenize = '{TOKENIZER}');
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


class Kind(StrEnum):
    """What can be seen in a picture."""

    LABEL = "label"
    COLOUR = "colour"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Seen:
    """Something seen, by a name and its aliases, with confidence 0..1 (for a colour: its share of the picture)."""

    kind: Kind
    name: str
    confidence: float
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """All that is kept of one picture. `hash`: SHA-256 of its bytes; `width`, `height`: upright; `taken`: ISO 8601
    without zone; `models`: what looked, so that a newer look can be told from an older one."""

    hash: bytes
    format: str
    width: int
    height: int
    taken: str | None
    faces: int
    text: str
    seen: tuple[Seen, ...]
    models: str


@dataclass(frozen=True, slots=True)
class FileState:
    """A photo file as the index knows it: size in bytes, time of change in nanoseconds."""

    size: int
    modified: int
    models: str


class Library:
    """An open photo library. Thread-safe; several processes may write to one file, each waits for the others."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> "Library":
        """Open the file; with `create`, make it (0600, its folder 0700) where it is not there.

        Raises StoreError: not there, not a photo library, made by a newer openrek, damaged or not writable.
        """
        with _sentences(path):
            if create and not path.exists():
                make_private_file(path)
            elif not path.is_file():
                raise StoreError(f"there is no photo library at {path}; `openrek index FOLDER` makes one")
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            try:
                _prepare(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def files_below(self, folder: Path) -> dict[Path, FileState]:
        """The known files inside a folder (absolute), at any depth."""
        start = os.fsencode(folder).rstrip(b"/") + b"/"
        rows = self.rows(
            "SELECT path, size, modified, models FROM files JOIN pictures ON pictures.id = picture"
            " WHERE path >= ? AND path < ?",
            (start, start[:-1] + b"0"),  # "0" follows "/"
        )
        return {Path(os.fsdecode(path)): FileState(*state) for path, *state in rows}

    def models_of(self, hash: bytes) -> str | None:
        """What looked at the picture with these bytes; None where it is not known."""
        rows = self.rows("SELECT models FROM pictures WHERE hash = ?", (hash,))
        return rows[0][0] if rows else None

    def counts(self) -> tuple[int, int]:
        """How many files and how many different pictures there are."""
        ((files, pictures),) = self.rows("SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM pictures)")
        return files, pictures

    def rows(self, statement: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StoreError."""
        with _sentences(self.path), self._lock:
            return self._connection.execute(statement, tuple(parameters)).fetchall()

    # --- writing ------------------------------------------------------------------------------------------------------

    def put(self, looked: Looked) -> None:
        """Keep what was seen in a picture, in place of what was seen before; its files are added by `place`."""
        with self._transaction() as connection:
            (picture,) = connection.execute(
                "INSERT INTO pictures (hash, format, width, height, taken, faces, models) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (hash) DO UPDATE SET format = excluded.format, width = excluded.width,"
                " height = excluded.height, taken = excluded.taken, faces = excluded.faces, models = excluded.models"
                " RETURNING id",
                (looked.hash, looked.format, looked.width, looked.height, looked.taken, looked.faces, looked.models),
            ).fetchone()
            connection.execute("DELETE FROM seen WHERE picture = ?", (picture,))
            connection.executemany(
                "INSERT OR REPLACE INTO seen (thing, picture, confidence) VALUES (?, ?, ?)",
                [(_thing(connection, each), picture, each.confidence) for each in looked.seen],
            )
            connection.execute("DELETE FROM words WHERE rowid = ?", (picture,))
            connection.execute(
                "INSERT INTO words (rowid, text, files) VALUES (?, ?, ?)",
                (picture, looked.text, _file_words(connection, picture)),
            )

    def place(self, path: Path, hash: bytes, size: int, modified: int) -> tuple[Path, ...]:
        """Say that a file (absolute path) holds the picture with these bytes, which `put` has stored.

        Returns the other files of that picture that are no longer on disk: it was moved from there, and they are
        forgotten. Raises StoreError where the picture is not known.
        """
        name = os.fsencode(path)
        with self._transaction() as connection:
            row = connection.execute("SELECT id FROM pictures WHERE hash = ?", (hash,)).fetchone()
            if row is None:
                raise StoreError(f"{path} holds a picture that the library {self.path} does not know")
            before = connection.execute("SELECT picture FROM files WHERE path = ?", (name,)).fetchone()
            connection.execute(
                "INSERT OR REPLACE INTO files (path, picture, size, modified) VALUES (?, ?, ?, ?)",
                (name, row[0], size, modified),
            )
            others = connection.execute("SELECT path FROM files WHERE picture = ? AND path <> ?", (row[0], name))
            gone = tuple(other for (stored,) in others.fetchall() if not (other := Path(os.fsdecode(stored))).exists())
            connection.executemany("DELETE FROM files WHERE path = ?", [(os.fsencode(other),) for other in gone])
            _describe_files(connection, row[0])
            if before is not None and before[0] != row[0]:
                _describe_files(connection, before[0])
        return gone

    def forget(self, paths: Iterable[Path]) -> int:
        """Forget files, and the pictures that no file holds any more; how many files were known."""
        forgotten = 0
        with self._transaction() as connection:
            for path in paths:
                row = connection.execute(
                    "DELETE FROM files WHERE path = ? RETURNING picture", (os.fsencode(path),)
                ).fetchone()
                if row is not None:
                    forgotten += 1
                    _describe_files(connection, row[0])
            for (picture,) in connection.execute(
                "SELECT id FROM pictures WHERE NOT EXISTS (SELECT 1 FROM files WHERE picture = pictures.id)"
            ).fetchall():
                connection.execute("DELETE FROM seen WHERE picture = ?", (picture,))
                connection.execute("DELETE FROM words WHERE rowid = ?", (picture,))
                connection.execute("DELETE FROM pictures WHERE id = ?", (picture,))
        return forgotten

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _sentences(self.path), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _thing(connection: sqlite3.Connection, seen: Seen) -> int:
    """The number of something that can be seen, with its names in the full-text index."""
    row = connection.execute("SELECT id FROM things WHERE kind = ? AND name = ?", (seen.kind, seen.name)).fetchone()
    if row is not None:
        return int(row[0])
    (number,) = connection.execute(
        "INSERT INTO things (kind, name) VALUES (?, ?) RETURNING id", (seen.kind, seen.name)
    ).fetchone()
    connection.executemany(
        "INSERT INTO names (name, thing, alias, words) VALUES (?, ?, ?, ?)",
        [(name, number, name != seen.name, len(tokens(name))) for name in (seen.name, *seen.aliases)],
    )
    return int(number)


def _describe_files(connection: sqlite3.Connection, picture: int) -> None:
    connection.execute("UPDATE words SET files = ? WHERE rowid = ?", (_file_words(connection, picture), picture))


def _file_words(connection: sqlite3.Connection, picture: int) -> str:
    """The words of the names of a picture's files and of the folder that each is in."""
    rows = connection.execute("SELECT path FROM files WHERE picture = ?", (picture,)).fetchall()
    paths = [Path(os.fsdecode(path)) for (path,) in rows]
    text = "\n".join(f"{path.parent.name} {path.stem}" for path in paths)
    return text.encode(errors="replace").decode()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT * 1000)}")
    connection.execute("BEGIN")  # one snapshot: another process may be making the file right now
    (application,), (version,), (tables,) = (
        connection.execute(question).fetchone()
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
    )
    connection.execute("COMMIT")
    if tables and application != APPLICATION:
        raise StoreError(f"{path} is a database, but no photo library; name another file")
    if version > VERSION:
        raise StoreError(f"the photo library {path} was made by a newer openrek; update openrek or name another file")
    use_write_ahead_log(connection, BUSY_TIMEOUT)
    connection.execute("PRAGMA synchronous = NORMAL")  # after a power cut the last photos are looked at again, no more
    connection.execute("PRAGMA foreign_keys = ON")
    if not tables:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:  # another process was faster
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute("COMMIT")


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the photo library {path} cannot be used: {error}") from error
    except OSError as error:
        raise StoreError(f"the photo library {path} cannot be made: {error.strerror or error}") from error
