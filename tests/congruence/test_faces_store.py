"""Faces, users, tags and their numbered changes: one script on SQLite and on PostgreSQL."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

import numpy as np
import pytest
from sqlalchemy import event, func, select, text

from openrek.store import purge as purge_module
from openrek.store.collections import Collections, Description
from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError, ExistsError, FullError, UserMissingError
from openrek.store.faceless import FacelessPictures
from openrek.store.faces import Faces, NewFace
from openrek.store.purge import Purger, Step, purge_collection, purge_step
from openrek.store.schema import metadata
from openrek.store.tags import Tags
from openrek.store.users import Membership, Refusal, Users
from openrek.store.vector_changes import Kind, VectorChanges
from openrek.store.vectors import VectorSearch

ACCOUNT, REGION = "000000000000", "us-east-1"
ARN = "arn:aws:rekognition:us-east-1:000000000000:collection/{}"


def make(database: Database, name: str = "c", **tags: str) -> int:
    """The number of a new collection."""
    store = Collections(database)
    store.create(ACCOUNT, REGION, name, "7.0", resource=ARN.format(name), tags=tags)
    found = store.find(ACCOUNT, REGION, name)
    assert found is not None
    return found.number


def described(database: Database, name: str = "c") -> Description:
    found = Collections(database).describe(ACCOUNT, REGION, name)
    assert found is not None
    return found


def vector(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=128).astype(np.float32)


def unit(seed: int) -> Any:
    return vector(seed) / np.linalg.norm(vector(seed))


def face(seed: int, *, external: str | None = None, image: str = "image") -> NewFace:
    face_id = str(uuid5(UUID(int=7), f"{seed} {external}"))
    return NewFace(face_id, image, external, (-0.1, 0.2, 0.3, 1.1), 99.5, "7.0", vector(seed))


def create_user(database: Database, collection: int, user_id: str, **limits: int) -> None:
    with database.begin() as connection:
        Users(database).create(connection, collection, user_id, **limits)


def associate(database: Database, collection: int, user_id: str, ids: list[str], least: float = -1) -> Membership:
    with database.begin() as connection:
        return Users(database).associate(connection, collection, user_id, ids, least=least)


def disassociate(database: Database, collection: int, user_id: str, ids: list[str]) -> Membership:
    with database.begin() as connection:
        return Users(database).disassociate(connection, collection, user_id, ids)


def delete_user(database: Database, collection: int, user_id: str) -> None:
    with database.begin() as connection:
        Users(database).delete(connection, collection, user_id)


class Replica:
    """An index that keeps up with the changes of a collection, in steps of `limit`."""

    def __init__(self, database: Database, collection: int, kind: Kind, limit: int = 3) -> None:
        self.changes = VectorChanges(database)
        self.collection, self.kind, self.limit = collection, kind, limit
        self.change = 0
        self.vectors: dict[int, Any] = {}

    def catch_up(self) -> dict[int, Any]:
        newest = self.changes.newest(self.collection)
        assert newest is not None
        while self.change < newest:
            changes = self.changes.since(self.collection, self.change, self.kind, limit=self.limit)
            assert changes.upto > self.change
            self.change = changes.upto
            for number in changes.removed:
                self.vectors.pop(int(number), None)
            self.vectors.update(zip(changes.numbers.tolist(), changes.vectors, strict=True))
        return self.vectors


# --- collections and tags -------------------------------------------------------------------------------------------


def test_a_collection_comes_and_goes(database: Database) -> None:
    store = Collections(database)
    number = make(database, a="1", b="")
    assert described(database)[2:] == (0, 0)
    with pytest.raises(ExistsError):
        make(database)
    make(database, "C")  # another name
    assert Tags(database).of(ARN.format("c")) == {"a": "1", "b": ""}
    assert store.delete(ACCOUNT, "eu-west-1", "c", resource=ARN.format("c")) is None
    assert store.delete(ACCOUNT, REGION, "c", resource=ARN.format("c")) == number
    assert store.delete(ACCOUNT, REGION, "c", resource=ARN.format("c")) is None
    assert store.find(ACCOUNT, REGION, "c") is None
    assert store.describe(ACCOUNT, REGION, "c") is None
    assert Tags(database).of(ARN.format("c")) == {}
    assert make(database) > number
    assert [each.collection_id for each in store.page(ACCOUNT, REGION, limit=9)] == ["C", "c"]


def test_too_many_tags_leave_no_collection_behind(database: Database) -> None:
    store = Collections(database)
    with pytest.raises(FullError):
        store.create(ACCOUNT, REGION, "c", "7.0", resource="arn", tags={"a": "", "b": ""}, tag_limit=1)
    assert store.find(ACCOUNT, REGION, "c") is None
    assert Tags(database).of("arn") == {}


def rows(database: Database) -> dict[str, int]:
    """How many rows the tables have that have any."""
    with database.read() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
    return {name: count for name, count in counts.items() if count}


def test_deleting_a_collection_leaves_no_row(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_module, "BATCH", 4)
    number = make(database, tag="x")
    new = [face(seed) for seed in range(11)]
    Faces(database).add(number, new)
    create_user(database, number, "u")
    associate(database, number, "u", [each.face_id for each in new[:3]])
    disassociate(database, number, "u", [new[0].face_id])
    Faces(database).delete(number, [new[0].face_id])
    FacelessPictures(database).note(number, "dark", "with")
    kept = make(database, "kept")
    Faces(database).add(kept, [face(1)])
    Collections(database).delete(ACCOUNT, REGION, "c", resource=ARN.format("c"))
    with pytest.raises(CollectionMissingError):  # before a row is gone
        Faces(database).add(number, [face(50)])
    with pytest.raises(CollectionMissingError):
        create_user(database, number, "u")
    FacelessPictures(database).note(number, "later", "with")
    steps = []
    while step := purge_step(database):
        steps.append(step)
    # ten faces, a user, the record of a removed face, a picture without one
    assert steps == [(number, 4, False), (number, 4, False), (number, 4, False), (number, 1, True)]
    assert rows(database) == {"collections": 1, "faces": 1}


def test_deleting_waits_for_no_row(database: Database) -> None:
    store = Collections(database)
    numbers = [make(database, name) for name in ("one", "two")]
    for number in numbers:
        Faces(database).add(number, [face(seed) for seed in range(5)])
        create_user(database, number, "u")
    for name in ("one", "two"):
        store.delete(ACCOUNT, REGION, name, resource=ARN.format(name))
    assert rows(database) == {"collections": 2, "faces": 10, "users": 2}  # neither its own nor others'
    again = make(database, "one")  # and its name is free
    Faces(database).add(again, [face(1)])
    purge_collection(database, numbers[1])
    assert rows(database) == {"collections": 2, "faces": 6, "users": 1}
    purge_collection(database, again)  # which is not deleted
    while purge_step(database):
        pass
    assert rows(database) == {"collections": 1, "faces": 1}


def test_servers_take_turns_at_what_was_deleted(
    database: Database, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_module, "BATCH", 7)
    for name in "abcd":
        Faces(database).add(make(database, name), [face(seed) for seed in range(40)])
        create_user(database, make(database, name * 2), "u")
    for name in "abcd":
        Collections(database).delete(ACCOUNT, REGION, name, resource=ARN.format(name))
    other = Database.open(address)

    def work(of: Database) -> list[Step]:
        steps = []
        while step := purge_step(of):
            steps.append(step)
        return steps

    with ThreadPoolExecutor(2) as pool:
        steps = [step for done in pool.map(work, (database, other)) for step in done]
    other.close()
    assert sum(step.rows for step in steps) == 160
    assert sorted(step.number for step in steps if step.done) == sorted({step.number for step in steps})
    assert rows(database) == {"collections": 4, "users": 4}


class Forgetful:
    """A vector search that notes what it is told."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []
        self.swept = threading.Event()

    def forget(self, collection: int) -> None:
        self.forgotten.append(collection)

    def sweep(self) -> None:
        self.swept.set()


