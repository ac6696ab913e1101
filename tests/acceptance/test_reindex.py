"""A collection made again with another face model, beside a running server."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openrek.settings import Settings
from openrek.vision.runtime.cache import ModelCache
from openrek.vision.runtime.cards import read_card
from openrek.vision.runtime.catalogue import CARDS
from tests.acceptance.pictures import People
from tests.acceptance.test_collections_crash import killed_server
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient


BEFORE = read_card(CARDS / "face-embedding.toml").version


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a second face model: the first one's network, which does not look into the mirror.

    Its place in the cache is shared, so these tests may not run side by side: a module of this layer has one worker."""
    card = read_card(CARDS / "face-embedding.toml")
    cache = ModelCache(Settings().cache)
    monkeypatch.setenv("OPENREK_MODEL_MIRROR", str(cache.original(card).parent))  # instead of a download
    folder = tmp_path / "home" / "models.d"
    folder.mkdir(parents=True)
    text = (CARDS / "face-embedding.toml").read_text()
    for old, new in (
        ('name = "face-embedding"', 'name = "no-mirror"'),
        (f'version = "{BEFORE}"', 'version = "8.1"'),
        ('packs = ["base"]', "packs = []"),
        ('flip = "second"', "flip = false"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "no-mirror.toml").write_text(text)
    yield tmp_path / "home"
    shutil.rmtree(Settings().cache / "models" / "no-mirror", ignore_errors=True)


def names(client: "RekognitionClient", picture: bytes) -> list[str | None]:
    answer = client.search_faces_by_image(CollectionId="staff", Image={"Bytes": picture})
    return [match["Face"].get("ExternalImageId") for match in answer["FaceMatches"]]


def test_from_kept_crops(home: Path, photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENREK_KEEP_FACE_CROPS", "true")
    people = People(photos)
    with killed_server(home) as (client, _):
        client.create_collection(CollectionId="staff", Tags={"team": "space"})
        for external, picture in (("astronaut", people.astronaut), ("officer", people.hopper)):
            client.index_faces(CollectionId="staff", Image={"Bytes": picture}, ExternalImageId=external)
        client.create_user(CollectionId="staff", UserId="grace")
        listed = client.list_faces(CollectionId="staff")
        (officer,) = (face["FaceId"] for face in listed["Faces"] if face["ExternalImageId"] == "officer")
        client.associate_faces(CollectionId="staff", UserId="grace", FaceIds=[officer])
        listed = client.list_faces(CollectionId="staff")

        done = openrek("collections", "reindex", "staff", "--model", "no-mirror", "--json", OPENREK_HOME=str(home))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "FaceModelVersion": "8.1",
            "FaceModelVersionBefore": BEFORE,
            "FaceCount": 2,
            "LeftOut": 0,
        }
        after = client.list_faces(CollectionId="staff")
        assert after["FaceModelVersion"] == "8.1"
        for face in listed["Faces"]:
            face["IndexFacesModelVersion"] = "8.1"
        assert after["Faces"] == listed["Faces"]  # ids, boxes and users are what they were
        described = client.describe_collection(CollectionId="staff")
        assert (described["FaceCount"], described["UserCount"]) == (2, 1)
        assert client.list_tags_for_resource(ResourceArn=described["CollectionARN"])["Tags"] == {"team": "space"}
        assert names(client, people.astronauts()[1]) == ["astronaut"]
        users = client.search_users_by_image(CollectionId="staff", Image={"Bytes": people.dark()})
        assert [match["User"]["UserId"] for match in users["UserMatches"]] == ["grace"]
        # indexed with the new model from now on, and the same picture is the same face
        again = client.index_faces(CollectionId="staff", Image={"Bytes": people.astronaut}, ExternalImageId="astronaut")
        assert again["FaceRecords"][0]["Face"]["IndexFacesModelVersion"] == "8.1"
        assert client.describe_collection(CollectionId="staff")["FaceCount"] == 2

        # a crop goes with its face, and the rest of them when the owner says so; no export has one
        client.disassociate_faces(CollectionId="staff", UserId="grace", FaceIds=[officer])
        client.delete_faces(CollectionId="staff", FaceIds=[officer])
        exported = openrek("collections", "export", "staff", str(tmp_path / "staff.jsonl"), OPENREK_HOME=str(home))
        assert "1 kept crop of faces stayed behind" in exported.stderr
        assert rows(home) == {"collections": 1, "faces": 1, "face_crops": 1}
        forgotten = openrek("collections", "forget-crops", "staff", OPENREK_HOME=str(home))
        assert "1 kept crop" in forgotten.stdout
        assert rows(home) == {"collections": 1, "faces": 1, "face_crops": 0}


def test_from_photos_and_what_is_lacking(home: Path, photos: dict[str, Path], tmp_path: Path) -> None:
    people = People(photos)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "space.jpg").write_bytes(people.astronaut)
    (folder / "empty.jpg").write_bytes(b"")
    with killed_server(home) as (client, _):
        client.create_collection(CollectionId="staff")
        for picture, external in ((people.astronaut, "astronaut"), (people.hopper, "officer")):
            client.index_faces(CollectionId="staff", Image={"Bytes": picture}, ExternalImageId=external)

        def reindex(*options: str) -> "tuple[int, str]":
            words = ("collections", "reindex", "staff", "--model", "no-mirror", *options)
            done = openrek(*words, OPENREK_HOME=str(home))
            return done.returncode, done.stdout + done.stderr

        status, said = reindex("--photos", str(folder))
        assert status == 1
        assert "1 of 2 faces have neither a kept crop nor their photo" in said
        assert client.describe_collection(CollectionId="staff")["FaceModelVersion"] == BEFORE
        assert names(client, people.astronauts()[0]) == ["astronaut"]  # as before
        (folder / "officer.jpg").write_bytes(people.hopper)
        status, said = reindex("--photos", str(folder / "officer.jpg"))  # the other one was read before
        assert status == 0, said
        assert f"version 8.1 now (before: {BEFORE}): 2 faces" in said
        assert names(client, people.astronauts()[0]) == ["astronaut"]
        status, said = reindex()
        assert status == 1
        assert "nothing to do" in said
        # back again, without the astronaut
        words = ("collections", "reindex", "staff", "--photos", str(folder / "officer.jpg"), "--drop-missing")
        back = openrek(*words, OPENREK_HOME=str(home))
        assert back.returncode == 0, back.stderr
        assert "1 face, 1 left out" in back.stdout
        assert names(client, people.astronauts()[0]) == []
        assert client.describe_collection(CollectionId="staff")["FaceCount"] == 1
    assert rows(home) == {"collections": 1, "faces": 1, "face_crops": 0}


def rows(home: Path) -> dict[str, int]:
    with sqlite3.connect(home / "openrek.db") as database:
        return {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("collections", "faces", "face_crops")
        }
