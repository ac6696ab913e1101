"""Files of the search index that are lost, damaged, of another time, in use, or cannot be written."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from openrek.store.errors import CollectionMissingError
from openrek.store.vectors import EmbeddedSearch, embedded
from openrek.store.vectors.quantise import quantise
from openrek.store.vectors.segment import Segment
from tests.unit.test_vectors import check, look, search_in
from tests.unit.vectors_kit import COLLECTION, MemorySource, faces

QUERY = faces(1, seed=99)[0]


@pytest.fixture
def source() -> MemorySource:
    source = MemorySource(faces(3000))
    source.remove([5, 6])
    return source


def saved(tmp_path: Path, source: MemorySource) -> Path:
    """The folder of an index that a server left behind."""
    search = search_in(tmp_path, source)
    check(look(search, QUERY), source.truth(QUERY, 10))
    search.close()
    folder = tmp_path / "vectors" / "0" / f"{COLLECTION}-faces"
    assert (folder / "index.json").exists()
    return folder


def rebuilt(tmp_path: Path, source: MemorySource) -> bool:
    """Open again and search: whether the database was read from the start."""
    changes: list[int] = []
    since = source.since

    def record(collection: int, change: int, *rest: object, **more: object):
        changes.append(change)
        return since(collection, change, *rest, **more)

    source.since = record
    search = search_in(tmp_path, source)
    for limit in (1, 10, 4000):
        check(look(search, QUERY, limit), source.truth(QUERY, limit))
    search.close()
    source.since = since
    return 0 in changes


def the(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


def test_whole_files_are_used(tmp_path: Path, source: MemorySource) -> None:
    saved(tmp_path, source)
    assert not rebuilt(tmp_path, source)
    source.add(faces(10, seed=3))
    source.remove([17])
    assert not rebuilt(tmp_path, source)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "folder lost": shutil.rmtree,
    "header lost": lambda folder: (folder / "index.json").unlink(),
    "header empty": lambda folder: (folder / "index.json").write_bytes(b""),
    "header half": lambda folder: (folder / "index.json").write_bytes((folder / "index.json").read_bytes()[:50]),
    "header changed": lambda folder: (folder / "index.json").write_bytes(
        (folder / "index.json").read_bytes().replace(b"128", b"127")
    ),
    "header of another kind": lambda folder: (folder / "index.json").write_text(json.dumps([1, 2])),
    "rows lost": lambda folder: the(folder, "*.rows").unlink(),
    "rows empty": lambda folder: the(folder, "*.rows").write_bytes(b""),
    "rows cut": lambda folder: os.truncate(the(folder, "*.rows"), 5000),
    "rows zeroed": lambda folder: the(folder, "*.rows").write_bytes(bytes(the(folder, "*.rows").stat().st_size)),
    "a number changed": lambda folder: flip(the(folder, "*.rows"), 8 * 1000),
    "a code changed": lambda folder: flip(the(folder, "*.rows"), 8 * 3000 + 128 * 1234 + 5),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_made_again(tmp_path: Path, source: MemorySource, damage: str) -> None:
    DAMAGE[damage](saved(tmp_path, source))
    assert rebuilt(tmp_path, source)
    assert not rebuilt(tmp_path, source), "what was made again was not kept"


def test_removals_that_are_told_no_more(tmp_path: Path, source: MemorySource) -> None:
    saved(tmp_path, source)
    source.remove([3, 900])
    source.forget_removed()
    assert rebuilt(tmp_path, source)
    source.remove([4])
    assert not rebuilt(tmp_path, source)


def test_collections_that_another_process_deleted_leave_no_files(
    tmp_path: Path, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path, source)
    search = search_in(tmp_path, source)
    search.search(COLLECTION, faces(1)[0], limit=1, kind="faces")
    source.gone = True
    with pytest.raises(CollectionMissingError):
        search.search(COLLECTION + 1, faces(1)[0], limit=1, kind="faces")
    assert folder.exists()
    monkeypatch.setattr(embedded, "SWEEP_EVERY", 0.0)
    with pytest.raises(CollectionMissingError):
        search.search(COLLECTION + 1, faces(1)[0], limit=1, kind="faces")
    assert not folder.exists()
    search.close()


def test_leftovers_are_deleted(tmp_path: Path, source: MemorySource) -> None:
    folder = saved(tmp_path, source)
    (folder / "0123.rows").write_bytes(b"half")
    (folder / "index.json.ab12").write_bytes(b"half")
    assert not rebuilt(tmp_path, source)
    assert len(list(folder.iterdir())) == 2


def test_a_database_that_was_restored_to_an_earlier_time(tmp_path: Path, source: MemorySource) -> None:
    saved(tmp_path, source)
    earlier = MemorySource(faces(2000))
    assert rebuilt(tmp_path, earlier)


def test_a_database_that_was_restored_and_went_on(tmp_path: Path, source: MemorySource) -> None:
    saved(tmp_path, source)
    other = MemorySource(np.concatenate([faces(2000), faces(1500, seed=8)]))
    assert other.change > source.change
    assert rebuilt(tmp_path, other)


def test_another_database_with_the_same_count_of_changes(tmp_path: Path, source: MemorySource) -> None:
    saved(tmp_path, source)
    other = MemorySource(faces(source.change, seed=8))
    assert other.change == source.change
    assert rebuilt(tmp_path, other)


def test_a_second_process_has_files_of_its_own(tmp_path: Path, source: MemorySource) -> None:
    first, second = search_in(tmp_path, source), search_in(tmp_path, source)
    for search in (first, second):
        check(look(search, QUERY), source.truth(QUERY, 10))
    assert sorted(entry.name for entry in (tmp_path / "vectors").iterdir() if entry.is_dir()) == ["0", "1"]
    (number,) = source.add(QUERY[None])
    source.remove([40])
    for search in (second, first):
        assert look(search, QUERY, 1).numbers.tolist() == [number]
        check(look(search, QUERY, 3100), source.truth(QUERY, 3100))
    first.close()
    # a slot that nobody uses keeps nothing of a collection that is to be forgotten
    second.forget(COLLECTION)
    assert not list((tmp_path / "vectors" / "0").iterdir())
    second.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path, source: MemorySource, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "vectors").write_text("a file is in the way")
    with caplog.at_level(logging.WARNING):
        search = search_in(tmp_path, source)
        check(look(search, QUERY), source.truth(QUERY, 10))
    assert "in memory" in caplog.text
    (number,) = source.add(QUERY[None])
    assert look(search, QUERY, 1).numbers.tolist() == [number]
    search.close()


def test_a_disk_that_fills_up(
    tmp_path: Path, source: MemorySource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, source)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    source.add(faces(3000, seed=4))
    with caplog.at_level(logging.WARNING):
        assert not rebuilt(tmp_path, source)
    assert "No space left" in caplog.text
    monkeypatch.undo()
    assert not rebuilt(tmp_path, source), "the files from before the full disk are still good"
    assert (tmp_path / "vectors" / "0" / f"{COLLECTION}-faces" / "index.json").exists()


def test_indexes_beyond_the_most_that_stay_open(
    tmp_path: Path, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openrek.store.vectors.embedded.OPEN_INDEXES", 1)
    search = search_in(tmp_path, source)
    for seed in range(3):
        check(look(search, QUERY), source.truth(QUERY, 10))
        found = search.search(COLLECTION, QUERY, limit=5, kind="users")
        assert len(found.numbers) == 0
        source.add(faces(5, seed=seed))
    assert source.reads < 12
    search.close()


def test_a_removed_row_is_out_of_a_segment_at_once() -> None:
    segment = Segment(None, 8, 128)
    segment.append(np.array([3, 4, 5]), quantise(faces(3)))
    assert (segment.free, segment.verify()) == (5, 3)
    assert segment.remove(np.array([9, 4])) == 1
    assert segment.verify() == 2
    rows = segment.rows(0, 3)
    assert rows.numbers.tolist() == [3, -1, 5]
    assert np.isneginf(rows.errors[1])
    assert (rows.codes[1] == 128).all()


WORKER = """
    import random, sys, time
    import numpy as np
    from pathlib import Path
    from openrek.store.database import Database
    from openrek.store.faces import Faces, NewFace
    from openrek.store.vectors import EmbeddedSearch, StoredVectors
    from openrek.store.vectors import index, segment
    import openrek.store.vectors.index as index_module

    index_module.SAVE_AFTER = 20          # saves all the time, so that the kill falls into one
    home = Path(sys.argv[1])
    database = Database.open(f"sqlite:///{home / 'openrek.db'}")
    faces = Faces(database)
    search = EmbeddedSearch(home / "vectors", StoredVectors(database), cells_from=200)
    rng = np.random.default_rng()
    mine = []
    print("ready", flush=True)
    while True:
        vectors = rng.standard_normal((random.randint(1, 30), 128)).astype(np.float32)
        new = [NewFace(rng.bytes(16).hex()[:36], "i", None, (0, 0, 1, 1), 99.0, "7.0", v) for v in vectors]
        mine += [(face.face_id, face.vector) for face in new]
        faces.add(1, new)
        face_id, vector = random.choice(mine)
        assert len(search.search(1, vector, limit=1, kind="faces").numbers) == 1
        if random.random() < 0.3 and len(mine) > 50:
            gone = [mine.pop(random.randrange(len(mine)))[0] for _ in range(20)]
            faces.delete(1, gone)
            search.search(1, vector, limit=1, kind="faces")
