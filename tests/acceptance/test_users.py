"""Users and the search for them through an unmodified boto3 client."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.acceptance.conftest import Server
from tests.acceptance.pictures import People
from tests.acceptance.test_collections import (
    UNKNOWN,
    collection,
    index,
    new_collection,
    people,
    status,
    write_faces,
)

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

__all__ = ["collection", "new_collection", "people"]  # fixtures


class Indexed(NamedTuple):
    """A collection with three faces of an astronaut and one of an officer."""

    collection: str
    astronauts: list[str]
    hopper: str


@pytest.fixture
def indexed(rekognition: "RekognitionClient", collection: str, people: People) -> Indexed:
    astronauts = [index(rekognition, collection, data)[0] for data in (people.astronaut, *people.astronauts()[:2])]
    return Indexed(collection, astronauts, index(rekognition, collection, people.hopper)[0])


def parts(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def ids(faces: list[Any]) -> list[str]:
    return [face["FaceId"] for face in faces]


def test_a_user_comes_and_goes(rekognition: "RekognitionClient", indexed: Indexed) -> None:
    name = indexed.collection
    assert parts(rekognition.create_user(CollectionId=name, UserId="sally:1")) == {}
    assert rekognition.list_users(CollectionId=name)["Users"] == [{"UserId": "sally:1", "UserStatus": "CREATED"}]
    answer = rekognition.associate_faces(CollectionId=name, UserId="sally:1", FaceIds=indexed.astronauts)
    assert ids(answer["AssociatedFaces"]) == indexed.astronauts
    assert (answer["UnsuccessfulFaceAssociations"], answer["UserStatus"]) == ([], "ACTIVE")
    assert rekognition.list_users(CollectionId=name)["Users"] == [{"UserId": "sally:1", "UserStatus": "ACTIVE"}]
    assert rekognition.describe_collection(CollectionId=name)["UserCount"] == 1
    assert parts(rekognition.delete_user(CollectionId=name, UserId="sally:1")) == {}
    assert rekognition.list_users(CollectionId=name)["Users"] == []
    faces = rekognition.list_faces(CollectionId=name)["Faces"]
    assert len(faces) == 4
    assert not any("UserId" in face for face in faces)
    with pytest.raises(ClientError, match="The user id: sally:1 does not exist") as caught:
        rekognition.delete_user(CollectionId=name, UserId="sally:1")
    assert status(caught) == ("ResourceNotFoundException", 400)


def test_a_user_id_is_given_once_but_a_token_may_repeat(rekognition: "RekognitionClient", collection: str) -> None:
    def create(user: str, **token: str) -> None:
        rekognition.create_user(CollectionId=collection, UserId=user, **token)

    create("u", ClientRequestToken="first")
    create("u", ClientRequestToken="first")
    with pytest.raises(rekognition.exceptions.ConflictException):
        create("u", ClientRequestToken="second")
    with pytest.raises(rekognition.exceptions.ConflictException):
        create("u")  # the SDK makes up a token
    with pytest.raises(rekognition.exceptions.IdempotentParameterMismatchException):
        create("v", ClientRequestToken="first")
    rekognition.delete_user(CollectionId=collection, UserId="u")
    create("u", ClientRequestToken="first")  # the stored answer, though things have changed
    assert rekognition.list_users(CollectionId=collection)["Users"] == []


def test_a_token_repeats_the_answer_of_every_change(rekognition: "RekognitionClient", indexed: Indexed) -> None:
    name, face = indexed.collection, indexed.astronauts[0]
    rekognition.create_user(CollectionId=name, UserId="u")
    change: Any = {"CollectionId": name, "UserId": "u", "FaceIds": [face]}
    first = parts(rekognition.associate_faces(**change, ClientRequestToken="give"))
    assert first == {"AssociatedFaces": [{"FaceId": face}], "UnsuccessfulFaceAssociations": [], "UserStatus": "ACTIVE"}
    taken = parts(rekognition.disassociate_faces(**change, ClientRequestToken="take"))
    assert parts(rekognition.associate_faces(**change, ClientRequestToken="give")) == first  # and does nothing
    assert rekognition.list_faces(CollectionId=name, UserId="u")["Faces"] == []
    assert parts(rekognition.disassociate_faces(**change, ClientRequestToken="take")) == taken
    other: Any = {**change, "FaceIds": [indexed.hopper]}
    for ask, token in ((rekognition.associate_faces, "give"), (rekognition.disassociate_faces, "take")):
        with pytest.raises(rekognition.exceptions.IdempotentParameterMismatchException, match="already in use"):
            ask(**other, ClientRequestToken=token)
    rekognition.delete_user(CollectionId=name, UserId="u", ClientRequestToken="gone")
    rekognition.delete_user(CollectionId=name, UserId="u", ClientRequestToken="gone")
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.delete_user(CollectionId=name, UserId="u", ClientRequestToken="gone-too")


def test_a_user_that_is_not_there(rekognition: "RekognitionClient", indexed: Indexed) -> None:
    change: Any = {"CollectionId": indexed.collection, "UserId": "nobody", "FaceIds": [indexed.hopper]}
    for ask in (rekognition.associate_faces, rekognition.disassociate_faces):
        with pytest.raises(ClientError, match="The user id: nobody does not exist") as caught:
            ask(**change)
        assert status(caught) == ("ResourceNotFoundException", 400)


def test_a_user_has_at_most_a_hundred_faces(rekognition: "RekognitionClient", server: Server, collection: str) -> None:
    faces = write_faces(server, collection, np.ones((102, 128)))
    rekognition.create_user(CollectionId=collection, UserId="u")
    answer = rekognition.associate_faces(CollectionId=collection, UserId="u", FaceIds=faces[:100])
    assert len(answer["AssociatedFaces"]) == 100
    with pytest.raises(rekognition.exceptions.ServiceQuotaExceededException, match="at most 100 faces"):
        rekognition.associate_faces(CollectionId=collection, UserId="u", FaceIds=faces[100:])
    assert len(rekognition.list_faces(CollectionId=collection, UserId="u", MaxResults=4096)["Faces"]) == 100
    again = rekognition.associate_faces(CollectionId=collection, UserId="u", FaceIds=faces[:100])
    assert parts(again) == {"AssociatedFaces": [], "UnsuccessfulFaceAssociations": [], "UserStatus": "ACTIVE"}
    # matches name the user of a face
    found = rekognition.search_faces(CollectionId=collection, FaceId=faces[101])["FaceMatches"]
    assert [match["Face"].get("UserId") for match in found].count("u") == 100
    assert len(found) == 101


def test_an_associated_face_is_kept(rekognition: "RekognitionClient", indexed: Indexed) -> None:
    name, face = indexed.collection, indexed.astronauts[0]
    rekognition.create_user(CollectionId=name, UserId="u")
    rekognition.associate_faces(CollectionId=name, UserId="u", FaceIds=[face])
    answer = rekognition.delete_faces(CollectionId=name, FaceIds=[face])
    assert answer["DeletedFaces"] == []
    assert answer["UnsuccessfulFaceDeletions"] == [
        {"FaceId": face, "UserId": "u", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
    ]
    gone = rekognition.disassociate_faces(CollectionId=name, UserId="u", FaceIds=[face])
    assert ids(gone["DisassociatedFaces"]) == [face]
    assert gone["UserStatus"] == "CREATED"
    assert rekognition.delete_faces(CollectionId=name, FaceIds=[face])["DeletedFaces"] == [face]


def test_what_keeps_a_face_from_a_user(rekognition: "RekognitionClient", indexed: Indexed) -> None:
    name, (a, b, c) = indexed.collection, indexed.astronauts
    for user in ("u", "v"):
        rekognition.create_user(CollectionId=name, UserId=user)

    def associate(user: str, *faces: str, **options: Any) -> dict[str, Any]:
        answer = rekognition.associate_faces(CollectionId=name, UserId=user, FaceIds=list(faces), **options)
        return parts(answer)

    assert ids(associate("u", a)["AssociatedFaces"]) == [a]
    # again: in no list
    assert associate("u", a) == {"AssociatedFaces": [], "UnsuccessfulFaceAssociations": [], "UserStatus": "ACTIVE"}
    answer = associate("u", b, indexed.hopper, UNKNOWN)
    assert ids(answer["AssociatedFaces"]) == [b]
    low, unknown = answer["UnsuccessfulFaceAssociations"]
    assert (low["FaceId"], low["Reasons"]) == (indexed.hopper, ["LOW_MATCH_CONFIDENCE"])
    assert 0 <= low["Confidence"] < 75
    assert "UserId" not in low
    assert unknown == {"FaceId": UNKNOWN, "Reasons": ["FACE_NOT_FOUND"]}
    owned = associate("v", a, c)
    assert owned["UnsuccessfulFaceAssociations"] == [
        {"FaceId": a, "UserId": "u", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}
    ]
    assert ids(owned["AssociatedFaces"]) == [c]
    # the first face of a user needs to be like nobody, and a threshold of 0 lets everybody in
    rekognition.create_user(CollectionId=name, UserId="w")
    assert ids(associate("w", indexed.hopper, UserMatchThreshold=100)["AssociatedFaces"]) == [indexed.hopper]
    answer = rekognition.disassociate_faces(CollectionId=name, UserId="w", FaceIds=[a, UNKNOWN])
    assert answer["DisassociatedFaces"] == []
    assert answer["UnsuccessfulFaceDisassociations"] == [
        {"FaceId": a, "UserId": "u", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
        {"FaceId": UNKNOWN, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    rekognition.disassociate_faces(CollectionId=name, UserId="v", FaceIds=[c])
    # nobody's: in no list
    nobodys = parts(rekognition.disassociate_faces(CollectionId=name, UserId="v", FaceIds=[c]))
    assert nobodys == {"DisassociatedFaces": [], "UnsuccessfulFaceDisassociations": [], "UserStatus": "CREATED"}
    assert ids(associate("w", c, UserMatchThreshold=0)["AssociatedFaces"]) == [c]


def test_faces_of_a_user_are_listed(rekognition: "RekognitionClient", indexed: Indexed) -> None:
    name = indexed.collection
    rekognition.create_user(CollectionId=name, UserId="u")
    rekognition.associate_faces(CollectionId=name, UserId="u", FaceIds=indexed.astronauts[:2])
    faces = rekognition.list_faces(CollectionId=name, UserId="u")["Faces"]
    assert set(ids(faces)) == set(indexed.astronauts[:2])
    assert {face["UserId"] for face in faces} == {"u"}
    both = rekognition.list_faces(CollectionId=name, UserId="u", FaceIds=indexed.astronauts[1:])["Faces"]
    assert ids(both) == [indexed.astronauts[1]]


def test_users_are_listed_in_pages(rekognition: "RekognitionClient", new_collection: Callable[[], str]) -> None:
    one, two = new_collection(), new_collection()
    names = [f"user-{number}" for number in range(5)]
    for user in names:
        rekognition.create_user(CollectionId=one, UserId=user)
    seen: list[str] = []
    for page in rekognition.get_paginator("list_users").paginate(CollectionId=one, PaginationConfig={"PageSize": 2}):
        assert len(page["Users"]) <= 2
        seen += [user["UserId"] for user in page["Users"]]
    assert sorted(seen) == names
    token = rekognition.list_users(CollectionId=one, MaxResults=2)["NextToken"]
    with pytest.raises(rekognition.exceptions.InvalidPaginationTokenException):
        rekognition.list_users(CollectionId=two, MaxResults=2, NextToken=token)


def test_searching_users(rekognition: "RekognitionClient", indexed: Indexed, people: People) -> None:
    name, (a, b, c) = indexed.collection, indexed.astronauts
    for user, faces in (("sally", [a]), ("twin", [b]), ("grace", [indexed.hopper]), ("nobody", [])):
        rekognition.create_user(CollectionId=name, UserId=user)
        if faces:
            rekognition.associate_faces(CollectionId=name, UserId=user, FaceIds=faces)

    def users(answer: Any) -> list[str]:
        similarities = [match["Similarity"] for match in answer["UserMatches"]]
        assert similarities == sorted(similarities, reverse=True)
        assert {match["User"]["UserStatus"] for match in answer["UserMatches"]} <= {"ACTIVE"}
        return [match["User"]["UserId"] for match in answer["UserMatches"]]

    by_user = rekognition.search_users(CollectionId=name, UserId="sally")
    assert by_user["SearchedUser"] == {"UserId": "sally"}
    assert "SearchedFace" not in by_user
    assert users(by_user) == ["twin"]  # without the user that was asked for
    by_face = rekognition.search_users(CollectionId=name, FaceId=c)
    assert by_face["SearchedFace"] == {"FaceId": c}
    assert "SearchedUser" not in by_face
    assert set(users(by_face)) == {"sally", "twin"}
    assert users(rekognition.search_users(CollectionId=name, FaceId=a))[0] == "sally"  # its own user may match
    assert len(users(rekognition.search_users(CollectionId=name, FaceId=c, MaxUsers=1))) == 1
    everyone = rekognition.search_users(CollectionId=name, FaceId=c, UserMatchThreshold=0)
    assert users(everyone)[-1:] == ["grace"]
    assert users(rekognition.search_users(CollectionId=name, UserId="nobody")) == []

    group = rekognition.search_users_by_image(CollectionId=name, Image={"Bytes": people.group()})
    assert set(users(group)) == {"sally", "twin"}
    assert {"BoundingBox", "Landmarks", "Pose", "Quality"} <= group["SearchedFace"]["FaceDetail"].keys()
    assert [face["Reasons"] for face in group["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]] * 2
    assert all("BoundingBox" in face["FaceDetails"] for face in group["UnsearchedFaces"])
    grace = rekognition.search_users_by_image(CollectionId=name, Image={"Bytes": people.hopper})
    assert users(grace) == ["grace"]
    rekognition.delete_user(CollectionId=name, UserId="grace")
    assert rekognition.search_users_by_image(CollectionId=name, Image={"Bytes": people.hopper})["UserMatches"] == []


def test_search_needs_exactly_one_id(rekognition: "RekognitionClient", collection: str) -> None:
    for options in ({}, {"UserId": "u", "FaceId": UNKNOWN}):
        with pytest.raises(rekognition.exceptions.InvalidParameterException, match="exactly one of UserId and FaceId"):
            rekognition.search_users(CollectionId=collection, **options)
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.search_users(CollectionId=collection, UserId="no-such")
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.search_users(CollectionId=collection, FaceId=UNKNOWN)