def test_a_purger_deletes_in_the_background_and_what_another_left(database: Database) -> None:
    number = make(database)
    Faces(database).add(number, [face(seed) for seed in range(5)])
    Collections(database).delete(ACCOUNT, REGION, "c", resource=ARN.format("c"))
    vectors = Forgetful()
    purger = Purger(database, cast(VectorSearch, vectors))
    purger.wake()
    assert vectors.swept.wait(60)
    assert (vectors.forgotten, rows(database)) == ([number], {})
    more = make(database)
    Faces(database).add(more, [face(1)])
    Collections(database).delete(ACCOUNT, REGION, "c", resource=ARN.format("c"))
    vectors.swept.clear()
    purger.wake()
    assert vectors.swept.wait(60)
    purger.close()
    assert (vectors.forgotten, rows(database)) == ([number, more], {})
    purger.wake()  # a request that was late
    assert threading.active_count() == len([thread for thread in threading.enumerate() if thread.name != "purge"])


def test_a_purger_that_is_closed_leaves_the_rest_to_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_module, "BATCH", 2)
    number = make(database)
    Faces(database).add(number, [face(seed) for seed in range(5)])
    Collections(database).delete(ACCOUNT, REGION, "c", resource=ARN.format("c"))
    purger = Purger(database, cast(VectorSearch, Forgetful()))
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        purger.close()

    assert purger.purge(progress=stop) == []
    assert (told, rows(database)) == ([(2, 5)], {"collections": 1, "faces": 3})
    assert Purger(database, cast(VectorSearch, Forgetful())).purge() == [number]
    assert rows(database) == {}