"""


def test_kill_at_any_moment(tmp_path: Path) -> None:
    """A server that is killed while it writes: the next one answers what the database says, whatever files it finds."""
    from sqlalchemy import insert, select

    from openrek.store.database import Database
    from openrek.store.schema import collections
    from openrek.store.schema import faces as faces_table
    from openrek.store.vector_changes import unpack
    from openrek.store.vectors import StoredVectors

    database = Database.open(f"sqlite:///{tmp_path / 'openrek.db'}")
    row = {
        "id": 1,
        "account_id": "1",
        "region": "r",
        "collection_id": "c",
        "face_model_version": "7.0",
        "created_ms": 0,
    }
    with database.begin() as connection:
        connection.execute(insert(collections).values(row))
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    random = np.random.default_rng()
    kept = 0
    for _ in range(6):
        worker = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE)
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        time.sleep(float(random.uniform(0.05, 0.6)))
        assert worker.poll() is None, "the worker failed by itself"
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        kept += (tmp_path / "vectors" / "0" / "1-faces" / "index.json").exists()
        search = EmbeddedSearch(tmp_path / "vectors", StoredVectors(database), cells_from=10**9)
        with database.read() as connection:
            stored = connection.execute(select(faces_table.c.id, faces_table.c.vector)).all()
        vectors = unpack([entry.vector for entry in stored])
        for query in random.standard_normal((3, 128)).astype(np.float32):
            found = search.search(1, query, limit=4096, kind="faces")
            cosines = vectors.astype(np.float64) @ (query / np.linalg.norm(query))
            order = np.argsort(-cosines)[:4096]
            np.testing.assert_allclose(found.cosines, cosines[order], atol=1e-5)
            assert set(found.numbers.tolist()) == {stored[i].id for i in order}
        search.close()
    assert kept >= 3
    database.close()
