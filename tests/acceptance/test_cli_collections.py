"""Collections exported, imported and erased beside a running server."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.acceptance.conftest import Server
from tests.acceptance.pictures import People
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient


@pytest.fixture(scope="module")
def people(photos: dict[str, Path]) -> People:
    return People(photos)


@pytest.fixture
def collection(rekognition: "RekognitionClient", people: People) -> Iterator[str]:
    """The astronaut and the officer, under their names; it is deleted in the end."""
    name = f"portable-{uuid4().hex[:12]}"
    rekognition.create_collection(CollectionId=name, Tags={"team": "press"})
    for external, picture in (("the-astronaut", people.astronaut), ("the-officer", people.hopper)):
        rekognition.index_faces(CollectionId=name, Image={"Bytes": picture}, ExternalImageId=external)
    yield name
    if name in rekognition.list_collections()["CollectionIds"]:
        rekognition.delete_collection(CollectionId=name)


def found(rekognition: "RekognitionClient", collection: str, picture: bytes) -> list[tuple[str | None, str | None]]:
    answer = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": picture})
    return [(match["Face"].get("ExternalImageId"), match["Face"].get("FaceId")) for match in answer["FaceMatches"]]


def test_a_collection_comes_back_from_its_file(
    rekognition: "RekognitionClient", server: Server, collection: str, people: People, tmp_path: Path
) -> None:
    before = found(rekognition, collection, people.astronauts()[1])
    assert [external for external, _ in before] == ["the-astronaut"]
    faces = rekognition.list_faces(CollectionId=collection)["Faces"]
    path = str(tmp_path / "people.jsonl")
    done = openrek("collections", "export", collection, path, OPENREK_HOME=str(server.home))
    assert done.returncode == 0, done.stderr
    rekognition.delete_collection(CollectionId=collection)
    done = openrek("collections", "import", path, OPENREK_HOME=str(server.home))
    assert done.returncode == 0, done.stderr
    assert rekognition.list_faces(CollectionId=collection)["Faces"] == faces
    assert found(rekognition, collection, people.astronauts()[1]) == before
    arn = rekognition.describe_collection(CollectionId=collection)["CollectionARN"]
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "press"}
    refused = openrek("collections", "import", path, OPENREK_HOME=str(server.home))
    assert refused.returncode == 1
    assert "already" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_nothing_of_an_erased_person_remains(
    rekognition: "RekognitionClient", server: Server, collection: str, people: People
) -> None:
    (_, face_id), *_ = found(rekognition, collection, people.astronaut)
    assert face_id is not None
    with sqlite3.connect(server.home / "openrek.db") as connection:
        vector = connection.execute("SELECT vector FROM faces WHERE face_id = ?", (face_id,)).fetchone()[0]
    connection.close()
    pieces = [face_id.encode(), *(vector[start : start + 16] for start in range(0, len(vector), 16))]
    assert held(server, pieces) == len(pieces)

    words = ("collections", "erase", collection, "--external-image-id", "the-astronaut", "--json")
    done = openrek(*words, OPENREK_HOME=str(server.home))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["FaceIds"] == [face_id]
    assert found(rekognition, collection, people.astronaut) == []
    assert held(server, pieces) == 0
    assert [external for external, _ in found(rekognition, collection, people.hopper)] == ["the-officer"]


def held(server: Server, pieces: list[bytes]) -> int:
    """How many of the pieces stand in the database, its log, or the search files."""
    files = [
        *server.home.glob("openrek.db*"),
        *(path for path in (server.home / "vectors").rglob("*") if path.is_file()),
    ]
    assert len(files) >= 3
    data = b"".join(path.read_bytes() for path in files)
    return sum(piece in data for piece in pieces)