def test_tags_are_set_replaced_and_removed(database: Database) -> None:
    tags = Tags(database)

    def put(**values: str) -> None:
        with database.begin() as connection:
            tags.put(connection, "arn:1", values, limit=3)

    put(b="1", a="2")
    put(b="3", ü="4")
    assert tags.of("arn:1") == {"a": "2", "b": "3", "ü": "4"}
    with pytest.raises(FullError):
        put(c="5", a="9")
    assert tags.of("arn:1")["a"] == "2"
    with database.begin() as connection:
        tags.remove(connection, "arn:1", ["b", "no-such"])
    assert tags.of("arn:1") == {"a": "2", "ü": "4"}
    assert tags.of("arn:2") == {}


# --- faces ------------------------------------------------------------------------------------------------------------


def test_faces_are_kept_as_they_were_given(database: Database) -> None:
    number, store = make(database), Faces(database)
    new = face(1, external="me:1")
    (kept,) = store.add(number, [new])
    assert (kept.face_id, kept.image_id, kept.external_image_id) == (new.face_id, "image", "me:1")
    assert (kept.box, kept.confidence, kept.model_version, kept.user_id) == (new.box, 99.5, "7.0", None)
    found = store.get(number, [new.face_id, "no-such"], vectors=True)[new.face_id]
    np.testing.assert_allclose(found.vector, unit(1), rtol=1e-6)
    assert found.number == kept.number
    assert store.numbered(number, [kept.number, 999])[kept.number].face_id == new.face_id
    assert store.get(make(database, "other"), [new.face_id]) == {}


def test_a_face_is_added_once(database: Database) -> None:
    number, store = make(database), Faces(database)
    first = store.add(number, [face(1), face(2)])
    again = store.add(number, [face(2), face(3), face(3), face(1)])
    assert [each.number for each in again[::3]] == [first[1].number, first[0].number]
    assert again[1].number == again[2].number
    assert described(database).face_count == 3
    other = make(database, "other")
    assert store.add(other, [face(1)])[0].face_id == first[0].face_id  # the same id in another collection


