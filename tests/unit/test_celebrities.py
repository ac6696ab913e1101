"""RecognizeCelebrities and GetCelebrityInfo without a network: what an answer holds."""

from collections.abc import Iterator
from itertools import pairwise
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from openrek.contract.call import Call, Caller
from openrek.contract.errors import ResourceNotFoundException
from openrek.service import celebrities as module
from openrek.service.celebrities import CUT, MAX_FACES, SMALL, STRICTER, cut_for, info, recognize
from openrek.service.celebrity_gallery import CelebrityGallery
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.celebrities import Celebrities, Person, Reference
from openrek.store.database import Database
from openrek.vision.faces import Faces
from openrek.vision.faces.embedding import FACE_MODEL
from openrek.vision.faces.similarity import cosine_for
from openrek.vision.image import DecodingMemory
from openrek.vision.runtime.cards import Card
from tests.acceptance.pictures import encoded
from tests.unit.test_celebrities_gallery import axis, some_faces

CALL = Call("RecognizeCelebrities", "id", Caller("OREKAAAAAAAAAAAAAAAA", "000000000000", "us-east-1"), {})
CARD = cast(
    Card,
    SimpleNamespace(
        name="test", version="7.0", similarity=((-1, 0), (0, 20), (0.8, 80), (0.86, 95), (0.9, 99), (1, 100))
    ),
)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    settings = Settings(home=tmp_path)
    database = Database.open(settings.database_address)
    gallery = CelebrityGallery(database)
    yield cast(
        Services,
        SimpleNamespace(
            settings=settings,
            database=database,
            celebrities=gallery,
            runtime=SimpleNamespace(catalogue={FACE_MODEL: CARD}),
            objects=None,
            decoding=DecodingMemory(settings.decoding_memory),
        ),
    )
    database.close()


def see(monkeypatch: pytest.MonkeyPatch, faces: Faces, *vectors: Any) -> None:
    """Let the detector find `faces` and the network give `vectors`, in the detector's order."""

    def detect(picture: object, runtime: object, *, max_faces: int) -> Faces:
        return faces.select(slice(0, max_faces))

    def embed(picture: object, some: Faces, runtime: object) -> Any:
        assert len(some) == len(vectors), "a face was compared that should not be, or the other way round"
        return np.stack(vectors)

    monkeypatch.setattr(module, "detect_faces", detect)
    monkeypatch.setattr(module, "embed_faces", embed)
    monkeypatch.setattr(module, "read_attributes", lambda picture, faces, *_: [{} for _ in range(len(faces))])


def ask(services: Services) -> dict[str, Any]:
    from PIL import Image

    data = encoded(Image.new("RGB", (200, 100)))
    return dict(recognize(cast(Any, {"Image": {"Bytes": data}}), CALL, services))


def add(services: Services, name: str, number: int, **facts: Any) -> str:
    reference = Reference(f"{number:064x}", "7.0", axis(number))
    return Celebrities(services.database).put(Person(name, **facts), [reference])


