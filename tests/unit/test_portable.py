"""A collection as one file and back, damaged files, and the erasure of a person's faces."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import event, insert, select, update

from openrek.store import portable
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.erasure import erase_faces
from openrek.store.errors import CollectionMissingError, ExistsError
from openrek.store.faces import Faces, NewFace
from openrek.store.portable import PortableFileError, export_collection, import_collection
from openrek.store.schema import collections, faces, request_tokens
from openrek.store.tags import Tags
from openrek.store.users import Users
from openrek.store.vector_changes import VectorChanges, pack
from openrek.store.vectors import EmbeddedSearch, StoredVectors

OWNER = ("000000000000", "us-east-1")
ARN = "arn:aws:rekognition:us-east-1:000000000000:collection/"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'home' / 'openrek.db'}")
    yield database
    database.close()


def new_face(seed: int, external: str | None = None) -> NewFace:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    box = (0.1, 0.2, 0.3 + seed / 1000, 0.4)
    return NewFace(str(uuid4()), str(uuid4()), external, box, 99.5, "7.0", vector)


def number_of(database: Database, name: str) -> int:
    found = Collections(database).find(*OWNER, name)
    assert found is not None
    return found.number


def fill(database: Database, name: str = "people", count: int = 12) -> list[NewFace]:
    """A collection with faces (externally person-0 … person-3), and the user ada with the first three."""
    Collections(database).create(*OWNER, name, "7.0", resource=ARN + name, tags={"team": "prüfung"})
    number = number_of(database, name)
    made = [new_face(seed, f"person-{seed % 4}" if seed else None) for seed in range(count)]
    Faces(database).add(number, made)
    with database.begin() as connection:
        Users(database).create(connection, number, "ada")
        Users(database).create(connection, number, "nobody")
        Users(database).associate(connection, number, "ada", [face.face_id for face in made[:3]], least=-1)
    return made


def export(database: Database, path: Path, name: str = "people") -> None:
    export_collection(database, *OWNER, name, resource=ARN + name, path=path)


def load(database: Database, path: Path, name: str = "people") -> None:
    import_collection(database, *OWNER, name, resource=ARN + name, path=path)


def contents(database: Database, name: str) -> object:
    """All of a collection but the store's own numbers."""
    number = number_of(database, name)
    listed = Faces(database).page(number, limit=1000)
    vectors = Faces(database).get(number, [face.face_id for face in listed], vectors=True)
    rows = []
    for face in listed:
        vector = vectors[face.face_id].vector
        assert vector is not None
        rows.append((face.face_id, face.image_id, face.external_image_id, face.box, face.user_id, vector.tobytes()))
    people = []
    for user in Users(database).page(number, limit=1000):
        found = Users(database).find(number, user.user_id)
        assert found is not None
        people.append((user.user_id, user.face_count, None if found.vector is None else found.vector.tobytes()))
    return rows, people, Tags(database).of(ARN + name), Collections(database).describe(*OWNER, name)


def leftovers(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(collections.c.account_id)).scalars())


# --- there and back ---------------------------------------------------------------------------------------------------


def test_export_delete_import_is_the_same_collection(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "BATCH", 5)
    fill(database)
    before = contents(database, "people")
    export(database, tmp_path / "people.jsonl")
    Collections(database).delete(*OWNER, "people", resource=ARN + "people")
    load(database, tmp_path / "people.jsonl")
    assert contents(database, "people") == before
    assert len(VectorChanges(database).since(number_of(database, "people"), 0).numbers) == 12
    assert len(VectorChanges(database).since(number_of(database, "people"), 0, "users").numbers) == 1


