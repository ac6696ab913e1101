"""The metadata database: SQLite in one file, or PostgreSQL shared by several servers.

Every write is durable before it is acknowledged: SQLite runs with a write-ahead log and `synchronous=FULL` (the log is
flushed to disk at each commit), PostgreSQL with its default `synchronous_commit`.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, TimeoutError

from openrek.store.errors import StoreError
from openrek.store.schema import HEAD
from openrek.store.sqlite_file import make_private_file, use_write_ahead_log

BUSY_TIMEOUT: Final = 30.0
"""Seconds that a SQLite writer waits for another one to finish."""


class Database:
    """An open database at the schema revision of this code. Safe to use from many threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(write=True)
        self._compiled: dict[Select[Any], _Compiled] = {}
        self._direct: sqlite3.Connection | None = None
        self._direct_lock = threading.Lock()

    @classmethod
    def open(cls, url: str) -> "Database":
        """Open the database at an SQLAlchemy URL (`sqlite:////path/file.db`, `postgresql://user@host/name`).

        Makes a SQLite file (0600, its folder 0700) and brings the schema to the newest revision where needed; several
        processes may do that at the same time. Raises StoreError when the database cannot be reached or written, is
        damaged, or was made by a newer openrek.
        """
        address = _address(url)
        if address.get_backend_name() == "sqlite":
            _prepare_file(Path(address.database or ""))
        engine = _engine(address)
        database = cls(engine)
        try:
            with _sentences(address):
                if database.embedded:
                    _use_write_ahead_log(engine)
                database._migrate()
        except BaseException:
            engine.dispose()
            raise
        return database

    @property
    def embedded(self) -> bool:
        """Whether the database is a file of this machine, so that a small read takes microseconds and never waits."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self, *, alone: str | None = None) -> Iterator[Connection]:
        """A transaction that writes: committed, durably, when the block ends; rolled back when it raises.

        SQLite has one writer at a time (others wait in line), so keep the block short and use no other transaction
        inside it. `alone` gives a transaction of that name the same on PostgreSQL: one at a time, on all servers.
        Raises StoreError for a failure of the database; IntegrityError is passed on.
        """
        with _sentences(self.engine.url), self._writer.begin() as connection:
            if alone is not None and not self.embedded:
                lock = int.from_bytes(hashlib.sha256(f"openrek {alone}".encode()).digest()[:8], signed=True)
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite, one unchanging view of the data. Raises StoreError."""
        with _sentences(self.engine.url), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """A connection on which each statement is a transaction of its own, for what PostgreSQL allows nowhere else.
        Raises StoreError."""
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with _sentences(self.engine.url), engine.connect() as connection:
            yield connection

    def fetch(self, statement: Select[Any], **parameters: str | int | bytes) -> list[tuple[Any, ...]]:
        """All rows of a select, for the hot path: about 12 µs on SQLite, where `read` costs about 90.

        On SQLite it goes straight to the driver, outside any transaction, and sees every commit of every process; on
        PostgreSQL it is the same as `read`. The statement is a constant of its module with `bindparam`s (it is
        compiled once and kept); columns and parameters are strings, integers and bytes. Raises StoreError.
        """
        if not self.embedded:
            with self.read() as connection:
                return [tuple(row) for row in connection.execute(statement, parameters)]
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = _Compiled.of(statement, self.engine)
        arguments = tuple([parameters.get(name, default) for name, default in compiled.arguments])
        try:
            with self._direct_lock:
                if self._direct is None:
                    self._direct = sqlite3.connect(
                        self.engine.url.database or "", BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
                    )
                return self._direct.execute(compiled.sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise StoreError(_sentence(error, self.engine.url)) from error

    def insert_if_absent(self, table: Table, row: dict[str, Any], connection: Connection) -> bool:
        """Insert a row unless one with the same primary or unique key is there; whether it was inserted.

        On PostgreSQL this waits for another transaction that is inserting the same key.
        """
        dialect = sqlite if self.embedded else postgresql
        statement = dialect.insert(table).values(row).on_conflict_do_nothing().returning(*table.primary_key.columns)
        return connection.execute(statement).first() is not None  # not rowcount: PostgreSQL's is unknown for an INSERT

    def close(self) -> None:
        """Close every connection."""
        with self._direct_lock:
            if self._direct is not None:
                self._direct.close()
                self._direct = None
        self.engine.dispose()

    # --- schema -----------------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        with self.engine.connect() as connection:
            if self._check(connection) == HEAD:
                return
        with self.begin(alone="migration") as connection:
            if self._check(connection) != HEAD:  # another process may have been faster
                _upgrade(connection)

    def _check(self, connection: Connection) -> str | None:
        """The revision of the database, None for an empty one; raises StoreError when it is not one of ours."""
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if found is None:
            return None
        revision = str(found)
        if not revision.isdecimal() or revision > HEAD:
            raise StoreError(
                f"the database {_shown(self.engine.url)} has schema revision {revision}, but this openrek knows "
                f"revisions up to {HEAD}: it was written by a newer version; start that version, or use another home"
            )
        return revision


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A select as the SQLite driver takes it: the text, and the name and default of each `?`."""

    sql: str
    arguments: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, statement: Select[Any], engine: Engine) -> "_Compiled":
        for column in statement.selected_columns:
            if column.type.dialect_impl(engine.dialect).result_processor(engine.dialect, None) is not None:
                raise TypeError(f"the type of {column} needs a conversion; use Database.read")
        compiled = statement.compile(dialect=engine.dialect)
        names = getattr(compiled, "positiontup", None) or ()
        return cls(str(compiled), tuple((name, compiled.params.get(name)) for name in names))


# --- opening --------------------------------------------------------------------------------------------------------


def _address(url: str) -> URL:
    try:
        # the path of a file is taken as it is: a folder's name may have a question mark
        file = url.removeprefix("sqlite:///")
        address = make_url(url) if file == url else URL.create("sqlite", database=file)
    except ArgumentError as error:
        raise StoreError(
            f"{url!r} is not a database address; use sqlite:////path/file.db or postgresql://user:password@host/name"
        ) from error
    backend = address.get_backend_name()
    if backend == "sqlite":
        if not address.database or address.database == ":memory:" or address.database.startswith("file:"):
            raise StoreError("openrek keeps its SQLite database in a file: use sqlite:////path/file.db")
        return address
    if backend == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    raise StoreError(f"openrek works with SQLite and PostgreSQL, not with {backend}")


def _engine(address: URL) -> Engine:
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, connect_args={"timeout": BUSY_TIMEOUT}, pool_size=8, max_overflow=56)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            address, connect_args={"connect_timeout": 10}, pool_pre_ping=True, pool_size=8, max_overflow=24
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError("PostgreSQL needs its driver: pip install 'openrek[postgresql]'") from error


def _set_up_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver starts no transactions of its own
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")  # the log reaches the disk before a commit returns
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at the start: one that began by reading could find its view outdated and not wait.
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_file(path: Path) -> None:
    """Make the folder (0700) and the file (0600): it holds secrets, and SQLite gives its log the same permissions."""
    try:
        make_private_file(path)
    except OSError as error:
        raise StoreError(
            f"cannot open the database file {path}: {error.strerror or error}; openrek needs to write there "
            "(another folder: --home or OPENREK_HOME)"
        ) from error


def _use_write_ahead_log(engine: Engine) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            use_write_ahead_log(driver, BUSY_TIMEOUT)
        except sqlite3.OperationalError as error:
            raise StoreError(_sentence(error, engine.url)) from error


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


# --- failures in words ----------------------------------------------------------------------------------------------


@contextmanager
def _sentences(address: URL) -> Iterator[None]:
    """Turn a failure of the database (not of a constraint) into a StoreError of one sentence."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StoreError(_sentence(error.orig, address)) from error
    except TimeoutError as error:
        raise StoreError(f"all connections to the database {_shown(address)} are busy; try again") from error


def _sentence(error: BaseException | None, address: URL) -> str:
    where = _shown(address)
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return f"the disk of the database {where} is full; nothing of this request was kept; free some space"
    if name.startswith("SQLITE_READONLY"):
        return f"the database {where} is read-only; openrek needs to write to the file and its folder"
    if name.startswith("SQLITE_CANTOPEN"):
        return f"cannot open the database {where}; openrek needs to write to the file and its folder"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"{where} is not a SQLite database, or it is damaged; restore a backup, or use another home"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"the database {where} has been locked by another process for {BUSY_TIMEOUT:.0f} s; try again"
    if name.startswith("SQLITE_IOERR"):
        return f"reading or writing the database {where} failed ({name}); check the disk"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"the database {where} failed: {reason}"


def _shown(address: URL) -> str:
    if address.get_backend_name() == "sqlite":
        return address.database or ""
    return address.render_as_string(hide_password=True)