def test_known_and_unknown_faces(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = add(services, "Ada", 1, urls=("www.example.org/ada",), gender="Female")
    bert = add(services, "Bert", 2)
    sure = cosine_for(CUT + 0.5, CARD)
    see(monkeypatch, some_faces(60, 50, 40), axis(2), axis(9, 1, cosine_for(CUT - 0.5, CARD)), axis(9, 1, sure))
    answer = ask(services)
    first, second = answer["CelebrityFaces"]
    assert (first["Id"], first["Name"], first["Urls"]) == (bert, "Bert", [])
    assert "KnownGender" not in first
    assert (second["Id"], second["Urls"], second["KnownGender"]) == (ada, ["www.example.org/ada"], {"Type": "Female"})
    assert second["MatchConfidence"] == pytest.approx(CUT + 0.5, abs=0.05)
    assert second["Face"]["BoundingBox"]["Width"] == pytest.approx(40 / 200)
    assert [face["BoundingBox"]["Width"] for face in answer["UnrecognizedFaces"]] == [pytest.approx(50 / 200)]


def test_a_large_gallery_is_stricter(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        add(services, f"Person {number}", number)
    monkeypatch.setattr(module, "SMALL", 0.03)  # three people are a hundred times as many
    cut = cut_for(3, CARD)
    assert CUT + 0.5 < cut < 99.8
    faces = (axis(9, 1, cosine_for(cut - 0.1, CARD)), axis(9, 2, cosine_for(cut + 0.1, CARD)))
    see(monkeypatch, some_faces(60, 50), *faces)
    answer = ask(services)
    assert [face["Name"] for face in answer["CelebrityFaces"]] == ["Person 2"]
    assert len(answer["UnrecognizedFaces"]) == 1


def test_a_face_too_small_to_compare_is_unrecognised(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    add(services, "Ada", 1)
    see(monkeypatch, some_faces(60, 19), axis(1))
    answer = ask(services)
    assert (len(answer["CelebrityFaces"]), len(answer["UnrecognizedFaces"])) == (1, 1)


def test_an_empty_gallery_compares_nothing(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, some_faces(60, 50))
    answer = ask(services)
    assert answer["CelebrityFaces"] == []
    assert len(answer["UnrecognizedFaces"]) == 2


def test_no_more_than_64_faces(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, some_faces(*range(100, 30, -1)))
    assert len(ask(services)["UnrecognizedFaces"]) == MAX_FACES == 64


def test_expressions_are_there(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, some_faces(60))
    smile = {"Value": True, "Confidence": 90.0}
    emotions = [{"Type": "HAPPY", "Confidence": 90.0}]
    members = {"SMILE": ("Smile", smile), "EMOTIONS": ("Emotions", emotions), "BEARD": ("Beard", None)}

    def read(picture: object, faces: Faces, runtime: object, attributes: Any) -> list[dict[str, Any]]:
        return [dict(members[name] for name in attributes)]

    monkeypatch.setattr(module, "read_attributes", read)
    (face,) = ask(services)["UnrecognizedFaces"]
    assert (face["Smile"], face["Emotions"]) == (smile, emotions)
    assert "Beard" not in face


def test_a_change_by_another_process_is_seen_at_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, some_faces(60), axis(1))
    other = Database.open(services.settings.database_address)
    people = Celebrities(other)
    reference = Reference("0" * 64, "7.0", axis(1))
    for _ in range(2):
        ada = people.put(Person("Ada"), [reference], again=True)
        (found,) = ask(services)["CelebrityFaces"]
        assert found["Id"] == ada
        people.remove(ada)
        assert ask(services)["CelebrityFaces"] == []
    other.close()


def test_vectors_of_another_model_are_not_compared(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    Celebrities(services.database).put(Person("Ada"), [Reference("0" * 64, "1.0", axis(1))])
    see(monkeypatch, some_faces(60))
    assert ask(services)["CelebrityFaces"] == []


def test_info(services: Services) -> None:
    ada = add(services, "Ada", 1, urls=("www.example.org/ada",), gender="Unlisted")
    bert = add(services, "Bert", 2)
    assert info({"Id": ada}, CALL, services) == {
        "Name": "Ada",
        "Urls": ["www.example.org/ada"],
        "KnownGender": {"Type": "Unlisted"},
    }
    assert info({"Id": bert}, CALL, services) == {"Name": "Bert", "Urls": []}
    for unknown in ("", "zzzzzzz", ada.swapcase()):
        with pytest.raises(ResourceNotFoundException):
            info({"Id": unknown}, CALL, services)


def test_the_cut_rises_with_the_gallery() -> None:
    assert [cut_for(people, CARD) for people in (0, 1, SMALL)] == pytest.approx([CUT, CUT, CUT], abs=1e-3)
    cuts = [cut_for(people, CARD) for people in (400, 1_000, 10_000, 100_000)]
    assert cuts == sorted(set(cuts))
    for earlier, later in pairwise(cosine_for(cut, CARD) for cut in cuts[1:]):  # each ten times as large
        assert later - earlier == pytest.approx(STRICTER * log(10), abs=1e-4)
    assert cut_for(10**12, CARD) <= 99.9
