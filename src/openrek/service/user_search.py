"""Which user it is: SearchUsers and SearchUsersByImage."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openrek.contract.call import Call
from openrek.contract.errors import InvalidParameterException
from openrek.service.collections import find_collection, still_there
from openrek.service.face_model import model_of
from openrek.service.face_quality import FACE_NOT_LARGEST, NONE, quality_reasons
from openrek.service.face_search import Floats, stored_face
from openrek.service.faces import face_details
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.service.users import missing_user, user_status
from openrek.store.collections import Collection
from openrek.store.users import User, Users
from openrek.vision.faces import PICTURE_SIDE, detect_faces
from openrek.vision.faces.embedding import embed_faces
from openrek.vision.faces.similarity import cosine_for, similarity

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        SearchUsersByImageRequestTypeDef,
        SearchUsersRequestTypeDef,
        UserMatchTypeDef,
    )

THRESHOLD: Final = 80.0
MAX_USERS: Final = 500
"""The most matches of the service model, and the default."""


@operation("SearchUsers")
def search_users(request: "SearchUsersRequestTypeDef", call: Call, services: Services) -> Response:
    """The users that are like a face of the collection, or like another user of it."""
    user_id, face_id = request.get("UserId"), request.get("FaceId")
    if (user_id is None) == (face_id is None):
        raise InvalidParameterException(
            "Request has invalid parameters: exactly one of UserId and FaceId must be given; "
            f"{'neither is' if user_id is None else 'both are'}"
        )
    collection = find_collection(call, services, request["CollectionId"])
    response: dict[str, Any] = {"FaceModelVersion": collection.face_model_version}
    if user_id is not None:
        user = Users(services.database).find(collection.number, user_id)
        if user is None:
            raise missing_user(user_id)
        response["SearchedUser"] = {"UserId": user_id}
        response["UserMatches"] = (
            _matches(services, collection, user.vector, request, user) if user.vector is not None else []
        )
        return response
    assert face_id is not None
    face = stored_face(services, collection, face_id)
    assert face.vector is not None
    response["SearchedFace"] = {"FaceId": face_id}
    response["UserMatches"] = _matches(services, collection, face.vector, request)
    return response


@operation("SearchUsersByImage")
def search_users_by_image(request: "SearchUsersByImageRequestTypeDef", call: Call, services: Services) -> Response:
    """The users that are like the largest face of a picture; without a face that can be searched, none is."""
    collection = find_collection(call, services, request["CollectionId"])
    model = model_of(collection, services)
    encoded = open_request_image(request["Image"], services)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    faces = detect_faces(picture, services.runtime)
    details = face_details(picture, faces, (), services.runtime)
    level = request.get("QualityFilter", NONE)
    reasons = [quality_reasons(faces, index, level) for index in range(len(faces))]
    reasons[1:] = [(FACE_NOT_LARGEST, *each) for each in reasons[1:]]
    response: dict[str, Any] = {
        "UserMatches": [],
        "FaceModelVersion": collection.face_model_version,
        "UnsearchedFaces": [
            {"FaceDetails": detail, "Reasons": list(each)}
            for detail, each in zip(details, reasons, strict=True)
            if each
        ],
    }
    if reasons and not reasons[0]:
        vector = embed_faces(picture, faces.select(slice(1)), services.runtime, model=model.name)[0]
        response["SearchedFace"] = {"FaceDetail": details[0]}
        response["UserMatches"] = _matches(services, collection, vector, request)
    return response


def _matches(
    services: Services, collection: Collection, vector: Floats, request: Mapping[str, Any], searched: User | None = None
) -> "list[UserMatchTypeDef]":
    """UserMatch members of a face's vector, or of that of the user `searched`, who is left out.

    The factors of users change the order of their cosines, so the most are asked for, however few are wanted.
    """
    model = model_of(collection, services)
    threshold = request.get("UserMatchThreshold", THRESHOLD)
    least = cosine_for(threshold, model)
    with still_there(collection):
        numbers, cosines = services.vectors.search(
            collection.number, vector, least=least if least > 0 else -1, limit=MAX_USERS + 1, kind="users"
        )
    store = Users(services.database)
    own = searched.number if searched is not None else 0
    factors = store.factors([own, *numbers])
    matches = [
        (float(similarity(cosine * factors[number] * factors.get(own, 1.0), model)), number)
        for number, cosine in zip(numbers.tolist(), cosines.tolist(), strict=True)
        if number != own and number in factors
    ]
    matches = sorted((match for match in matches if match[0] >= threshold), key=lambda match: -match[0])
    users = store.numbered(collection.number, [number for _, number in matches])
    return [
        {
            "Similarity": value,
            "User": {"UserId": users[number].user_id, "UserStatus": user_status(users[number].face_count)},
        }
        for value, number in matches[: request.get("MaxUsers", MAX_USERS)]
        if number in users
    ]
