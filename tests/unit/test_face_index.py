"""Indexing without a network: ids of faces, what a full, changed or deleted collection does."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    InvalidParameterException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
)
from openrek.service import face_index, face_model
from openrek.service.face_index import delete_faces, image_id_of, index_faces, list_faces
from openrek.service.pagination import PageTokens
from openrek.service.services import Services
from openrek.service.users import associate_faces, create_user
from openrek.settings import Settings
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.vision.faces import Faces
from openrek.vision.faces.attributes import FaceAttributes
from openrek.vision.image import Picture

ACCOUNT, REGION = "000000000000", "us-east-1"
CALLER = Caller("OREKAAAAAAAAAAAAAAAA", ACCOUNT, REGION)


class Scene:
    """Stands in for detector and embedder: the boxes it is given, a vector for each."""

    def __init__(self) -> None:
        self.boxes: list[list[float]] = [[100, 100, 300, 350], [400, 100, 500, 220]]
        self.sharpness = 80.0
        self.brightnesses: list[float] | None = None
        self.thirty: Any = None

    def detect(self, picture: Picture, runtime: object, *, max_faces: int = 100) -> Faces:
        count = len(self.boxes)
        return Faces(
            boxes=np.array(self.boxes, np.float32).reshape(count, 4),
            confidences=np.full(count, 0.99, np.float32),
            landmarks=np.zeros((count, 5, 2), np.float32),
            pose=np.zeros((count, 3), np.float32),
            brightness=np.array(self.brightnesses or [60] * count, np.float32),
            sharpness=np.full(count, self.sharpness, np.float32),
        )

    def embed(self, picture: Picture, faces: Faces, runtime: object, *, model: str, thirty: Any = None) -> Any:
        self.thirty = thirty
        return np.stack([np.random.default_rng(int(box[0])).normal(size=128) for box in faces.boxes]).astype(np.float32)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    monkeypatch.setattr(face_index, "detect_faces", scene.detect)
    monkeypatch.setattr(face_index, "embed_faces", scene.embed)
    encoded = SimpleNamespace(data=b"picture")
    monkeypatch.setattr(face_index, "open_request_image", lambda image, services: encoded)
    picture = Picture(np.zeros((400, 800, 3), np.uint8), 800, 400)
    monkeypatch.setattr(face_index, "decode_request_image", lambda encoded, longest: picture)
    return scene


def services_with(tmp_path: Path, database: Database, *versions: str, **limits: int) -> Services:
    """Services whose catalogue has face models of these versions; the first one is today's."""
    names = [face_model.FACE_MODEL, *(f"older-{n}" for n in range(1, len(versions)))]
    catalogue = {
        name: SimpleNamespace(name=name, task="face-embedding", version=version)
        for name, version in zip(names, versions, strict=True)
    } | {"tagger": SimpleNamespace(name="tagger", task="tags", version="7.0")}
    return cast(
        Services,
        SimpleNamespace(
            settings=Settings(home=tmp_path, **limits),
            database=database,
            page_tokens=PageTokens(b"s" * 32),
            runtime=SimpleNamespace(catalogue=catalogue),
            purger=SimpleNamespace(wake=lambda: None),
        ),
    )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'openrek.db'}")
    for name in ("c", "d"):
        Collections(database).create(ACCOUNT, REGION, name, "7.0", resource=f"arn:{name}", tags={})
    yield database
    database.close()


@pytest.fixture
def services(tmp_path: Path, database: Database, scene: Scene) -> Services:
    return services_with(tmp_path, database, "7.0")


def ask(handler: Any, services: Services, **request: Any) -> Any:
    parameters = {"CollectionId": "c"} | request
    return handler(parameters, Call("Any", "id", CALLER, parameters), services)


def ids(answer: Any) -> list[str]:
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def index(services: Services, **request: Any) -> Any:
    return ask(index_faces, services, Image={"Bytes": b""}, **request)


def test_ids_are_made_of_picture_box_version_and_external_id(services: Services, scene: Scene, tmp_path: Path) -> None:
    plain = ids(index(services))
    assert len(set(plain)) == 2
    assert all(each[14] == "5" for each in plain)  # a name-based UUID
    assert ids(index(services, CollectionId="d")) == plain
    assert not set(ids(index(services, ExternalImageId="a"))) & set(plain)
    Collections(services.database).create(ACCOUNT, REGION, "e", "8.0", resource="arn:e", tags={})
    newer = services_with(tmp_path, services.database, "8.0", "7.0")
    assert not set(ids(index(newer, CollectionId="e"))) & set(plain)
    assert image_id_of(b"picture") != image_id_of(b"picture ")


def test_a_face_keeps_its_id_when_the_detector_moves_a_little(services: Services, scene: Scene) -> None:
    first = ids(index(services))
    scene.boxes = [[104, 97, 306, 349], [401, 99, 503, 218]]
    again = index(services)
    assert ids(again) == first
    # what is stored stays
    assert again["FaceRecords"][0]["Face"]["BoundingBox"]["Left"] == pytest.approx(100 / 800)
    scene.boxes = [[250, 97, 450, 349]]
    assert not set(ids(index(services))) & set(first)
    assert len(ask(list_faces, services)["Faces"]) == 3


