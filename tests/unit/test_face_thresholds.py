"""Thresholds, defaults and caps of comparing and searching faces, on vectors whose likeness the test sets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid5

import numpy as np
import pytest

from openrek.contract.call import Call, Caller
from openrek.contract.errors import InvalidParameterException
from openrek.service import compare, face_search, user_search
from openrek.service.compare import compare_faces
from openrek.service.face_index import list_faces
from openrek.service.face_search import search_faces, search_faces_by_image
from openrek.service.pagination import PageTokens
from openrek.service.services import Services
from openrek.service.user_search import search_users, search_users_by_image
from openrek.service.users import associate_faces, create_user, list_users
from openrek.settings import Settings
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.faces import Faces as FaceStore
from openrek.store.faces import NewFace
from openrek.store.users import Users
from openrek.store.vectors import open_search
from openrek.vision.faces import Faces
from openrek.vision.faces.embedding import FACE_MODEL, face_model_version
from openrek.vision.faces.similarity import scale_of
from openrek.vision.image import Picture
from openrek.vision.runtime.catalogue import Catalogue

ACCOUNT, REGION = "000000000000", "us-east-1"
CATALOGUE = Catalogue()
SCALE = scale_of(CATALOGUE[FACE_MODEL])
ME = np.eye(128, dtype=np.float32)[0]


def like_me(similarity: float, *, way: int = 1) -> Any:
    """A vector of length 1 that is so similar (0..100) to ME; `way` is where it differs."""
    cosine = float(np.interp(similarity, SCALE.similarities, SCALE.cosines))
    return (cosine * ME + np.sqrt(1 - cosine**2) * np.eye(128, dtype=np.float32)[way]).astype(np.float32)


def face_id(name: object) -> str:
    return str(uuid5(UUID(int=7), str(name)))


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    database = Database.open(f"sqlite:///{tmp_path / 'openrek.db'}")
    version = face_model_version(CATALOGUE[FACE_MODEL])
    Collections(database).create(ACCOUNT, REGION, "c", version, resource="arn", tags={})
    vectors = open_search(database, tmp_path / "vectors", embedded=True)
    yield cast(
        Services,
        SimpleNamespace(
            settings=Settings(home=tmp_path),
            database=database,
            vectors=vectors,
            page_tokens=PageTokens(b"s" * 32),
            runtime=SimpleNamespace(catalogue=CATALOGUE),
        ),
    )
    vectors.close()
    database.close()


def ask(handler: Any, services: Services, **request: Any) -> Any:
    parameters = {"CollectionId": "c"} | request
    return handler(parameters, Call("Any", "id", Caller("KEY", ACCOUNT, REGION), parameters), services)


def number_of(services: Services) -> int:
    found = Collections(services.database).find(ACCOUNT, REGION, "c")
    assert found is not None
    return found.number


def keep(services: Services, vectors: dict[object, Any]) -> None:
    """Faces by name, the name of each becoming its id."""
    version = face_model_version(CATALOGUE[FACE_MODEL])
    new = [NewFace(face_id(name), "i", None, (0, 0, 1, 1), 99, version, vector) for name, vector in vectors.items()]
    FaceStore(services.database).add(number_of(services), new)


def similarities(matches: Sequence[Any]) -> list[float]:
    return [match["Similarity"] for match in matches]


def see(monkeypatch: pytest.MonkeyPatch, module: Any, vectors: Sequence[Any], *, brightness: float = 60) -> None:
    """Let a module see one face a vector in any picture, each smaller than the one before."""
    count = len(vectors)
    sides = np.linspace(300, 100, count) if count else np.zeros(0)
    faces = Faces(
        boxes=np.array([[0, 0, side, side] for side in sides], np.float32).reshape(count, 4),
        confidences=np.full(count, 0.99, np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
        pose=np.zeros((count, 3), np.float32),
        brightness=np.full(count, brightness, np.float32),
        sharpness=np.full(count, 80, np.float32),
    )
    by_side = {float(side): vector for side, vector in zip(faces.boxes[:, 2], vectors, strict=True)}
    picture = Picture(np.zeros((400, 400, 3), np.uint8), 400, 400)
    monkeypatch.setattr(module, "open_request_image", lambda image, services: None)
    monkeypatch.setattr(module, "decode_request_image", lambda encoded, longest: picture)
    monkeypatch.setattr(
        module, "detect_faces", lambda picture, runtime, *, max_faces=100: faces.select(slice(max_faces))
    )
    monkeypatch.setattr(
        module,
        "embed_faces",
        lambda picture, faces, runtime, **_: np.stack([by_side[float(side)] for side in faces.boxes[:, 2]]),
    )


# --- thresholds -------------------------------------------------------------------------------------------------------


def test_faces_are_searched_from_80_on_by_default(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(services, {"me": ME, "no": like_me(79.9), "just": like_me(80.1, way=2), "close": like_me(96, way=3)})
    see(monkeypatch, face_search, [ME])
    by_id = ask(search_faces, services, FaceId=face_id("me"))["FaceMatches"]
    assert [match["Face"]["FaceId"] for match in by_id] == [face_id("close"), face_id("just")]
    assert similarities(by_id) == pytest.approx([96, 80.1], abs=0.01)
    by_image = ask(search_faces_by_image, services, Image={})["FaceMatches"]
    assert [match["Face"]["FaceId"] for match in by_image] == [face_id(name) for name in ("me", "close", "just")]
    # a similarity that was answered is reached by its face, and by no other below it
    for handler, options in ((search_faces, {"FaceId": face_id("me")}), (search_faces_by_image, {"Image": {}})):
        least = similarities(by_id)[-1]
        exact = ask(handler, services, FaceMatchThreshold=least, **options)["FaceMatches"]
        above = ask(handler, services, FaceMatchThreshold=least + 0.001, **options)["FaceMatches"]
        assert len(exact) == len(above) + 1
        everything = ask(handler, services, FaceMatchThreshold=0.0, **options)["FaceMatches"]
        assert face_id("no") in {match["Face"]["FaceId"] for match in everything}


def test_users_are_searched_from_80_on_by_default(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(services, {"me": ME, "no": like_me(79.9), "just": like_me(80.1, way=2)})
    for name in ("no", "just"):
        ask(create_user, services, UserId=name)
        ask(associate_faces, services, UserId=name, FaceIds=[face_id(name)])
    see(monkeypatch, user_search, [ME])
    for handler, options in ((search_users, {"FaceId": face_id("me")}), (search_users_by_image, {"Image": {}})):
        (match,) = ask(handler, services, **options)["UserMatches"]
        assert match["User"] == {"UserId": "just", "UserStatus": "ACTIVE"}
        assert match["Similarity"] == pytest.approx(80.1, abs=0.01)
        assert len(ask(handler, services, UserMatchThreshold=match["Similarity"], **options)["UserMatches"]) == 1
        assert len(ask(handler, services, UserMatchThreshold=79.0, **options)["UserMatches"]) == 2


def test_faces_are_given_to_a_user_from_75_on_by_default(services: Services) -> None:
    keep(services, {"me": ME, "no": like_me(74.9), "yes": like_me(76, way=2)})
    ask(create_user, services, UserId="u")
    ask(associate_faces, services, UserId="u", FaceIds=[face_id("me")])
    answer = ask(associate_faces, services, UserId="u", FaceIds=[face_id("no")])
    (refused,) = answer["UnsuccessfulFaceAssociations"]
    assert refused["Reasons"] == ["LOW_MATCH_CONFIDENCE"]
    assert refused["Confidence"] == pytest.approx(74.9, abs=0.01)
    given = ask(associate_faces, services, UserId="u", FaceIds=[face_id("yes")])
    assert given["AssociatedFaces"] == [{"FaceId": face_id("yes")}]


def test_two_pictures_are_compared_from_80_on_by_default(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each face of the target is in one of the lists, the matches by similarity, also where one stands twice."""
    see(monkeypatch, compare, [ME, like_me(79.9), like_me(80.1, way=2), like_me(96, way=3), like_me(20, way=4)])
    answer = ask(compare_faces, services, SourceImage={}, TargetImage={})
    assert similarities(answer["FaceMatches"]) == pytest.approx([100, 96, 80.1], abs=0.01)
    assert len(answer["UnmatchedFaces"]) == 2
    assert not any("Similarity" in face for face in answer["UnmatchedFaces"])
    least = similarities(answer["FaceMatches"])[-1]
    for threshold, count in ((least, 3), (least + 0.001, 2), (0.0, 5), (100.0, 1)):
        again = ask(compare_faces, services, SourceImage={}, TargetImage={}, SimilarityThreshold=threshold)
        assert (len(again["FaceMatches"]), len(again["UnmatchedFaces"])) == (count, 5 - count)


