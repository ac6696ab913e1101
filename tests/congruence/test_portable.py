"""A collection goes from one kind of database to the other as a file, and a person is erased from both."""

from pathlib import Path

import pytest

from openrek.store.database import Database
from openrek.store.erasure import erase_faces
from openrek.store.faces import Faces
from openrek.store.portable import PortableFileError
from openrek.store.users import Users
from tests.unit.test_portable import contents, export, fill, leftovers, load, number_of


def test_there_and_back_through_a_file(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    load(database, tmp_path / "people.jsonl", "copy")
    other = Database.open(f"sqlite:///{tmp_path / 'other' / 'openrek.db'}")
    try:
        load(other, tmp_path / "people.jsonl")
        assert contents(other, "people") == contents(database, "people") == contents(database, "copy")
        export(other, tmp_path / "again.jsonl")
    finally:
        other.close()
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "people.jsonl").read_bytes()


def test_a_file_that_is_cut_off_leaves_nothing(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    before = leftovers(database)
    (tmp_path / "cut.jsonl").write_bytes(b"\n".join((tmp_path / "people.jsonl").read_bytes().split(b"\n")[:-3]) + b"\n")
    with pytest.raises(PortableFileError, match="cut off"):
        load(database, tmp_path / "cut.jsonl", "copy")
    assert leftovers(database) == before


def test_erasing_a_person(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    assert erase_faces(database, number, external_image_id="person-1").faces == [
        face.face_id for face in made if face.external_image_id == "person-1"
    ]
    assert {face.external_image_id for face in Faces(database).page(number, limit=99)} == {
        None,
        "person-0",
        "person-2",
        "person-3",
    }
    user = Users(database).find(number, "ada")
    assert user is not None
    assert user.face_count == 2
