"""A collection is made again with another face model, beside readers and writers: on SQLite and on PostgreSQL."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.erasure import erase_faces
from openrek.store.errors import CollectionMissingError
from openrek.store.face_crops import CropKey, FaceCrops
from openrek.store.faces import Faces, NewFace
from openrek.store.purge import purge_step
from openrek.store.reindex import Left, Reindexing, remaining
from openrek.store.schema import collections, faces, metadata
from openrek.store.tags import Tags
from openrek.store.users import Users
from openrek.store.vector_changes import Floats, VectorChanges
from tests.unit.test_portable import ARN, OWNER, fill, new_face, number_of

KEY = CropKey(bytes(range(32)))


def anew(face_id: str) -> Any:
    """The new model's vector of a face: 64 numbers."""
    return np.random.default_rng(int(face_id.replace("-", ""), 16) % 2**32).normal(size=64).astype(np.float32)


def vectors_of(portion: Sequence[Left]) -> Mapping[int, Floats]:
    return {face.number: anew(face.face_id) for face in portion}


def read_all(work: Reindexing) -> None:
    for portion in remaining(work):
        work.add(vectors_of(portion))


def finish(work: Reindexing) -> None:
    read_all(work)
    work.follow()
    assert work.switch(vectors_of)


def count(database: Database, table: str = "faces") -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar_one())


def purge(database: Database) -> None:
    while purge_step(database, grace=0):
        pass


def expected(made: Sequence[NewFace]) -> dict[str, Any]:
    return {face.face_id: anew(face.face_id) / np.linalg.norm(anew(face.face_id)) for face in made}


def stored(database: Database, number: int) -> dict[str, Any]:
    page = Faces(database).page(number, limit=10_000)
    found = Faces(database).get(number, [face.face_id for face in page], vectors=True)
    return {face_id: face.vector for face_id, face in found.items()}


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(np.allclose(one[name], two[name], atol=1e-6) for name in one)