# --- quality ----------------------------------------------------------------------------------------------------------


def test_searching_and_comparing_filter_no_quality_by_default(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(services, {"me": ME})
    for module in (compare, face_search, user_search):
        see(monkeypatch, module, [ME], brightness=1)
    assert len(ask(search_faces_by_image, services, Image={})["FaceMatches"]) == 1
    assert len(ask(compare_faces, services, SourceImage={}, TargetImage={})["FaceMatches"]) == 1
    by_image = ask(search_users_by_image, services, Image={})
    assert by_image["UnsearchedFaces"] == []
    assert "SearchedFace" in by_image
    for level in ("AUTO", "LOW", "MEDIUM", "HIGH"):
        with pytest.raises(InvalidParameterException, match=r"no faces in the image.*LOW_BRIGHTNESS"):
            ask(search_faces_by_image, services, Image={}, QualityFilter=level)
        with pytest.raises(InvalidParameterException, match=f"QualityFilter {level}"):
            ask(compare_faces, services, SourceImage={}, TargetImage={}, QualityFilter=level)
        left = ask(search_users_by_image, services, Image={}, QualityFilter=level)
        assert [face["Reasons"] for face in left["UnsearchedFaces"]] == [["LOW_BRIGHTNESS"]]
        assert (left["UserMatches"], "SearchedFace" in left) == ([], False)


# --- how many ---------------------------------------------------------------------------------------------------------


def test_more_faces_than_an_answer_holds(services: Services) -> None:
    noise = np.random.default_rng(4).normal(size=(4200, 128)).astype(np.float32)
    keep(services, {"me": ME} | dict(enumerate(noise)))
    found = ask(search_faces, services, FaceId=face_id("me"), FaceMatchThreshold=0.0)["FaceMatches"]
    assert len(found) == 4096
    assert face_id("me") not in {match["Face"]["FaceId"] for match in found}
    assert similarities(found) == sorted(similarities(found), reverse=True)
    cosines = np.sort(noise[:, 0] / np.linalg.norm(noise, axis=1))[::-1]
    assert similarities(found) == pytest.approx(SCALE.similarity(cosines[:4096]).tolist(), abs=0.001)
    few = ask(search_faces, services, FaceId=face_id("me"), FaceMatchThreshold=0.0, MaxFaces=3)["FaceMatches"]
    assert few == found[:3]

    page = ask(list_faces, services)
    assert len(page["Faces"]) == 1000
    assert len(ask(list_faces, services, MaxResults=0)["Faces"]) == 1000
    whole = ask(list_faces, services, MaxResults=4096)
    rest = ask(list_faces, services, MaxResults=4096, NextToken=whole["NextToken"])
    ids = [face["FaceId"] for face in whole["Faces"] + rest["Faces"]]
    assert (len(whole["Faces"]), len(ids), ids) == (4096, 4201, sorted(set(ids)))
    assert "NextToken" not in rest


def test_the_more_a_users_faces_differ_the_less_their_mean_counts(services: Services) -> None:
    """The mean's direction alone would be more like ME than one person's face at 92, though no face of it is."""
    keep(services, {"me": ME, "one": like_me(92)} | {way: like_me(83, way=way) for way in (2, 3, 4)})
    for user, names in (("one", ["one"]), ("three", [2, 3, 4])):
        ask(create_user, services, UserId=user)
        ids = [face_id(name) for name in names]
        given = ask(associate_faces, services, UserId=user, FaceIds=ids, UserMatchThreshold=0.0)
        assert len(given["AssociatedFaces"]) == len(ids)
    mean = np.mean([like_me(83, way=way) for way in (2, 3, 4)], axis=0)
    length = float(np.linalg.norm(mean))
    direction = mean / length
    assert float(SCALE.similarity(direction[0])) > 93
    expected = float(SCALE.similarity(direction[0] * length**0.75))
    matches = ask(search_users, services, FaceId=face_id("me"))["UserMatches"]
    assert [match["User"]["UserId"] for match in matches] == ["one", "three"]
    assert similarities(matches) == pytest.approx([92, expected], abs=0.01)
    assert ask(search_users, services, FaceId=face_id("me"), MaxUsers=1)["UserMatches"] == matches[:1]
    # the same between users, either way, and where a face is given to one
    between = float(SCALE.similarity(direction @ like_me(92) * length**0.75))
    for user in ("one", "three"):
        answer = ask(search_users, services, UserId=user, UserMatchThreshold=0.0)
        assert similarities(answer["UserMatches"]) == pytest.approx([between], abs=0.01)
    answer = ask(associate_faces, services, UserId="three", FaceIds=[face_id("me")], UserMatchThreshold=99.0)
    assert answer["UnsuccessfulFaceAssociations"][0]["Confidence"] == pytest.approx(expected, abs=0.01)


def test_more_users_than_an_answer_holds(services: Services) -> None:
    keep(services, {"me": ME} | {number: like_me(90, way=1 + number % 120) for number in range(502)})
    users = Users(services.database)
    with services.database.begin() as connection:  # a transaction for each would take minutes on a slow disk
        for number in range(502):
            users.create(connection, number_of(services), f"u{number}")
            users.associate(connection, number_of(services), f"u{number}", [face_id(number)], least=0)
    assert len(ask(search_users, services, FaceId=face_id("me"))["UserMatches"]) == 500
    assert len(ask(search_users, services, FaceId=face_id("me"), MaxUsers=7)["UserMatches"]) == 7
    page = ask(list_users, services)
    assert len(page["Users"]) == 500
    assert len(ask(list_users, services, NextToken=page["NextToken"])["Users"]) == 2
