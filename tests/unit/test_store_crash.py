"""kill -9 at any moment: what was acknowledged is there, and nothing is there by half."""

import hashlib
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from openrek.store.access_keys import AccessKeys
from openrek.store.database import Database
from openrek.store.objects import FolderStore, ObjectNotFoundError
from openrek.store.request_tokens import RequestTokens, TokenScope
from openrek.store.schema import collections, request_tokens

WRITER = """
import hashlib, sys
from pathlib import Path
from sqlalchemy import insert
from openrek.store.access_keys import AccessKeys
from openrek.store.database import Database
from openrek.store.objects import FolderStore
from openrek.store.request_tokens import RequestTokens, TokenScope
from openrek.store.schema import collections

home, start = Path(sys.argv[1]), int(sys.argv[2])
database = Database.open(f"sqlite:///{home / 'openrek.db'}")
keys, tokens, store = AccessKeys(database), RequestTokens(database), FolderStore(home / "buckets")
store.create_bucket("plain")
store.create_bucket("kept", versioning=True)

def acknowledge(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def content(n):
    body = str(n).encode() + b" " + bytes([n % 251]) * (n * 977 % 150_000)
    return hashlib.sha256(body).hexdigest().encode() + b" " + body

def work(n):
    def write(connection):
        connection.execute(insert(collections).values(account_id="000000000000", region="us-east-1",
            collection_id=f"c{n}", face_model_version="7.0", created_ms=n))
        return f'{{"n":{n}}}'
    return write

acknowledge("ready")
for n in range(start, start + 100_000):
    acknowledge("key", keys.create(str(n)).access_key_id)
    tokens.once(TokenScope("000000000000", "us-east-1", "CreateUser", str(n)), str(n), work(n))
    acknowledge("token", n)
    # keys that are files and folders for each other, overwritten again and again
    key = "a" + "/b" * (n % 3)
    store.put("plain", key, content(n))
    acknowledge("plain", key, n)
    acknowledge("kept", n, store.put("kept", "k", content(n)).version)
"""

KILLS = 6


def number(content: bytes) -> int:
    """The number in a content of the writer; fails for one that is not whole."""
    digest, _, body = content.partition(b" ")
    assert hashlib.sha256(body).hexdigest().encode() == digest
    return int(body.split(b" ")[0])


def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(tmp_path: Path) -> None:
    moments = random.Random(20240229)
    acknowledged: list[list[str]] = []
    for round_number in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(round_number * 100_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            # after some steps and a moment more, however fast this machine is
            acknowledged += [process.stdout.readline().split() for _ in range(moments.randint(0, 40))]
            time.sleep(moments.uniform(0.0, 0.03))
            process.send_signal(signal.SIGKILL)
            acknowledged += [line.split() for line in process.stdout if line.endswith("\n")]
        check(tmp_path, acknowledged)
    assert len(acknowledged) > 50  # it did write


def check(home: Path, acknowledged: list[list[str]]) -> None:
    database = Database.open(f"sqlite:///{home / 'openrek.db'}")
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
        found = set(connection.execute(select(collections.c.collection_id)).scalars())
        recorded = {
            f"c{row.token}": row.response
            for row in connection.execute(select(request_tokens.c.token, request_tokens.c.response))
        }
    assert {access_key_id for kind, access_key_id, *_ in acknowledged if kind == "key"} <= {
        key.access_key_id for key in AccessKeys(database).list()
    }
    # the work of a token and its record: both or neither
    assert found == recorded.keys()
    assert all(re.fullmatch(r'\{"n":\d+\}', response) for response in recorded.values())
    assert {f"c{token}" for kind, token, *_ in acknowledged if kind == "token"} <= found
    database.close()

    store = FolderStore(home / "buckets")
    last = {key: int(n) for kind, key, n, *_ in ([*item, "", ""] for item in acknowledged) if kind == "plain"}
    for key, n in last.items():
        assert number(store.read("plain", key, limit=1_000_000)) >= n
    assert {item.key for item in store.list_objects("plain")} >= last.keys()
    for kind, n_text, version in (item for item in acknowledged if item[0] == "kept"):
        assert kind == "kept"
        assert number(store.read("kept", "k", version, limit=1_000_000)) == int(n_text)
    for info in store.versions("kept", "k"):
        number(store.read("kept", "k", info.version, limit=1_000_000))


def test_a_record_that_was_never_committed_does_not_count(tmp_path: Path) -> None:
    code = (
        WRITER.split("def acknowledge")[0]
        + """
import os, signal
scope = TokenScope("000000000000", "us-east-1", "CreateUser", "t")
def die(connection):
    connection.execute(insert(collections).values(account_id="000000000000", region="us-east-1",
        collection_id="half", face_model_version="7.0", created_ms=1))
    os.kill(os.getpid(), signal.SIGKILL)
tokens.once(scope, "f", die)
"""
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path), "0"], timeout=60, check=False)
    assert result.returncode == -signal.SIGKILL
    database = Database.open(f"sqlite:///{tmp_path / 'openrek.db'}")
    with database.read() as connection:
        assert connection.execute(select(collections)).all() == []
    tokens = RequestTokens(database)
    assert tokens.count() == 0
    scope = TokenScope("000000000000", "us-east-1", "CreateUser", "t")
    assert tokens.once(scope, "other", lambda _: "done") == "done"
    database.close()


@pytest.mark.parametrize("moment", ["fsync", "link", "rename"])
def test_a_crash_at_each_step_of_a_put_leaves_the_old_object(tmp_path: Path, moment: str) -> None:
    store = FolderStore(tmp_path / "buckets")
    store.create_bucket("kept", versioning=True)
    first = store.put("kept", "k", b"old")
    code = f"""
import os, signal, sys
from pathlib import Path
from openrek.store.objects import FolderStore
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
os.{moment} = die
FolderStore(Path(sys.argv[1])).put("kept", "k", b"new")
"""
    result = subprocess.run([sys.executable, "-c", code, str(store.root)], timeout=60, check=False)
    assert result.returncode == -signal.SIGKILL
    assert store.read("kept", "k", limit=10) == b"old"
    assert store.read("kept", "k", first.version, limit=10) == b"old"
    assert [info.version for info in store.versions("kept", "k")] == [first.version]
    second = store.put("kept", "k", b"newer")
    assert [info.version for info in store.versions("kept", "k")] == [second.version, first.version]
    store.delete("kept", "k", purge=True)
    with pytest.raises(ObjectNotFoundError):
        store.read("kept", "k", first.version, limit=10)
