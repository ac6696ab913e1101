"""Collections, indexed faces, search for faces and tags through an unmodified boto3 client."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

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


# --- collections ------------------------------------------------------------------------------------------------------


def test_the_life_of_a_collection(rekognition: "RekognitionClient") -> None:
    name = f"Life.of_a-{uuid4().hex[:8]}"
    made = rekognition.create_collection(CollectionId=name)
    assert made["StatusCode"] == 200
    assert made["CollectionArn"] == f"arn:aws:rekognition:us-east-1:000000000000:collection/{name}"
    assert re.fullmatch(r"[0-9.]+", made["FaceModelVersion"])
    described = rekognition.describe_collection(CollectionId=name)
    assert described.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    created = described.pop("CreationTimestamp")
    assert abs((datetime.now(UTC) - created).total_seconds()) < 30
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
