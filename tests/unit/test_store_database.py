"""The database on SQLite: opening, permissions, refusals, failures in words."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, bindparam, insert, literal, select

from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.schema import HEAD, access_keys

OPEN = "import sys; from openrek.store.database import Database; Database.open(sys.argv[1]).close(); print('open')"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "openrek.db"


def test_the_folder_and_the_files_are_the_owners_alone(path: Path) -> None:
    database = Database.open(url(path))
    with database.begin() as connection:
        connection.execute(insert(access_keys).values(access_key_id="K", secret="s", label="", created_ms=1))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files.keys() >= {"openrek.db", "openrek.db-wal"}
    assert set(files.values()) == {0o600}
    database.close()


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    Database.open(url(path)).close()
    path.chmod(0o644)
    Database.open(url(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_commits_are_flushed_to_disk(path: Path) -> None:
    database = Database.open(url(path))
    for context in (database.begin, database.read):
        with context() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    folder = Path(sys.modules["openrek.store.database"].__file__ or "").parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions[0] == HEAD
    assert revisions == sorted(revisions, reverse=True)


def test_opening_a_current_database_does_not_load_alembic(path: Path) -> None:
    Database.open(url(path)).close()
    code = OPEN + "; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, url(path)], check=True, timeout=60)


def test_first_openings_by_several_processes_agree(path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, url(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, b"open\n"), err
    database = Database.open(url(path))
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [(HEAD,)]
    database.close()


@pytest.mark.parametrize("revision", ["9999", "abc"])
def test_a_newer_database_is_refused_and_left_alone(path: Path, revision: str) -> None:
    Database.open(url(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"revision {revision}.*written by a newer version") as caught:
        Database.open(url(path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is a shopping list, not a database\n" * 100)
    with pytest.raises(StoreError, match="is not a SQLite database, or it is damaged"):
        Database.open(url(path))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "is not a database address"),
        ("mysql://localhost/x", "works with SQLite and PostgreSQL, not with mysql"),
        ("sqlite://", "in a file"),
        ("sqlite:///:memory:", "in a file"),
        ("postgresql://nobody:hush@127.0.0.1:1/none", r"127\.0\.0\.1:1/none failed: .*refused"),
    ],
)
def test_an_address_that_does_not_work_gives_one_sentence(address: str, message: str) -> None:
    if address.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed")
    with pytest.raises(StoreError, match=message) as caught:
        Database.open(address)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_path_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "what? 100%41 #1 & more" / "open rek.db"
    Database.open(url(path)).close()
    assert path.exists()


def test_a_folder_that_cannot_be_written_gives_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot open the database file .*--home"):
        Database.open(url(blocked / "openrek.db"))


def test_a_read_only_database_gives_one_sentence(path: Path) -> None:
    database = Database.open(url(path))

    def write() -> None:
        with database.begin() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
            connection.execute(insert(access_keys).values(access_key_id="K", secret="s", label="", created_ms=1))

    with pytest.raises(StoreError, match="is read-only"):
        write()
    database.close()


def test_a_full_disk_gives_one_sentence_and_keeps_nothing(path: Path) -> None:
    database = Database.open(url(path))
    rows = [{"access_key_id": f"K{n}", "secret": "s" * 40, "label": "x" * 255, "created_ms": n} for n in range(2000)]

    def write() -> None:
        with database.begin() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
            connection.execute(insert(access_keys), rows)

    with pytest.raises(StoreError, match="is full; nothing of this request was kept"):
        write()
    with database.read() as connection:
        assert connection.execute(select(access_keys)).all() == []
    database.close()


def test_writers_wait_in_line(path: Path) -> None:
    database = Database.open(url(path))

    def write(writer: int) -> None:
        for n in range(10):
            with database.begin() as connection:
                seen = len(connection.execute(select(access_keys.c.access_key_id)).all())
                row = {"access_key_id": f"{writer}-{n}", "secret": "s", "label": str(seen), "created_ms": seen}
                connection.execute(insert(access_keys).values(row))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        seen = sorted(connection.execute(select(access_keys.c.created_ms)).scalars())
    assert seen == list(range(80))  # each one saw all that were before it
    database.close()


def test_a_hot_read_sees_every_commit_and_refuses_types_that_need_conversion(path: Path) -> None:
    database, other = Database.open(url(path)), Database.open(url(path))
    statement = select(access_keys.c.label).where(access_keys.c.access_key_id == bindparam("key")).limit(5)
    assert database.fetch(statement, key="K") == []
    for label in ("one", "two"):
        with other.begin() as connection:
            row = {"access_key_id": "K" if label == "one" else "L", "secret": "s", "label": label, "created_ms": 1}
            connection.execute(insert(access_keys).values(row))
        assert database.fetch(statement, key=row["access_key_id"]) == [(label,)]
    with pytest.raises(TypeError, match="needs a conversion"):
        database.fetch(select(literal("{}", JSON).label("document")))
    database.close()
    other.close()


def test_a_database_that_was_closed_opens_its_hot_connection_again_or_says_so(path: Path) -> None:
    database = Database.open(url(path))
    statement = select(access_keys.c.label)
    assert database.fetch(statement) == []
    database.close()
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="cannot open the database"):
        database.fetch(statement)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_home_of_another_user_gives_one_sentence() -> None:
    with TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        code = "import os, sys, openrek.store.database; os.setgid(65534); os.setuid(65534); " + OPEN
        command = [sys.executable, "-c", code, url(Path(home, "openrek.db"))]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "StoreError: cannot open the database file" in result.stderr
    assert "Permission denied" in result.stderr
