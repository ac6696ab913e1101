"""Two servers on one PostgreSQL database: each sees at once what the other acknowledged, as behind a load balancer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from openrek.cli.demo import boto3_client, running_server
from tests.acceptance.pictures import People

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

Pair = tuple["RekognitionClient", "RekognitionClient"]


@pytest.fixture(scope="module")
def pair(postgresql: str) -> Iterator[Pair]:
    """A client for each of two servers with homes of their own and one key, which the first server made."""
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgresql.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    env = {"OPENREK_DATABASE_URL": postgresql.format(name)}
    with ExitStack() as stack:
        first, credentials = stack.enter_context(running_server(env=env))
        second, _ = stack.enter_context(running_server(env=env))
        yield boto3_client(first, credentials), boto3_client(second, credentials)


@pytest.fixture
def people(photos: dict[str, Path]) -> People:
    return People(photos)


def test_what_one_acknowledged_the_other_finds(pair: Pair, people: People) -> None:
    here, there = pair
    here.create_collection(CollectionId="shared")
    indexed = there.index_faces(CollectionId="shared", Image={"Bytes": people.astronaut}, ExternalImageId="astronaut")
    face = indexed["FaceRecords"][0]["Face"]["FaceId"]
    found = here.search_faces_by_image(CollectionId="shared", Image={"Bytes": people.astronauts()[0]})
    assert [match["Face"]["FaceId"] for match in found["FaceMatches"]] == [face]
    here.create_user(CollectionId="shared", UserId="eileen")
    there.associate_faces(CollectionId="shared", UserId="eileen", FaceIds=[face])
    users = here.search_users(CollectionId="shared", FaceId=face)["UserMatches"]
    assert [match["User"]["UserId"] for match in users] == ["eileen"]
    refused = here.delete_faces(CollectionId="shared", FaceIds=[face])["UnsuccessfulFaceDeletions"][0]
    assert refused["Reasons"] == ["ASSOCIATED_TO_AN_EXISTING_USER"]
    there.disassociate_faces(CollectionId="shared", UserId="eileen", FaceIds=[face])
    assert here.delete_faces(CollectionId="shared", FaceIds=[face])["DeletedFaces"] == [face]
    assert there.search_faces_by_image(CollectionId="shared", Image={"Bytes": people.astronaut})["FaceMatches"] == []
    there.delete_collection(CollectionId="shared")
    with pytest.raises(here.exceptions.ResourceNotFoundException):
        here.describe_collection(CollectionId="shared")


def test_both_write_at_once_and_neither_loses_a_face(pair: Pair, people: People) -> None:
    pair[0].create_collection(CollectionId="busy")
    picture = people.group(hoppers=2)

    def index(number: int) -> list[str]:
        answer = pair[number % 2].index_faces(
            CollectionId="busy", Image={"Bytes": picture}, ExternalImageId=f"n{number}"
        )
        return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]

    with ThreadPoolExecutor(4) as pool:
        told = [face for faces in pool.map(index, range(8)) for face in faces]
    assert len(set(told)) == len(told) == 24
    for client in pair:
        listed = client.list_faces(CollectionId="busy", MaxResults=100)["Faces"]
        assert {face["FaceId"] for face in listed} == set(told)
        matches = client.search_faces(CollectionId="busy", FaceId=told[0], MaxFaces=100)["FaceMatches"]
        assert len(matches) in {7, 15}  # the same person in the other pictures


def test_a_page_token_of_one_continues_at_the_other(pair: Pair) -> None:
    here, there = pair
    for number in range(3):
        here.create_collection(CollectionId=f"page{number}")
    names, token = [], ""
    for client in (here, there, here, there, here):
        page = client.list_collections(MaxResults=1, **({"NextToken": token} if token else {}))
        names += page["CollectionIds"]
        token = page.get("NextToken", "")
        if not token:
            break
    assert {f"page{number}" for number in range(3)} <= set(names)
    assert len(names) == len(set(names))