def test_a_collection_is_made_again_in_place(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    before = {face.face_id: face for face in Faces(database).page(number, limit=99)}
    described = Collections(database).describe(*OWNER, "people")
    work = Reindexing.begin(database, number, "8.1")
    read_all(work)
    work.follow()
    assert same(stored(database, number), {f.face_id: f.vector / np.linalg.norm(f.vector) for f in made})  # untouched
    assert [each.collection_id for each in Collections(database).page(*OWNER, limit=9)] == ["people"]  # one is seen
    assert work.switch(vectors_of)

    found = Collections(database).find(*OWNER, "people")
    assert found is not None
    assert (found.number != number, found.face_model_version) == (True, "8.1")
    assert Collections(database).describe(*OWNER, "people") == described._replace(face_model_version="8.1")
    assert Tags(database).of(ARN + "people") == {"team": "prüfung"}
    assert same(stored(database, found.number), expected(made))
    for face in Faces(database).page(found.number, limit=99):
        old = before[face.face_id]
        assert (face.image_id, face.external_image_id, face.box, face.user_id, face.model_version) == (
            old.image_id,
            old.external_image_id,
            old.box,
            old.user_id,
            "8.1",
        )
    ada, nobody = (Users(database).find(found.number, name) for name in ("ada", "nobody"))
    assert ada is not None
    assert nobody is not None
    assert (ada.face_count, nobody.face_count, nobody.vector) == (3, 0, None)
    mean = np.mean(list(expected(made[:3]).values()), axis=0)
    assert ada.vector is not None
    assert np.allclose(ada.vector, mean / np.linalg.norm(mean), atol=1e-6)
    changes = VectorChanges(database).since(found.number, 0)
    assert changes.vectors.shape == (len(made), 64)

    # requests that began before still find the old vectors; nothing can be written there any more
    assert len(Faces(database).page(number, limit=99)) == len(made)
    with pytest.raises(CollectionMissingError):
        Faces(database).add(number, [new_face(99)])
    assert purge_step(database, grace=60) is None
    assert purge_step(database, grace=0) == (number, len(made) + 2, True)
    assert count(database) == len(made)


def test_what_was_begun_is_gone_on_with_and_another_version_begins_anew(database: Database) -> None:
    made = fill(database, count=150)
    number = number_of(database, "people")
    work = Reindexing.begin(database, number, "8.1")
    first = next(remaining(work))
    work.add(vectors_of(first))
    work.add(vectors_of(first))  # twice is once
    again = Reindexing.begin(database, number, "8.1")
    assert (again.copy, again.counts()) == (work.copy, (len(first), 150))
    assert {face.number for portion in remaining(again) for face in portion}.isdisjoint(f.number for f in first)
    other = Reindexing.begin(database, number, "9")
    assert other.counts() == (0, 150)
    with pytest.raises(CollectionMissingError):
        work.add(vectors_of(first))
    finish(other)
    assert same(stored(database, number_of(database, "people")), expected(made))
    purge(database)
    assert count(database) == 150
    assert count(database, "collections") == 1


def test_what_changes_meanwhile_comes_along(database: Database) -> None:
    made = fill(database, count=20)
    number = number_of(database, "people")
    work = Reindexing.begin(database, number, "8.1")
    read_all(work)
    work.follow()
    late = [new_face(seed, "late") for seed in range(30, 33)]
    Faces(database).add(number, late)
    Faces(database).delete(number, [made[10].face_id])
    with database.begin() as connection:
        users = Users(database)
        users.disassociate(connection, number, "ada", [made[0].face_id])
        users.delete(connection, number, "nobody")
        users.create(connection, number, "grace")
        users.associate(connection, number, "grace", [late[0].face_id, made[5].face_id], least=-1)
    assert work.switch(vectors_of)
    new = number_of(database, "people")
    rest = [face for face in [*made, *late] if face is not made[10]]
    assert same(stored(database, new), expected(rest))
    assert {user.user_id: user.face_count for user in users.page(new, limit=9)} == {"ada": 2, "grace": 2}
    for name, own in (("ada", made[1:3]), ("grace", [late[0], made[5]])):
        user = users.find(new, name)
        mean = np.mean(list(expected(own).values()), axis=0)
        assert user is not None
        assert user.vector is not None
        assert np.allclose(user.vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_faces_that_cannot_be_read_again_keep_the_switch_from_happening(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    work = Reindexing.begin(database, number, "8.1")
    without = {made[1].face_id, made[7].face_id}  # the first is ada's

    def blind(portion: Sequence[Left]) -> Mapping[int, Floats]:
        return vectors_of([face for face in portion if face.face_id not in without])

    newest = work.newest()
    for portion in remaining(work):
        work.add(blind(portion))
    work.follow()
    assert {face.face_id for face in work.left()} == without
    assert not work.switch(blind)
    assert number_of(database, "people") == number
    late = new_face(40)
    Faces(database).add(number, [late])
    without.add(late.face_id)
    assert not work.switch(blind, leave_out=newest)  # what came meanwhile is never left out
    without.remove(late.face_id)
    assert work.switch(blind, leave_out=newest)
    new = number_of(database, "people")
    assert stored(database, new).keys() == {face.face_id for face in [*made, late]} - without
    ada = Users(database).find(new, "ada")
    assert ada is not None
    assert ada.face_count == 2


def test_crops_come_along_and_go_with_faces_and_collections(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    crops = FaceCrops(database)
    kept = [new_face(seed, "kept") for seed in range(60, 64)]
    kept = [
        NewFace(f.face_id, f.image_id, f.external_image_id, f.box, 99, "7.0", f.vector, KEY.seal(f.face_id, b"crop"))
        for f in kept
    ]
    added = Faces(database).add(number, kept)
    assert crops.count(number) == 4
    (sealed,) = crops.sealed([added[0].number]).values()
    assert KEY.unseal(added[0].face_id, sealed) == b"crop"
    work = Reindexing.begin(database, number, "8.1")
    assert [face.sealed is not None for face in work.left()] == [False] * 12 + [True] * 4
    read_all(work)
    Faces(database).delete(number, [kept[0].face_id])  # from the copy too, at once
    assert erase_faces(database, number, face_id=kept[1].face_id).faces == [kept[1].face_id]
    assert count(database, "face_crops") == 4  # two faces, each twice
    finish(work)
    new = number_of(database, "people")
    purge(database)
    assert (crops.count(new), count(database, "face_crops")) == (2, 2)
    assert crops.forget(new) == 2
    assert count(database, "face_crops") == 0
    assert len(stored(database, new)) == len(made) + 2


def test_reading_the_rest_ends_although_faces_keep_coming(database: Database) -> None:
    made = fill(database, count=3)
    work = Reindexing.begin(database, number_of(database, "people"), "8.1")
    portions = []
    for portion in remaining(work):
        work.add(vectors_of(portion))
        Faces(database).add(work.number, [new_face(1000 + len(portions))])  # a writer as fast as the reading
        portions.append(len(portion))
    assert portions == [len(made)]
    assert len(work.left()) == 1


def test_deleting_a_collection_takes_its_unfinished_copy_along(database: Database) -> None:
    fill(database)
    number = number_of(database, "people")
    work = Reindexing.begin(database, number, "8.1")
    read_all(work)
    Collections(database).delete(*OWNER, "people", resource=ARN + "people")
    purge(database)
    assert (count(database), count(database, "collections"), count(database, "users")) == (0, 0, 0)
    with pytest.raises(CollectionMissingError):
        work.switch(vectors_of)
    with pytest.raises(CollectionMissingError):
        Reindexing.begin(database, number, "8.1")


def test_readers_see_the_old_or_the_new_and_no_writer_loses_a_face(database: Database) -> None:
    made = fill(database, count=300)
    acknowledged = [face.face_id for face in made]
    lock, stop = threading.Lock(), threading.Event()
    wrong: list[str] = []

    def write(seed: int) -> None:
        while not stop.is_set():
            face = new_face(seed)
            try:
                Faces(database).add(number_of(database, "people"), [face])
            except CollectionMissingError:  # switched just then: the service tries again
                continue
            with lock:
                acknowledged.append(face.face_id)
            time.sleep(0.002)

    def read() -> None:
        while not stop.is_set():
            found = Collections(database).find(*OWNER, "people")
            if found is None:
                wrong.append("the collection was away")
                continue
            sizes = {len(vector) for vector in stored(database, found.number).values()}
            if sizes != {128 if found.face_model_version == "7.0" else 64}:
                wrong.append(f"version {found.face_model_version} with vectors of {sizes}")

    threads = [threading.Thread(target=write, args=(1000 + n,)) for n in range(2)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        work = Reindexing.begin(database, number_of(database, "people"), "8.1")
        read_all(work)
        for _ in range(50):
            work.follow()
            if work.switch(vectors_of):
                break
            read_all(work)
        else:
            raise AssertionError("the writers kept the switch from happening")
        with database.read() as connection:  # some of what is written now has the new model's place
            versions = connection.execute(select(collections.c.face_model_version)).scalars().all()
        assert sorted(versions) == ["7.0", "8.1"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    new = number_of(database, "people")
    with database.read() as connection:
        there = set(connection.execute(select(faces.c.face_id).where(faces.c.collection_number == new)).scalars())
    assert there == set(acknowledged)
