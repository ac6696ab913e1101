"""kill -9 at 100 random moments of indexing, deleting and associating: what was acknowledged holds, nothing is by half.

A helper process forks a writer and kills it, again and again: that is much faster than a new interpreter each time.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.faces import Faces
from openrek.store.schema import faces as faces_table
from openrek.store.schema import users as users_table
from openrek.store.users import Users
from openrek.store.vector_changes import VectorChanges, unit, unpack

ACCOUNT, REGION = "000000000000", "us-east-1"
KILLS = 100

KILLER = """
import json, os, random, signal, sys, time
import numpy as np
from openrek.store.database import Database
from openrek.store.faces import Faces, NewFace
from openrek.store.users import Users

url, collection = sys.argv[1], int(sys.argv[2])

def write(seed, acknowledge):
    database = Database.open(url)
    faces, users, chance = Faces(database), Users(database), random.Random(seed)
    vectors, mine = np.random.default_rng(seed), []
    acknowledge("open")
    for n in range(100_000):
        # a picture of 1 to 30 faces: its id says how many
        count = chance.randrange(1, 31)
        new = [NewFace(f"{seed}-{n}-{i}", f"{seed}-{n}", str(count), (0, 0, 1, 1), 99, "7.0",
                       vectors.normal(size=128).astype(np.float32)) for i in range(count)]
        faces.add(collection, new)
        ids = [face.face_id for face in new]
        acknowledge("indexed", ids)
        gone = faces.delete(collection, ids[::3]).deleted
        acknowledge("deleted", gone)
        user = f"{seed}-{n}"
        with database.begin() as connection:
            users.create(connection, collection, user)
        acknowledge("user", user)
        with database.begin() as connection:
            users.associate(connection, collection, user, ids[1::3], least=-1)
        acknowledge("associated", user, ids[1::3])
        with database.begin() as connection:
            users.delete(connection, collection, user) if n % 2 else users.disassociate(
                connection, collection, user, ids[1:2])
        acknowledge("left", user, ids[1:2])

for line in sys.stdin:
    seed, steps, delay = line.split()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        write(int(seed), lambda *words: os.write(theirs, json.dumps(words).encode() + b"\\n"))
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        # the writer is at work: let it do some steps, however fast this machine is, and a moment more
        done = [pipe.readline() for _ in range(1 + int(steps))]
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = [*done, *pipe]
    sys.stdout.write(json.dumps([json.loads(each) for each in lines if each.endswith("\\n")]) + "\\n")
    sys.stdout.flush()
"""


def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(tmp_path: Path, record_property: Any) -> None:
    url = f"sqlite:///{tmp_path / 'openrek.db'}"
    database = Database.open(url)
    store = Collections(database)
    store.create(ACCOUNT, REGION, "c", "7.0", resource="arn", tags={})
    collection = store.page(ACCOUNT, REGION, limit=1)[0].number
    moments = random.Random(20240304)
    events: Counter[str] = Counter()
    state = State(database, collection)
    command = [sys.executable, "-c", KILLER, url, str(collection)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        for seed in range(KILLS):
            killer.stdin.write(f"{seed} {moments.randint(0, 12)} {moments.uniform(0, 0.02):.4f}\n")
            killer.stdin.flush()
            acknowledged = json.loads(killer.stdout.readline())
            assert acknowledged[0] == ["open"]
            events.update(kind for kind, *_ in acknowledged)
            state.check(seed, acknowledged)
        killer.stdin.close()
    database.close()
    record_property("kill -9 of a writer of faces", f"{KILLS} times, among {dict(events)}")
    assert min(events[kind] for kind in ("indexed", "deleted", "user", "associated", "left")) > 10


class State:
    """The database as its other users see it, and an index that keeps up with the changes over all crashes."""

    def __init__(self, database: Database, collection: int) -> None:
        self.database, self.collection = database, collection
        self.change = 0
        self.held: set[int] = set()

    def check(self, seed: int, acknowledged: list[list[Any]]) -> None:
        database, collection = self.database, self.collection
        stored = {face.face_id: face for face in Faces(database).page(collection, limit=1_000_000)}
        indexed = {face_id for kind, *rest in acknowledged if kind == "indexed" for face_id in rest[0]}
        deleted = {face_id for kind, *rest in acknowledged if kind == "deleted" for face_id in rest[0]}
        last = next((words[1] for words in reversed(acknowledged) if words[0] == "indexed"), [])
        # after the last acknowledgement one more step may have been done, of which nobody heard
        unsure = set(last[::3]) if acknowledged[-1][0] == "indexed" else set()
        assert indexed - deleted - unsure <= stored.keys()
        assert not deleted & stored.keys()
        assert len(unsure & stored.keys()) in (0, len(unsure))  # the deletion of a call: all or none
        pictures: Counter[tuple[str, str]] = Counter(
            (face.image_id, face.external_image_id or "")
            for face in stored.values()
            if face.face_id.startswith(f"{seed}-")
        )
        for (_, count), kept in pictures.items():
            whole = int(count)
            assert kept in (whole, whole - len(range(0, whole, 3)))  # the faces of a picture: all or none
        self.check_users(acknowledged, stored)
        self.check_sums(stored)

    def check_users(self, acknowledged: list[list[Any]], stored: dict[str, Any]) -> None:
        for position, (kind, *rest) in enumerate(acknowledged):
            if kind == "associated" and acknowledged[position + 1 :]:  # and what followed was acknowledged too
                user, ids = rest
                left = acknowledged[position + 1][2]
                found = Users(self.database).find(self.collection, user)
                expected = user if found is not None else None
                assert {stored[each].user_id for each in ids if each not in left} <= {expected}
                assert {stored[each].user_id for each in left} <= {None}

    def check_sums(self, stored: dict[str, Any]) -> None:
        """Counts are what they count, users' vectors are made of their faces, and the numbered changes tell it all."""
        with self.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA quick_check").all() == [("ok",)]
            members: dict[int, list[bytes]] = {}
            owned = select(faces_table.c.user_number, faces_table.c.vector).where(
                faces_table.c.user_number.is_not(None)
            )
            for number, vector in connection.execute(owned.order_by(faces_table.c.id)):
                members.setdefault(number, []).append(vector)
            rows = connection.execute(select(users_table)).all()
            assert connection.execute(select(func.count()).select_from(faces_table)).scalar() == len(stored)
        described = Collections(self.database).describe(ACCOUNT, REGION, "c")
        assert described is not None
        assert (described.face_count, described.user_count) == (len(stored), len(rows))
        for row in rows:
            vectors = members.pop(row.id, [])
            assert row.face_count == len(vectors)
            assert (row.vector is None) == (not vectors)
            if vectors:
                mean = unit(unpack(vectors).mean(axis=0, keepdims=True))[0]
                np.testing.assert_allclose(unpack([row.vector])[0], mean, atol=1e-6)
        assert not members
        changes = VectorChanges(self.database).since(self.collection, self.change)
        self.change = changes.upto
        self.held -= set(changes.removed.tolist())
        self.held |= set(changes.numbers.tolist())
        assert self.held == {face.number for face in stored.values()}
