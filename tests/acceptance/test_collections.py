"""Collections, indexed faces, search for faces and tags through an unmodified boto3 client."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from botocore.exceptions import ClientError

from openrek.service.face_attributes import MEMBERS
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.faces import Faces, NewFace
from tests.acceptance.conftest import Server
from tests.acceptance.pictures import People

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

FACE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
UNKNOWN = "01234567-89ab-4def-8123-456789abcdef"


@pytest.fixture(scope="session")
def people(photos: dict[str, Path]) -> People:
    return People(photos)


@pytest.fixture
def new_collection(rekognition: "RekognitionClient") -> Iterator[Callable[[], str]]:
    """Makes empty collections, which are deleted in the end: other tests of this server expect none."""
    made: list[str] = []

    def make() -> str:
        made.append(f"test-{uuid4().hex[:12]}")
        rekognition.create_collection(CollectionId=made[-1])
        return made[-1]

    yield make
    for name in made:
        rekognition.delete_collection(CollectionId=name)


@pytest.fixture
def collection(new_collection: Callable[[], str]) -> str:
    return new_collection()


def status(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def index(rekognition: "RekognitionClient", collection: str, data: bytes, **options: Any) -> list[str]:
    """The ids of the faces that a picture brought."""
    answer = rekognition.index_faces(CollectionId=collection, Image={"Bytes": data}, **options)
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def write_faces(server: Server, collection: str, vectors: "np.ndarray[Any, Any]") -> list[str]:
    """Faces with these vectors, which this process writes beside the server: nobody needs thousands of photos; ids."""
    database = Database.open(f"sqlite:///{server.home / 'openrek.db'}")
    try:
        found = Collections(database).find("000000000000", "us-east-1", collection)
        assert found is not None
        new = [
            NewFace(str(uuid4()), UNKNOWN, None, (0.25, 0.25, 0.5, 0.5), 99, found.face_model_version, vector)
            for vector in vectors.astype(np.float32)
        ]
        return [face.face_id for face in Faces(database).add(found.number, new)]
    finally:
        database.close()


# --- collections ------------------------------------------------------------------------------------------------------


def test_the_life_of_a_collection(rekognition: "RekognitionClient") -> None:
    name = f"Life.of_a-{uuid4().hex[:8]}"
    before = datetime.now(UTC)
    made = rekognition.create_collection(CollectionId=name)
    after = datetime.now(UTC)
    assert made["StatusCode"] == 200
    assert made["CollectionArn"] == f"arn:aws:rekognition:us-east-1:000000000000:collection/{name}"
    assert re.fullmatch(r"[0-9.]+", made["FaceModelVersion"])
    described = rekognition.describe_collection(CollectionId=name)
    assert described.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    created = described.pop("CreationTimestamp")
    assert before - timedelta(milliseconds=1) <= created <= after
    assert described == {
        "FaceCount": 0,
        "UserCount": 0,
        "FaceModelVersion": made["FaceModelVersion"],
        "CollectionARN": made["CollectionArn"],
    }
    listed = rekognition.list_collections()
    assert name in listed["CollectionIds"]
    assert listed["FaceModelVersions"][listed["CollectionIds"].index(name)] == made["FaceModelVersion"]
    with pytest.raises(rekognition.exceptions.ResourceAlreadyExistsException, match=f"{name} already exists"):
        rekognition.create_collection(CollectionId=name)
    assert rekognition.delete_collection(CollectionId=name)["StatusCode"] == 200
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException) as caught:
        rekognition.delete_collection(CollectionId=name)
    assert status(caught) == ("ResourceNotFoundException", 400)
    assert name not in rekognition.list_collections()["CollectionIds"]


def test_ids_of_collections_tell_capitals_apart(
    rekognition: "RekognitionClient", new_collection: Callable[[], str]
) -> None:
    name = new_collection()
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.describe_collection(CollectionId=name.upper())
    rekognition.create_collection(CollectionId=name.upper())
    rekognition.delete_collection(CollectionId=name.upper())
    assert rekognition.describe_collection(CollectionId=name)["FaceCount"] == 0


def test_every_page_of_collections_has_as_many_versions(
    rekognition: "RekognitionClient", new_collection: Callable[[], str]
) -> None:
    names = {new_collection() for _ in range(5)}
    seen: list[str] = []
    for page in rekognition.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 2}):
        assert len(page["CollectionIds"]) == len(page["FaceModelVersions"]) <= 2
        seen += page["CollectionIds"]
    assert names <= set(seen)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_collection", {}),
        ("delete_collection", {}),
        ("index_faces", {"Image": {"Bytes": b"any"}}),
        ("list_faces", {}),
        ("delete_faces", {"FaceIds": [UNKNOWN]}),
        ("search_faces", {"FaceId": UNKNOWN}),
        ("search_faces_by_image", {"Image": {"Bytes": b"any"}}),
        ("create_user", {"UserId": "u"}),
        ("delete_user", {"UserId": "u"}),
        ("list_users", {}),
        ("associate_faces", {"UserId": "u", "FaceIds": [UNKNOWN]}),
        ("disassociate_faces", {"UserId": "u", "FaceIds": [UNKNOWN]}),
        ("search_users", {"UserId": "u"}),
        ("search_users_by_image", {"Image": {"Bytes": b"any"}}),
    ],
)
def test_a_collection_that_is_not_there(
    rekognition: "RekognitionClient", operation: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match="The collection id: no-such does not exist") as caught:
        getattr(rekognition, operation)(CollectionId="no-such", **parameters)
    assert status(caught) == ("ResourceNotFoundException", 400)


# --- indexing ---------------------------------------------------------------------------------------------------------


def test_a_portrait_is_indexed_once(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    first = rekognition.index_faces(
        CollectionId=collection, Image={"Bytes": people.astronaut}, ExternalImageId="me:1_a.b-c"
    )
    (record,) = first["FaceRecords"]
    face, detail = record["Face"], record["FaceDetail"]
    assert FACE_ID.fullmatch(face["FaceId"])
    assert FACE_ID.fullmatch(face["ImageId"])
    assert face["ExternalImageId"] == "me:1_a.b-c"
    assert face["BoundingBox"] == pytest.approx(detail["BoundingBox"])
    assert face["Confidence"] == pytest.approx(detail["Confidence"])
    assert face["IndexFacesModelVersion"] == first["FaceModelVersion"]
    assert "UserId" not in face
    assert {"Landmarks", "Pose", "Quality"} <= detail.keys()
    assert first["UnindexedFaces"] == []
    assert "OrientationCorrection" not in first
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 1

    again = rekognition.index_faces(
        CollectionId=collection, Image={"Bytes": people.astronaut}, ExternalImageId="me:1_a.b-c"
    )
    assert again["FaceRecords"][0]["Face"] == face
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 1

    # another external id, or none, is another entry of the same picture
    answer = rekognition.index_faces(CollectionId=collection, Image={"Bytes": people.astronaut})
    (other,) = answer["FaceRecords"]
    assert other["Face"]["FaceId"] != face["FaceId"]
    assert other["Face"]["ImageId"] == face["ImageId"]
    assert "ExternalImageId" not in other["Face"]
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 2


def test_the_same_picture_has_the_same_ids_in_every_collection(
    rekognition: "RekognitionClient", new_collection: Callable[[], str], people: People
) -> None:
    one, two = (index(rekognition, new_collection(), people.group()) for _ in range(2))
    assert one == two
    assert len(set(one)) == 3


def test_the_largest_face_of_a_group(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    answer = rekognition.index_faces(CollectionId=collection, Image={"Bytes": people.group()}, MaxFaces=1)
    (record,) = answer["FaceRecords"]
    rest = answer["UnindexedFaces"]
    assert [face["Reasons"] for face in rest] == [["EXCEEDS_MAX_FACES"]] * 2

    def area(detail: Any) -> float:
        return float(detail["BoundingBox"]["Width"] * detail["BoundingBox"]["Height"])

    assert area(record["FaceDetail"]) > max(area(face["FaceDetail"]) for face in rest)
    assert all({"BoundingBox", "Confidence", "Landmarks"} <= face["FaceDetail"].keys() for face in rest)
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 1

    # all of them: the one that is there keeps its id; the largest come first
    answer = rekognition.index_faces(CollectionId=collection, Image={"Bytes": people.group()})
    assert answer["FaceRecords"][0]["Face"]["FaceId"] == record["Face"]["FaceId"]
    areas = [area(each["FaceDetail"]) for each in answer["FaceRecords"]]
    assert areas == sorted(areas, reverse=True)
    assert len({each["Face"]["ImageId"] for each in answer["FaceRecords"]}) == 1
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 3


def test_the_attributes_of_indexed_faces_are_answered_and_not_kept(
    rekognition: "RekognitionClient", collection: str, people: People
) -> None:
    default = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    for asked, members, points in (
        ([], default, 5),
        (["SMILE"], default | {"Smile"}, 5),
        (["ALL", "DEFAULT"], default | set(MEMBERS.values()), 30),
    ):
        answer = rekognition.index_faces(
            CollectionId=collection, Image={"Bytes": people.group()}, DetectionAttributes=asked, MaxFaces=1
        )
        details = [each["FaceDetail"] for each in (*answer["FaceRecords"], *answer["UnindexedFaces"])]
        assert len(details) == 3
        for detail in details:
            assert set(detail) == members
            assert len(detail["Landmarks"]) == points
    (face,) = rekognition.list_faces(CollectionId=collection)["Faces"]
    assert set(face) == {"FaceId", "BoundingBox", "ImageId", "Confidence", "IndexFacesModelVersion"}


def test_fifty_faces(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    wall = {"Bytes": people.wall(50)}
    some = rekognition.index_faces(CollectionId=collection, Image=wall, MaxFaces=10)
    assert len(some["FaceRecords"]) == 10
    assert [face["Reasons"] for face in some["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]] * 40
    answer = rekognition.index_faces(CollectionId=collection, Image=wall, MaxFaces=1000)
    ids = [record["Face"]["FaceId"] for record in answer["FaceRecords"]]
    assert len(set(ids)) == len(ids) == 50
    assert {record["Face"]["FaceId"] for record in some["FaceRecords"]} <= set(ids)
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 50
    found = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": people.astronaut})
    assert len(found["FaceMatches"]) == 25


def test_faces_that_are_hard_to_see(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    """On her head, cut by the border, tiny, and drawn: each is indexed, and the photos find the person."""
    made = {name: index(rekognition, collection, getattr(people, name)()) for name in ("upside_down", "cut", "tiny")}
    (drawn,) = index(rekognition, collection, people.drawing(), ExternalImageId="drawing")
    assert {name: len(ids) for name, ids in made.items()} == {"upside_down": 1, "cut": 1, "tiny": 1}
    (stored,) = rekognition.list_faces(CollectionId=collection, FaceIds=made["cut"])["Faces"]
    assert stored["BoundingBox"]["Left"] < 0
    for picture, expected in (
        (people.astronaut, made["upside_down"] + made["tiny"]),
        (people.hopper, made["cut"]),
        (people.upside_down(), made["upside_down"] + made["tiny"]),
        (people.tiny(), made["upside_down"] + made["tiny"]),
        (people.cut(), made["cut"]),
    ):
        answer = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": picture})
        assert {match["Face"]["FaceId"] for match in answer["FaceMatches"]} - {drawn} == set(expected)


def test_the_quality_filter(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    dark = people.dark()
    none = rekognition.index_faces(CollectionId=collection, Image={"Bytes": dark}, QualityFilter="NONE")
    assert (len(none["FaceRecords"]), none["UnindexedFaces"]) == (1, [])
    high = rekognition.index_faces(CollectionId=collection, Image={"Bytes": dark}, QualityFilter="HIGH")
    assert high["FaceRecords"] == []
    (left,) = high["UnindexedFaces"]
    assert "LOW_BRIGHTNESS" in left["Reasons"]
    assert left["FaceDetail"]["Quality"]["Brightness"] < 25
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match="no faces in the image"):
        rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": dark}, QualityFilter="HIGH")
    users = rekognition.search_users_by_image(CollectionId=collection, Image={"Bytes": dark}, QualityFilter="HIGH")
    assert "SearchedFace" not in users
    assert "LOW_BRIGHTNESS" in users["UnsearchedFaces"][0]["Reasons"]


def test_a_picture_without_a_face(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    picture = {"Bytes": people.landscape}
    answer = rekognition.index_faces(CollectionId=collection, Image=picture)
    assert (answer["FaceRecords"], answer["UnindexedFaces"]) == ([], [])
    with pytest.raises(rekognition.exceptions.InvalidParameterException) as caught:
        rekognition.search_faces_by_image(CollectionId=collection, Image=picture)
    assert caught.value.response["Error"]["Message"] == "There are no faces in the image. Should be at least 1."
    users = rekognition.search_users_by_image(CollectionId=collection, Image=picture)
    assert (users["UserMatches"], users["UnsearchedFaces"]) == ([], [])
    assert "SearchedFace" not in users


def test_an_external_id_with_a_slash(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    with pytest.raises(ClientError, match=re.escape(r"pattern: [a-zA-Z0-9_.\-:]+")) as caught:
        index(rekognition, collection, people.astronaut, ExternalImageId="a/b")
    assert status(caught) == ("ValidationException", 400)


def test_a_damaged_picture_leaves_nothing(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    for data in (b"GIF89a" + bytes(100), people.astronaut[:2000], b"\xff\xd8\xff\xe0"):
        with pytest.raises(rekognition.exceptions.InvalidImageFormatException):
            index(rekognition, collection, data)
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 0


# --- listing and deleting ---------------------------------------------------------------------------------------------


def test_faces_are_listed_in_pages(
    rekognition: "RekognitionClient", new_collection: Callable[[], str], people: People
) -> None:
    collection, other = new_collection(), new_collection()
    ids = index(rekognition, collection, people.group(hoppers=3)) + index(rekognition, collection, people.hopper)
    seen: list[str] = []
    for page in rekognition.get_paginator("list_faces").paginate(
        CollectionId=collection, PaginationConfig={"PageSize": 2}
    ):
        assert len(page["Faces"]) <= 2
        seen += [face["FaceId"] for face in page["Faces"]]
    assert seen == sorted(ids)
    some = rekognition.list_faces(CollectionId=collection, FaceIds=[ids[2], UNKNOWN, ids[0]])
    assert {face["FaceId"] for face in some["Faces"]} == {ids[0], ids[2]}
    assert "NextToken" not in some
    token = rekognition.list_faces(CollectionId=collection, MaxResults=2)["NextToken"]
    with pytest.raises(rekognition.exceptions.InvalidPaginationTokenException):
        rekognition.list_faces(CollectionId=other, MaxResults=2, NextToken=token)
    with pytest.raises(rekognition.exceptions.InvalidPaginationTokenException):
        rekognition.list_faces(CollectionId=collection, NextToken="made-up")


def test_deleting_a_face_and_an_unknown_one(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    (face_id,) = index(rekognition, collection, people.hopper)
    answer = rekognition.delete_faces(CollectionId=collection, FaceIds=[face_id, UNKNOWN])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["DeletedFaces"] == [face_id]
    assert answer["UnsuccessfulFaceDeletions"] == [{"FaceId": UNKNOWN, "Reasons": ["FACE_NOT_FOUND"]}]
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 0
    assert rekognition.list_faces(CollectionId=collection)["Faces"] == []
    assert index(rekognition, collection, people.hopper) == [face_id]  # back under its id


# --- searching --------------------------------------------------------------------------------------------------------


def test_search_finds_the_person_and_not_the_face_itself(
    rekognition: "RekognitionClient", collection: str, people: People
) -> None:
    (face_id,) = index(rekognition, collection, people.astronaut)
    others = [index(rekognition, collection, data)[0] for data in people.astronauts()]
    (stranger,) = index(rekognition, collection, people.hopper)
    answer = rekognition.search_faces(CollectionId=collection, FaceId=face_id)
    assert answer["SearchedFaceId"] == face_id
    found = [match["Face"]["FaceId"] for match in answer["FaceMatches"]]
    assert set(found) == set(others)
    similarities = [match["Similarity"] for match in answer["FaceMatches"]]
    assert similarities == sorted(similarities, reverse=True)
    assert all(80 <= value <= 100 for value in similarities)
    best = rekognition.search_faces(CollectionId=collection, FaceId=face_id, MaxFaces=2)
    assert [match["Face"]["FaceId"] for match in best["FaceMatches"]] == found[:2]
    everyone = rekognition.search_faces(CollectionId=collection, FaceId=face_id, FaceMatchThreshold=0)
    assert [match["Face"]["FaceId"] for match in everyone["FaceMatches"]] == [*found, stranger]
    # a threshold is inclusive
    exactly = rekognition.search_faces(CollectionId=collection, FaceId=face_id, FaceMatchThreshold=similarities[0])
    assert [match["Face"]["FaceId"] for match in exactly["FaceMatches"]] == found[:1]


def test_search_by_picture_sees_each_write_at_once(
    rekognition: "RekognitionClient", collection: str, people: People
) -> None:
    def search(data: bytes) -> list[str]:
        answer = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": data})
        assert answer["SearchedFaceConfidence"] > 90
        assert 0 < answer["SearchedFaceBoundingBox"]["Width"] < 1
        return [match["Face"]["FaceId"] for match in answer["FaceMatches"]]

    assert search(people.astronaut) == []
    (hopper,) = index(rekognition, collection, people.hopper)
    assert search(people.astronaut) == []
    (astronaut,) = index(rekognition, collection, people.astronaut)
    assert search(people.astronaut) == [astronaut]
    assert search(people.hopper) == [hopper]
    assert search(people.group())[:1] == [astronaut]  # its largest face
    rekognition.delete_faces(CollectionId=collection, FaceIds=[astronaut])
    assert search(people.astronaut) == []


def test_the_same_picture_is_as_similar_as_can_be(
    rekognition: "RekognitionClient", collection: str, people: People
) -> None:
    index(rekognition, collection, people.hopper)
    answer = rekognition.search_faces_by_image(
        CollectionId=collection, Image={"Bytes": people.hopper}, FaceMatchThreshold=99.9
    )
    assert answer["FaceMatches"][0]["Similarity"] >= 99.9


def test_a_threshold_that_nobody_reaches(rekognition: "RekognitionClient", collection: str, people: People) -> None:
    (face_id,) = index(rekognition, collection, people.astronaut)
    index(rekognition, collection, people.hopper)
    answer = rekognition.search_faces(CollectionId=collection, FaceId=face_id, FaceMatchThreshold=99.9)
    assert answer["FaceMatches"] == []


def test_more_faces_than_an_answer_holds_and_deleting_while_searching(
    rekognition: "RekognitionClient", server: Server, collection: str
) -> None:
    ids = write_faces(server, collection, np.random.default_rng(11).normal(size=(4200, 128)))
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 4200

    def search(**options: int) -> list[str]:
        answer = rekognition.search_faces(CollectionId=collection, FaceId=ids[0], FaceMatchThreshold=0, **options)
        similarities = [match["Similarity"] for match in answer["FaceMatches"]]
        assert similarities == sorted(similarities, reverse=True)
        return [match["Face"]["FaceId"] for match in answer["FaceMatches"]]

    best = search()
    assert len(set(best)) == len(best) == 4096
    assert search(MaxFaces=5) == best[:5]
    assert search(MaxFaces=4096) == best
    assert len(rekognition.list_faces(CollectionId=collection)["Faces"]) == 1000
    seen = [
        face["FaceId"]
        for page in rekognition.get_paginator("list_faces").paginate(CollectionId=collection)
        for face in page["Faces"]
    ]
    assert seen == sorted(ids)

    with ThreadPoolExecutor(1) as pool:
        batches = [ids[start : start + 350] for start in range(1, len(ids), 350)]
        deleting = pool.submit(
            lambda: [
                rekognition.delete_faces(CollectionId=collection, FaceIds=batch)["UnsuccessfulFaceDeletions"]
                for batch in batches
            ]
        )
        sizes = [len(search())]
        while not deleting.done():
            sizes.append(len(search()))
        assert deleting.result() == [[]] * len(batches)
    assert sizes == sorted(sizes, reverse=True)
    assert search() == []
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 1


def test_a_face_that_is_not_there(rekognition: "RekognitionClient", collection: str) -> None:
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException, match=UNKNOWN):
        rekognition.search_faces(CollectionId=collection, FaceId=UNKNOWN)


# --- tags -------------------------------------------------------------------------------------------------------------


def test_tags_of_a_collection(rekognition: "RekognitionClient") -> None:
    name = f"tagged-{uuid4().hex[:8]}"
    arn = rekognition.create_collection(CollectionId=name, Tags={"team": "Größe", "empty": ""})["CollectionArn"]
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "Größe", "empty": ""}
    rekognition.tag_resource(ResourceArn=arn, Tags={"team": "red", "cost": "1"})
    rekognition.untag_resource(ResourceArn=arn, TagKeys=["empty", "no-such"])
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "red", "cost": "1"}
    with pytest.raises(ClientError) as caught:
        rekognition.tag_resource(ResourceArn=arn, Tags={"aws:x": "1"})
    assert status(caught) == ("ValidationException", 400)
    with pytest.raises(rekognition.exceptions.ServiceQuotaExceededException):
        rekognition.tag_resource(ResourceArn=arn, Tags={f"k{n}": "" for n in range(199)})
    rekognition.delete_collection(CollectionId=name)
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.list_tags_for_resource(ResourceArn=arn)
    rekognition.create_collection(CollectionId=name)
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}
    rekognition.delete_collection(CollectionId=name)


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("this-is-not-an-arn-at-all", "InvalidParameterException"),
        ("arn:aws:s3:us-east-1:000000000000:collection/x", "InvalidParameterException"),
        ("arn:aws:rekognition:us-east-1:000000000000:collection/no-such", "ResourceNotFoundException"),
        ("arn:aws:rekognition:us-east-1:111111111111:collection/x", "ResourceNotFoundException"),
        ("arn:aws:rekognition:us-east-1:000000000000:streamprocessor/x", "ResourceNotFoundException"),
    ],
)
def test_tags_of_what_is_not_there(rekognition: "RekognitionClient", arn: str, code: str) -> None:
    for ask in (
        lambda: rekognition.list_tags_for_resource(ResourceArn=arn),
        lambda: rekognition.tag_resource(ResourceArn=arn, Tags={"a": "b"}),
        lambda: rekognition.untag_resource(ResourceArn=arn, TagKeys=["a"]),
    ):
        with pytest.raises(ClientError) as caught:
            ask()
        assert status(caught) == (code, 400)