def test_a_full_collection_takes_all_or_nothing(database: Database) -> None:
    number, store = make(database), Faces(database)
    store.add(number, [face(1)], limit=2)
    with pytest.raises(FullError):
        store.add(number, [face(2), face(3)], limit=2)
    assert [each.face_id for each in store.page(number, limit=9)] == [face(1).face_id]
    assert described(database).face_count == 1
    assert len(store.add(number, [face(1), face(2)], limit=2)) == 2


def test_pages_and_filters(database: Database) -> None:
    number, store = make(database), Faces(database)
    ids = sorted(each.face_id for each in store.add(number, [face(seed) for seed in range(10)]))
    create_user(database, number, "u")
    associate(database, number, "u", ids[2:6])
    seen: list[str] = []
    while page := store.page(number, after=seen[-1] if seen else "", limit=4):
        seen += [each.face_id for each in page]
    assert seen == ids
    assert [each.face_id for each in store.page(number, limit=9, user_id="u")] == ids[2:6]
    assert {each.user_id for each in store.page(number, limit=9, user_id="u")} == {"u"}
    assert [each.face_id for each in store.page(number, limit=9, user_id="u", face_ids=[*ids[5:], "x"])] == [ids[5]]
    assert store.page(number, limit=9, user_id="nobody") == []
    assert store.page(number, limit=9, face_ids=[]) == []


def test_faces_of_a_user_are_looked_up_by_the_user(database: Database) -> None:
    """Not among all faces of the collection: that takes seconds among half a million."""
    number, store = make(database), Faces(database)
    ids = [each.face_id for each in store.add(number, [face(seed) for seed in range(3)])]
    create_user(database, number, "u")
    associate(database, number, "u", ids[:1])
    other = make(database, "other")
    create_user(database, other, "u")
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    assert len(store.page(number, limit=9, user_id="u")) == 1
    assert store.page(other, limit=9, user_id="u") == []
    asked_before = len(asked)
    assert store.page(number, limit=9, user_id="nobody") == []
    event.remove(database.engine, "before_cursor_execute", note)
    assert not any("FROM faces" in statement for statement, _ in asked[asked_before:])
    (statement, parameters), _ = (each for each in asked if "FROM faces" in each[0])
    with database.read() as connection:
        if database.embedded:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a table this small is read whole
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
    assert "ix_faces_user_number" in str(plan)


def test_pictures_without_a_face(database: Database) -> None:
    number, other, faceless = make(database), make(database, "other"), FacelessPictures(database)
    assert not faceless.has(number, "dark", "1")
    for _ in range(2):
        faceless.note(number, "dark", "1")
    assert faceless.has(number, "dark", "1")
    assert not faceless.has(number, "dark", "2")
    assert not faceless.has(number, "light", "1")
    assert not faceless.has(other, "dark", "1")
    faceless.note(number, "dark", "2")  # in place of the other look
    assert (faceless.has(number, "dark", "1"), faceless.has(number, "dark", "2")) == (False, True)
    faceless.note(999, "dark", "1")  # no such collection
    assert rows(database)["faceless_pictures"] == 1


def test_faces_of_a_picture(database: Database) -> None:
    number, store = make(database), Faces(database)
    store.add(number, [face(1), face(2, external="a"), face(3, external="a"), face(4, image="other")])
    assert [each.face_id for each in store.of_image(number, "image", "a")] == [
        face(seed, external="a").face_id for seed in (2, 3)
    ]
    assert [each.face_id for each in store.of_image(number, "image", None)] == [face(1).face_id]
    assert store.of_image(number, "image", "b") == []


def test_the_planner_keeps_no_samples_of_what_is_personal(database: Database) -> None:
    if database.embedded:
        pytest.skip("SQLite's statistics are counts")
    collection = make(database)
    Faces(database).add(collection, [face(seed, external=f"person-{seed % 3}") for seed in range(30)])
    with database.begin() as connection:
        connection.exec_driver_sql("ANALYZE faces")
    with database.read() as connection:
        sampled = connection.exec_driver_sql("SELECT attname FROM pg_stats WHERE tablename = 'faces'").scalars().all()
    assert "image_id" in sampled
    assert not {"vector", "external_image_id"} & set(sampled)