def test_landmarks_that_were_read_for_the_answer_serve_the_vectors_too(
    services: Services, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(services)
    assert scene.thirty is None
    places = np.arange(120, dtype=np.float32).reshape(2, 30, 2)
    monkeypatch.setattr(face_index, "read_traits", lambda *_: FaceAttributes(landmarks=places))
    monkeypatch.setattr(face_index, "face_details", lambda *_, found: [{}, {}])
    index(services, MaxFaces=1)
    assert scene.thirty.tolist() == places[:1].tolist()


def test_no_two_faces_of_a_picture_get_one_id(services: Services, scene: Scene) -> None:
    scene.boxes = [[100, 100, 300, 300]]
    (known,) = ids(index(services))
    scene.boxes = [[100, 100, 300, 300], [110, 110, 310, 310]]
    found = ids(index(services))
    assert found[0] == known
    assert len(set(found)) == 2


def test_the_smallest_faces_go_first_and_bad_ones_before_them(services: Services, scene: Scene) -> None:
    scene.boxes = [[0, 0, 15, 300], [100, 100, 200, 220], [300, 100, 380, 200]]
    answer = index(services, MaxFaces=1)
    assert len(answer["FaceRecords"]) == 1
    assert answer["FaceRecords"][0]["FaceDetail"]["BoundingBox"]["Left"] == pytest.approx(100 / 800)
    assert [face["Reasons"] for face in answer["UnindexedFaces"]] == [["SMALL_BOUNDING_BOX"], ["EXCEEDS_MAX_FACES"]]
    scene.sharpness = 0
    assert index(services)["FaceRecords"] == []


def test_a_full_collection_keeps_nothing_of_the_call(tmp_path: Path, database: Database, scene: Scene) -> None:
    services = services_with(tmp_path, database, "7.0", max_collection_faces=1)
    with pytest.raises(ServiceQuotaExceededException, match=r"at most 1 faces.*OPENREK_MAX_COLLECTION_FACES"):
        index(services)
    assert ask(list_faces, services)["Faces"] == []
    assert len(index(services, MaxFaces=1)["FaceRecords"]) == 1


def test_a_collection_that_goes_while_its_picture_is_read(
    services: Services, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed_and_delete(*arguments: Any, **options: Any) -> Any:
        Collections(services.database).delete(ACCOUNT, REGION, "c", resource="arn:c")
        return scene.embed(*arguments, **options)

    monkeypatch.setattr(face_index, "embed_faces", embed_and_delete)
    with pytest.raises(ResourceNotFoundException, match="The collection id: c does not exist"):
        index(services)


def test_a_collection_of_another_model(services: Services, scene: Scene, tmp_path: Path) -> None:
    face_ids = ids(index(services))
    newer = services_with(tmp_path, services.database, "8.0")
    with pytest.raises(InvalidParameterException, match=r"version 7\.0.*has 8\.0.*into a new collection"):
        index(newer)
    # reading, and all that needs no model, goes on
    assert len(ask(list_faces, newer)["Faces"]) == 2
    assert ask(list_faces, newer)["FaceModelVersion"] == "7.0"
    assert ask(create_user, newer, UserId="u") == {}
    assert ask(delete_faces, newer, FaceIds=face_ids[:1])["DeletedFaces"] == face_ids[:1]
    with pytest.raises(InvalidParameterException, match="into a new collection"):
        ask(associate_faces, newer, UserId="u", FaceIds=face_ids)
    # with the older model still in the catalogue nothing has changed
    both = services_with(tmp_path, services.database, "8.0", "7.0")
    assert ids(index(both)) == face_ids


def test_of_too_many_faces_the_worst_goes_first_even_the_largest(services: Services, scene: Scene) -> None:
    """Without a quality bar MaxFaces still prefers faces that can be told apart; in the answer the largest is first."""
    scene.boxes = [[0, 0, 300, 300], [300, 100, 500, 300], [500, 100, 600, 200]]
    scene.brightnesses = [2, 60, 60]  # the largest is black
    answer = index(services, QualityFilter="NONE", MaxFaces=1)
    assert [round(record["Face"]["BoundingBox"]["Left"] * 800) for record in answer["FaceRecords"]] == [300]
    assert [face["Reasons"] for face in answer["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]] * 2
    answer = index(services, QualityFilter="NONE", MaxFaces=2)
    assert [round(record["Face"]["BoundingBox"]["Left"] * 800) for record in answer["FaceRecords"]] == [300, 500]
    for options in ({}, {"MaxFaces": 3}, {"MaxFaces": 1000}):
        answer = index(services, QualityFilter="NONE", **options)
        assert [round(record["Face"]["BoundingBox"]["Left"] * 800) for record in answer["FaceRecords"]] == [0, 300, 500]
        assert answer["UnindexedFaces"] == []


def test_the_quality_bar_is_auto_by_default(services: Services, scene: Scene) -> None:
    scene.brightnesses = [2, 60]
    assert index(services) == index(services, QualityFilter="AUTO")
    assert [face["Reasons"] for face in index(services)["UnindexedFaces"]] == [["LOW_BRIGHTNESS"]]