def test_an_empty_collection_and_another_database(database: Database, tmp_path: Path) -> None:
    Collections(database).create(*OWNER, "empty", "7.0", resource=ARN + "empty", tags={})
    export(database, tmp_path / "empty.jsonl", "empty")
    other = Database.open(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        load(other, tmp_path / "empty.jsonl", "new-name")
        assert contents(other, "new-name") == contents(database, "empty")
    finally:
        other.close()


def test_the_file_is_private_and_leaves_no_part(database: Database, tmp_path: Path) -> None:
    fill(database)
    folder = tmp_path / "out"
    folder.mkdir()
    export(database, folder / "people.jsonl")
    with pytest.raises(CollectionMissingError):
        export(database, folder / "no.jsonl", "no-such")
    assert [path.name for path in folder.iterdir()] == ["people.jsonl"]
    assert (folder / "people.jsonl").stat().st_mode & 0o777 == 0o600
    header = json.loads((folder / "people.jsonl").read_text().splitlines()[0])
    assert header["format"] == "openrek-collection"
    assert (header["faces"], header["users"], header["dimensions"]) == (12, 2, 128)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_collection_that_exists_is_left_alone(database: Database, tmp_path: Path) -> None:
    fill(database)
    before = contents(database, "people")
    export(database, tmp_path / "people.jsonl")
    with pytest.raises(ExistsError, match="people"):
        load(database, tmp_path / "people.jsonl")
    assert contents(database, "people") == before


def edited(lines: list[str], kind: str) -> tuple[list[str], str]:
    """A damaged file, and what its refusal says."""
    if kind == "cut":
        return lines[:-1], "cut off"
    if kind == "half a line":
        return [*lines[:5], lines[5][:40]], "damaged in line 6"
    if kind == "a changed digit":
        return [line.replace('"confidence":99.5', '"confidence":98.5') for line in lines], "SHA-256"
    if kind == "more behind the end":
        return [*lines, lines[3]], "counts"
    if kind == "a later version":
        return [lines[0].replace('"version":1', '"version":2'), *lines[1:]], "another format version"
    if kind == "no export":
        return ["hello"], "no exported collection"
    if kind == "a broken header":
        return [lines[0].replace('"users"', '"usrs"'), *lines[1:]], "no valid users"
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    ["cut", "half a line", "a changed digit", "more behind the end", "a later version", "no export", "a broken header"],
)
def test_a_damaged_file_is_refused_and_nothing_is_left(database: Database, tmp_path: Path, kind: str) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    lines, sentence = edited((tmp_path / "people.jsonl").read_text().splitlines(), kind)
    (tmp_path / "bad.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(PortableFileError, match=sentence):
        load(database, tmp_path / "bad.jsonl", "copy")
    assert leftovers(database) == [OWNER[0]]
    with database.read() as connection:
        assert len(connection.execute(select(faces.c.id)).all()) == 12


def resealed(lines: list[str]) -> str:
    """Lines with the end line that proves them."""
    data = "".join(line + "\n" for line in lines[:-1])
    return data + json.dumps({"type": "end", "sha256": hashlib.sha256(data.encode()).hexdigest()}) + "\n"


@pytest.mark.parametrize(
    ("line", "change", "sentence"),
    [
        (0, {"created_ms": 10**30}, "no valid created_ms"),
        (0, {"created_ms": 9 * 10**18}, "no valid created_ms"),
        (0, {"created_ms": -1}, "no valid created_ms"),
        (0, {"tags": {str(number): "" for number in range(201)}}, "no valid tags"),
        (0, {"tags": {"aws:x": ""}}, "no valid tags"),
        (0, {"tags": {"a,b": ""}}, "no valid tags"),
        (0, {"tags": {"a": "b\n"}}, "no valid tags"),
        (1, {"created_ms": 10**30}, "damaged in line 2"),
        (4, {"created_ms": 10**30}, "damaged in line 5"),
        (4, {"box": [1e308, 0.1, 0.1, 0.1]}, "damaged in line 5"),
        (4, {"box": [0.1, 0.1, -0.1, 0.1]}, "damaged in line 5"),
        (4, {"confidence": 1e308}, "damaged in line 5"),
    ],
)
def test_values_that_no_answer_can_hold_are_refused(
    database: Database, tmp_path: Path, line: int, change: dict[str, object], sentence: str
) -> None:
    """Under a right check sum: somebody has edited the file."""
    fill(database)
    export(database, tmp_path / "people.jsonl")
    lines = (tmp_path / "people.jsonl").read_text().splitlines()
    lines[line] = json.dumps(json.loads(lines[line]) | change)
    (tmp_path / "bad.jsonl").write_text(resealed(lines))
    with pytest.raises(PortableFileError, match=sentence):
        load(database, tmp_path / "bad.jsonl", "copy")
    assert leftovers(database) == [OWNER[0]]


def test_the_most_that_answers_can_hold_is_read(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    lines = (tmp_path / "people.jsonl").read_text().splitlines()
    tags = {f"{number} ä/:=+-@_." + "n" * 100: "v" * 256 for number in range(200)}
    lines[0] = json.dumps(json.loads(lines[0]) | {"tags": tags, "created_ms": 253_370_764_800_000})
    lines[4] = json.dumps(json.loads(lines[4]) | {"box": [-0.5, -0.5, 2.0, 2.0]})
    (tmp_path / "wide.jsonl").write_text(resealed(lines))
    load(database, tmp_path / "wide.jsonl", "copy")
    assert Tags(database).of(ARN + "copy") == tags


def test_vectors_of_another_length_than_the_models_are_refused(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    for lengths in ({"7.0": 512}, {"7.0": 127, "9": 128}):
        with pytest.raises(
            PortableFileError, match=rf"128 numbers; those of face model version 7\.0 .* {lengths['7.0']}"
        ):
            import_collection(
                database, *OWNER, "copy", resource=ARN + "copy", path=tmp_path / "people.jsonl", lengths=lengths
            )
    assert leftovers(database) == [OWNER[0]]


def test_what_an_interrupted_import_left_goes_after_a_day(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    for name in ("old", "young"):
        Collections(database).create(portable.UNFINISHED, "us-east-1", name, "7.0", resource="", tags={})
    with database.begin() as connection:
        connection.execute(update(collections).where(collections.c.collection_id == "old").values(created_ms=1))
    load(database, tmp_path / "people.jsonl", "copy")
    assert leftovers(database).count(portable.UNFINISHED) == 1


# --- erasing ----------------------------------------------------------------------------------------------------------


def test_nothing_of_an_erased_face_is_left(database: Database, tmp_path: Path) -> None:
    made = fill(database, count=400)
    number = number_of(database, "people")
    search = EmbeddedSearch(tmp_path / "home" / "vectors", StoredVectors(database), threads=1)
    search.search(number, made[1].vector, limit=3, kind="faces")
    search.search(number, made[1].vector, limit=3, kind="users")
    ids = [face.face_id for face in made if face.external_image_id == "person-1"]
    stored = Faces(database).get(number, ids, vectors=True).values()
    old_user = Users(database).find(number, "ada")
    assert old_user is not None
    assert old_user.vector is not None
    traces = [text.encode() for text in (*ids, "person-1")]
    for vector in (*(face.vector for face in stored), old_user.vector):
        assert vector is not None
        data = pack(vector)
        traces += [data[start : start + 16] for start in range(0, len(data), 16)]
    with database.begin() as connection:
        common = {"account_id": OWNER[0], "region": "us-east-1", "operation": "AssociateFaces", "fingerprint": "f"}
        rows = [
            common | {"token": face_id[:8], "response": json.dumps([face_id]), "expires_ms": 1 << 50}
            for face_id in (ids[0], made[0].face_id)
        ]
        connection.execute(insert(request_tokens), rows)

    def held() -> int:
        files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
        assert {"openrek.db"} < {path.name for path in files}
        data = b"".join(path.read_bytes() for path in files)
        return sum(trace in data for trace in traces)

    assert held() == len(traces)
    done = erase_faces(database, number, external_image_id="person-1")
    search.forget(number)
    assert done.faces == ids
    assert held() == 0
    described = Collections(database).describe(*OWNER, "people")
    assert described is not None
    assert described.face_count == 300
    user = Users(database).find(number, "ada")
    assert user is not None
    assert user.face_count == 2
    with database.read() as connection:
        assert connection.execute(select(request_tokens.c.token)).scalars().all() == [made[0].face_id[:8]]
    assert len(search.search(number, made[0].vector, limit=500, kind="faces").numbers) == 300
    search.close()


def test_answers_and_results_are_gone_through_once_for_all_faces(database: Database) -> None:
    """A search of them for each face takes seconds for thousands."""
    fill(database, count=80)
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    done = erase_faces(database, number_of(database, "people"), external_image_id="person-1")
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(done.faces) == 20
    for table in ("request_tokens", "job_results"):
        assert sum(f"FROM {table}" in statement for statement in asked) == 1


def test_a_user_goes_with_the_last_face(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    for face in made[:2]:
        assert erase_faces(database, number, face_id=face.face_id).users == []
    assert erase_faces(database, number, face_id=made[2].face_id).users == ["ada"]
    assert [user.user_id for user in Users(database).page(number, limit=9)] == ["nobody"]
    assert erase_faces(database, number, face_id=made[2].face_id).faces == []
    with pytest.raises(CollectionMissingError):
        erase_faces(database, 999, face_id=made[2].face_id)