def test_deleting_faces(database: Database) -> None:
    number, store = make(database), Faces(database)
    ids = [each.face_id for each in store.add(number, [face(seed) for seed in range(4)])]
    create_user(database, number, "u")
    associate(database, number, "u", [ids[1]])
    deletion = store.delete(number, [ids[3], "no-such", ids[1], ids[0], ids[3]])
    assert deletion == ([ids[3], ids[0]], ["no-such"], [(ids[1], "u")])
    assert described(database).face_count == 2
    assert store.delete(number, ids[3:]).unknown == ids[3:]
    disassociate(database, number, "u", [ids[1]])
    assert store.delete(number, [ids[1]]).deleted == [ids[1]]
    assert [each.face_id for each in store.page(number, limit=9)] == [ids[2]]


def test_4096_faces_in_one_question(database: Database) -> None:
    number, store = make(database), Faces(database)
    ids = [each.face_id for each in store.add(number, [face(seed) for seed in range(100)])]
    asked = [*ids, *(str(uuid5(UUID(int=9), str(n))) for n in range(3996))]
    assert len(store.page(number, limit=4097, face_ids=asked)) == 100
    assert len(store.delete(number, asked).unknown) == 3996


# --- users ------------------------------------------------------------------------------------------------------------


def test_the_life_of_a_user(database: Database) -> None:
    number, users = make(database), Users(database)
    ids = [each.face_id for each in Faces(database).add(number, [face(seed) for seed in range(3)])]
    create_user(database, number, "u")
    create_user(database, number, "U")
    with pytest.raises(ExistsError):
        create_user(database, number, "u")
    assert described(database).user_count == 2
    found = users.find(number, "u")
    assert found is not None
    assert (found.face_count, found.vector) == (0, None)
    assert associate(database, number, "u", ids[:2]).face_count == 2
    found = users.find(number, "u")
    assert found is not None
    mean = unit(0) + unit(1)
    np.testing.assert_allclose(found.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert users.factors([found.number, 999]) == {found.number: pytest.approx(float(np.linalg.norm(mean / 2)) ** 0.75)}
    assert disassociate(database, number, "u", [ids[0]]).face_count == 1
    found = users.find(number, "u")
    assert found is not None
    np.testing.assert_allclose(found.vector, unit(1), atol=1e-6)
    assert users.factors([found.number]) == {found.number: 1}
    delete_user(database, number, "u")
    assert users.find(number, "u") is None
    assert described(database).user_count == 1
    assert [each.user_id for each in Faces(database).page(number, limit=9)] == [None] * 3
    with pytest.raises(UserMissingError):
        delete_user(database, number, "u")
    create_user(database, number, "u")  # the name is free again


def test_what_can_keep_a_face_from_a_user(database: Database) -> None:
    number = make(database)
    near = NewFace("near", "i", None, (0, 0, 1, 1), 99, "7.0", vector(0) + 0.1 * vector(9))
    new = [face(0), near, face(1), face(2)]
    a, b, stranger, other = (each.face_id for each in Faces(database).add(number, new))
    for name in ("u", "other"):
        create_user(database, number, name)
    associate(database, number, "other", [other])
    # the first face is taken at any threshold, the second is held against it
    result = associate(database, number, "u", [a, stranger, b, "no-such", other, a], least=0.9)
    assert (result.changed, result.face_count) == ([a, b], 2)
    low, unknown, owned = result.refused
    assert (low.face_id, low.reason, low.user_id) == (stranger, "LOW_MATCH_CONFIDENCE", None)
    assert low.cosine == pytest.approx(float(unit(1) @ unit(0)), abs=1e-5)
    assert unknown == Refusal("no-such", "FACE_NOT_FOUND")
    assert owned == Refusal(other, "ASSOCIATED_TO_A_DIFFERENT_USER", user_id="other")
    again = associate(database, number, "u", [a, b], least=0.9)
    assert (again.changed, again.refused, again.face_count) == ([], [], 2)
    taken = disassociate(database, number, "u", [other, "no-such", stranger])
    assert (taken.changed, taken.face_count) == ([], 2)
    assert taken.refused == [
        Refusal(other, "ASSOCIATED_TO_A_DIFFERENT_USER", user_id="other"),
        Refusal("no-such", "FACE_NOT_FOUND"),
    ]
    with pytest.raises(UserMissingError):
        associate(database, number, "nobody", [a])


def test_a_user_has_at_most_100_faces(database: Database) -> None:
    number = make(database)
    ids = [each.face_id for each in Faces(database).add(number, [face(seed) for seed in range(102)])]
    create_user(database, number, "u")
    associate(database, number, "u", ids[:99])
    with pytest.raises(FullError):
        associate(database, number, "u", ids[99:])
    assert len(Faces(database).page(number, limit=200, user_id="u")) == 99
    assert associate(database, number, "u", ids[:100]).face_count == 100
    assert associate(database, number, "u", ids[:100]).face_count == 100  # nothing new: no error
    with pytest.raises(FullError):
        associate(database, number, "u", [ids[101]])


def test_pages_and_quota_of_users(database: Database) -> None:
    number, users = make(database), Users(database)
    names = ["b", "a", "c", "e", "d"]
    for name in names:
        create_user(database, number, name, limit=5)
    with pytest.raises(FullError):
        create_user(database, number, "f", limit=5)
    seen: list[str] = []
    after = 0
    while page := users.page(number, after=after, limit=2):
        seen += [each.user_id for each in page]
        after = page[-1].number
    assert seen == names
    numbers = [each.number for each in users.page(number, limit=9)]
    assert users.numbered(number, [numbers[1], 999])[numbers[1]].user_id == "a"


# --- several servers, older databases ---------------------------------------------------------------------------------


def test_two_servers_see_each_others_writes(database: Database, address: str) -> None:
    other = Database.open(address)
    number = make(database)
    replica = Replica(other, number, "faces")
    for step in range(3):
        Faces(database).add(number, [face(step)])
        assert described(other).face_count == step + 1
        assert len(replica.catch_up()) == step + 1
    create_user(other, number, "u")
    assert associate(database, number, "u", [face(0).face_id]).face_count == 1
    assert Faces(other).delete(number, [face(0).face_id]).of_users == [(face(0).face_id, "u")]
    Collections(other).delete(ACCOUNT, REGION, "c", resource=ARN.format("c"))
    with pytest.raises(CollectionMissingError):
        Faces(database).add(number, [face(9)])
    other.close()


def test_the_same_picture_on_two_servers_at_once_is_one_face(database: Database, address: str) -> None:
    number, other = make(database), Database.open(address)
    stores = [Faces(database), Faces(other)] * 4
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda store: store.add(number, [face(1), face(2)]), stores))
    assert len({each.number for each_call in added for each in each_call}) == 2
    assert described(database).face_count == 2
    other.close()


