"""kill -9 at random moments of making a collection again: it is wholly the old one or wholly the new one, always."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.faces import Faces
from openrek.store.purge import purge_step
from openrek.store.schema import faces, users
from openrek.store.users import Users
from tests.unit.test_portable import OWNER, fill, number_of

KILLS = 30
FACES = 400

KILLER = """
import os, random, signal, sys, time
import numpy as np
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.purge import purge_step
from openrek.store.reindex import Reindexing, remaining

url = sys.argv[1]
SIZES = {"7.0": ("8.1", 64), "8.1": ("7.0", 128)}

def work():
    database = Database.open(url)
    while True:  # there and back again
        found = Collections(database).find("000000000000", "us-east-1", "people")
        version, size = SIZES[found.face_model_version]
        def vectors(portion):
            return {face.number: np.random.default_rng(face.number).normal(size=size).astype(np.float32)
                    for face in portion}
        task = Reindexing.begin(database, found.number, version)
        for portion in remaining(task):
            task.add(vectors(portion))
            os.write(theirs, b".")
        task.follow()
        os.write(theirs, b".")
        assert task.switch(vectors)
        os.write(theirs, b"s")
        while purge_step(database, grace=0):
            pass

for line in sys.stdin:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        work()
    os.close(theirs)
    steps, delay = line.split()
    with os.fdopen(ours, "rb", buffering=0) as pipe:
        # the reindexer is at work: let it do some steps, however fast this machine is, and a moment more
        done = b"".join(pipe.read(1) for _ in range(int(steps)))
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done += pipe.read()
    sys.stdout.write(f"{done.count(b's')}\\n")
    sys.stdout.flush()
"""


def test_the_collection_is_whole_at_any_moment(tmp_path: Path, record_property: Any) -> None:
    url = f"sqlite:///{tmp_path / 'openrek.db'}"
    database = Database.open(url)
    ids = {face.face_id for face in fill(database, count=FACES)}
    moments, switches, states = random.Random(20241123), 0, Counter[str]()
    command = [sys.executable, "-c", KILLER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        for _ in range(KILLS):
            killer.stdin.write(f"{moments.randint(1, 12)} {moments.uniform(0, 0.03):.4f}\n")
            killer.stdin.flush()
            switches += int(killer.stdout.readline())
            states[check(database, ids)] += 1
        killer.stdin.close()
    Collections(database).delete(*OWNER, "people", resource="arn")
    while purge_step(database, grace=0):
        pass
    with database.read() as connection:
        for table in (faces, users):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0  # nothing stayed behind
    database.close()
    record_property("kill -9 while a collection is made again", f"{KILLS} times, {switches} switches, {dict(states)}")
    assert switches >= 3


def check(database: Database, ids: set[str]) -> str:
    """Every face once, of one model, with its users; the version that it is of."""
    (listed,) = Collections(database).page(*OWNER, limit=9)
    described = Collections(database).describe(*OWNER, "people")
    assert described is not None
    assert (described.face_count, described.user_count) == (FACES, 2)
    number = number_of(database, "people")
    kept = Faces(database).page(number, limit=10 * FACES)
    assert {face.face_id for face in kept} == ids
    assert {face.model_version for face in kept} == {listed.face_model_version}
    vectors = Faces(database).get(number, list(ids), vectors=True)
    size = {"7.0": 128, "8.1": 64}[listed.face_model_version]
    assert {len(face.vector) for face in vectors.values() if face.vector is not None} == {size}
    ada = Users(database).find(number, "ada")
    assert ada is not None
    assert ada.vector is not None
    assert (ada.face_count, len(ada.vector)) == (3, size)
    assert sum(face.user_id == "ada" for face in kept) == 3
    return listed.face_model_version
