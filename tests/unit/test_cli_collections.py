"""`openrek collections`: what the commands say and leave."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from typer.testing import CliRunner, Result

from openrek.cli.common import UserError
from openrek.cli.main import app
from openrek.service.reindex import ReindexError
from openrek.service.services import Services
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.faces import Faces
from openrek.store.portable import PortableFileError
from openrek.store.reindex import Reindexing
from openrek.store.schema import collections, faces
from openrek.store.vectors import EmbeddedSearch, StoredVectors
from openrek.vision.faces.embedding import FACE_MODEL
from openrek.vision.runtime import Catalogue
from tests.congruence.test_reindex import read_all, vectors_of
from tests.unit.test_portable import OWNER, fill, number_of


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    database = Database.open(f"sqlite:///{tmp_path / 'home' / 'openrek.db'}")
    yield database
    database.close()


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["collections", *map(str, words)])


def test_list(database: Database) -> None:
    assert "no collections" in run("list").stderr
    fill(database)
    assert "people" in run("list").stdout
    (listed,) = json.loads(run("list", "--json").stdout)["Collections"]
    assert (listed["CollectionId"], listed["FaceCount"], listed["UserCount"]) == ("people", 12, 2)
    assert json.loads(run("list", "--json", "--region", "eu-west-1").stdout) == {"Collections": []}


def test_export_and_import_under_its_own_and_another_name(database: Database, tmp_path: Path) -> None:
    fill(database)
    path = tmp_path / "people.jsonl"
    assert "12 faces and 2 users of people" in run("export", "people", path).stdout
    assert run("import", path, "--as", "copy").exit_code == 0
    assert Faces(database).page(number_of(database, "copy"), limit=99)[0].model_version == "7.0"
    taken = run("import", path)
    assert isinstance(taken.exception, UserError)
    assert "people already; delete it, or give another id" in str(taken.exception)
    Collections(database).delete(*OWNER, "people", resource="")
    assert run("import", path).exit_code == 0
    assert [item.collection_id for item in Collections(database).page(*OWNER, limit=9)] == ["copy", "people"]


def test_export_to_standard_output(database: Database, tmp_path: Path) -> None:
    fill(database)
    run("export", "people", tmp_path / "people.jsonl")
    done = run("export", "people", "-")
    assert done.stdout_bytes == (tmp_path / "people.jsonl").read_bytes()
    assert "12 faces and 2 users of people are written" in done.stderr
    assert not Path("-").exists()


def test_an_import_has_the_limits_of_a_collection(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    path = tmp_path / "people.jsonl"
    run("export", "people", path)
    for name, limit in (("FACES", 11), ("USERS", 1)):
        with monkeypatch.context() as patch:
            patch.setenv(f"OPENREK_MAX_COLLECTION_{name}", str(limit))
            refused = run("import", path, "--as", "copy")
        assert isinstance(refused.exception, UserError)
        assert f"at most {limit} are allowed" in str(refused.exception)
        assert "OPENREK_MAX_COLLECTION_FACES" in str(refused.exception)
    monkeypatch.setenv("OPENREK_MAX_COLLECTION_FACES", "12")
    monkeypatch.setenv("OPENREK_MAX_COLLECTION_USERS", "2")
    assert run("import", path, "--as", "copy").exit_code == 0


def test_what_cannot_be_done_is_one_sentence(database: Database, tmp_path: Path) -> None:
    fill(database)
    with database.begin() as connection:  # as if made with the present model
        connection.execute(update(collections).values(face_model_version=Catalogue()[FACE_MODEL].version))
    (tmp_path / "text").write_text("hello\n")
    for words, kind, sentence in (
        (("export", "no-such", tmp_path / "x"), UserError, "there is no collection no-such"),
        (("export", "people", tmp_path / "no" / "x"), UserError, "cannot be written"),
        (("import", tmp_path / "missing"), UserError, "cannot be read"),
        (("import", tmp_path / "text"), PortableFileError, "no exported collection"),
        (("import", tmp_path / "text", "--as", "bad name!"), UserError, "is no id of a collection"),
        (("erase", "no-such", "--face-id", "x"), UserError, "there is no collection no-such"),
        (("reindex", "no-such"), ReindexError, "there is no collection no-such"),
        (("reindex", "people"), ReindexError, "nothing to do"),
        (("reindex", "people", "--model", "centerface"), ReindexError, "there are: face-embedding"),
        (("reindex", "people", "--model", "sface"), ReindexError, "with 'sface': nobody has measured yet"),
        (("reindex", "people", "--model", "sface"), ReindexError, "There are: face-embedding; a card of your own"),
        (("forget-crops", "no-such"), UserError, "there is no collection no-such"),
        (("erase", "people"), UserError, "either --external-image-id or --face-id"),
        (("erase", "people", "--face-id", "x", "--external-image-id", "y"), UserError, "either"),
    ):
        done = run(*words)
        assert isinstance(done.exception, kind), words
        assert sentence in str(done.exception)


def test_photos_are_read_again_within_the_limits_that_they_were_indexed_under(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`faces index` reads photos of 200 million pixels where nothing else is said."""
    asked: list[Services] = []

    def reindex(services: Services, *_: object, **__: object) -> None:
        asked.append(services)
        raise ReindexError("enough")

    fill(database)
    monkeypatch.setattr("openrek.service.reindex.reindex", reindex)
    run("reindex", "people")
    monkeypatch.setenv("OPENREK_MAX_IMAGE_PIXELS", "1000")
    run("reindex", "people")
    assert [services.settings.pixel_limit for services in asked] == [200_000_000, 1000]


def test_erase(database: Database) -> None:
    made = fill(database)
    done = run("erase", "people", "--external-image-id", "person-1", "--json")
    assert done.exit_code == 0
    erased = [face.face_id for face in made if face.external_image_id == "person-1"]
    assert json.loads(done.stdout) == {"FaceIds": erased, "UserIds": [], "ServerRunning": False}
    again = run("erase", "people", "--external-image-id", "person-1")
    assert again.exit_code == 1
    assert "No face" in again.stdout


def test_erase_reaches_what_a_killed_reindexing_left(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    work = Reindexing.begin(database, number, "8.1")
    read_all(work)
    assert work.switch(vectors_of)
    with database.read() as connection:
        counted = select(func.count()).select_from(faces).where(faces.c.face_id == made[0].face_id)
        assert connection.execute(counted).scalar() == 2
    assert run("erase", "people", "--face-id", made[0].face_id).exit_code == 0
    with database.read() as connection:
        assert connection.execute(counted).scalar() == 0
        assert connection.execute(select(func.count()).select_from(collections)).scalar() == 1


def test_erase_beside_a_server_says_what_that_still_holds(database: Database, tmp_path: Path) -> None:
    made = fill(database)
    number = number_of(database, "people")
    server = EmbeddedSearch(tmp_path / "home" / "vectors", StoredVectors(database), threads=1)
    server.search(number, made[0].vector, limit=3, kind="faces")
    done = run("erase", "people", "--face-id", made[0].face_id)
    assert "1 face," in done.stdout
    assert "A running server keeps compressed vectors" in done.stderr
    server.close()