def test_a_database_of_the_first_revision_is_brought_up_to_date(address: str) -> None:
    from alembic import command
    from alembic.config import Config

    from openrek.store import database as module

    opened = Database.open(address)  # makes the file of SQLite
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with opened.begin() as connection:
        for table in [*reversed(metadata.sorted_tables), "alembic_version"]:
            connection.execute(text(f"DROP TABLE {table}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        columns = "account_id, region, collection_id, face_model_version, created_ms"
        connection.execute(text(f"INSERT INTO collections ({columns}) VALUES ('{ACCOUNT}', '{REGION}', 'c', '7.0', 5)"))
    opened.close()
    upgraded = Database.open(address)
    assert described(upgraded) == ("7.0", 5, 0, 0)
    found = Collections(upgraded).find(ACCOUNT, REGION, "c")
    assert found is not None
    assert len(Faces(upgraded).add(found.number, [face(1)])) == 1
    assert described(upgraded).face_count == 1
    upgraded.close()


# --- changes ----------------------------------------------------------------------------------------------------------


def test_a_replica_follows_every_change(database: Database) -> None:
    """Random writes; after each, what a replica holds is what the tables hold."""
    number, other = make(database), make(database, "other")
    Faces(database).add(other, [face(1)])
    changes = VectorChanges(database)
    assert changes.newest(number) == 0
    assert changes.newest(999) is None
    with pytest.raises(CollectionMissingError):
        changes.since(999, 0)
    chance = random.Random(20240301)
    replicas: list[Replica] = [Replica(database, number, "faces"), Replica(database, number, "users", limit=2)]
    store, users = Faces(database), Users(database)
    for name in "uvw":
        create_user(database, number, name)
    actions: list[Callable[[list[str], str], object]] = [
        lambda ids, _: store.add(number, [face(chance.randrange(1000)) for _ in range(chance.randrange(1, 6))]),
        lambda ids, _: store.delete(number, ids[:3]),
        lambda ids, name: associate(database, number, name, ids[:3]),
        lambda ids, name: disassociate(database, number, name, ids[: chance.choice([2, 100])]),
    ]
    for step in range(60):
        ids = [each.face_id for each in store.page(number, limit=999)]
        chance.shuffle(ids)
        if ids or step == 0:
            chance.choices(actions, [3, 1, 2, 2])[0](ids or ["none"], chance.choice("uvw"))
        if chance.random() < 0.5:
            check_replicas(replicas, store, users, number)
    check_replicas(replicas, store, users, number)
    assert len(replicas[0].vectors) > 20
    assert replicas[1].vectors
    for kind in ("faces", "users"):
        fresh = Replica(database, number, kind, limit=4)
        assert fresh.catch_up().keys() == replicas[kind == "users"].vectors.keys()


def check_replicas(replicas: list[Replica], store: Faces, users: Users, number: int) -> None:
    faces_now, users_now = (replica.catch_up() for replica in replicas)
    stored = store.page(number, limit=999)
    assert faces_now.keys() == {each.number for each in stored}
    found = [users.find(number, name) for name in "uvw"]
    truth = {user.number: user.vector for user in found if user is not None and user.vector is not None}
    assert users_now.keys() == truth.keys()
    for key, value in truth.items():
        np.testing.assert_array_equal(users_now[key], value)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_eight_writers_and_eight_readers(database: Database, stop: threading.Event) -> None:
    """Nobody meets an error, no face is lost, and a replica that looks in between always holds a true state."""
    number, store = make(database), Faces(database)
    written: list[list[str]] = [[] for _ in range(8)]

    def write(writer: int) -> None:
        for step in range(8):
            new = [face(writer * 1000 + step * 10 + n, external=f"w{writer}") for n in range(3)]
            ids = [each.face_id for each in store.add(number, new)]
            assert store.delete(number, ids[:1]).deleted == ids[:1]
            written[writer] += ids[1:]
            if step == 5:
                create_user(database, number, f"u{writer}")
                assert associate(database, number, f"u{writer}", ids).changed == ids[1:]

    def read(_: int) -> int:
        replica, looks = Replica(database, number, "faces", limit=50), 0
        while not stop.is_set():
            acknowledged = [set(ids) for ids in written]
            held = replica.catch_up()
            rows = store.numbered(number, held)
            seen = {row.face_id for row in rows.values()}
            assert all(ids <= seen for ids in acknowledged)  # read after write
            looks += 1
        assert len(replica.catch_up()) == 8 * 8 * 2
        return looks

    with ThreadPoolExecutor(16) as pool:
        readers = [pool.submit(read, n) for n in range(8)]
        writers = [pool.submit(write, n) for n in range(8)]
        try:
            for future in writers:
                future.result(timeout=120)
        finally:
            stop.set()
        assert all(future.result(timeout=120) >= 1 for future in readers)
    assert {each.face_id for each in store.page(number, limit=999)} == {one for ids in written for one in ids}
    assert described(database)[2:] == (8 * 8 * 2, 8)
