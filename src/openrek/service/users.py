"""Users: CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces.

Changes are applied before the answer: a user is ACTIVE with faces and CREATED without, never UPDATING.
"""

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from sqlalchemy import Connection

from openrek.contract.call import Call
from openrek.contract.errors import (
    ConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
)
from openrek.service.collections import find_collection, hold_collection
from openrek.service.face_model import model_of
from openrek.service.idempotency import once
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.errors import ExistsError, FullError, UserMissingError
from openrek.store.users import MAX_FACES, Refusal, Users
from openrek.vision.faces.similarity import cosine_for, similarity
from openrek.vision.runtime.cards import Card

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        AssociateFacesRequestTypeDef,
        CreateUserRequestTypeDef,
        DeleteUserRequestTypeDef,
        DisassociateFacesRequestTypeDef,
        ListUsersRequestTypeDef,
    )

PAGE: Final = 500
"""The largest page of the service model, and the default."""
THRESHOLD: Final = 75.0


@operation("CreateUser")
def create_user(request: "CreateUserRequestTypeDef", call: Call, services: Services) -> Response:
    """A user without faces."""

    def work(connection: Connection) -> Response:
        collection = hold_collection(connection, call, services, request["CollectionId"])
        limit = services.settings.max_collection_users
        try:
            Users(services.database).create(connection, collection.number, request["UserId"], limit=limit)
        except ExistsError as error:
            raise ConflictException(f"The user id: {request['UserId']} already exists") from error
        except FullError as error:
            raise ServiceQuotaExceededException(
                f"A collection has at most {error.limit:,} users. The setting OPENREK_MAX_COLLECTION_USERS lifts the "
                "limit."
            ) from error
        return {}

    return once(services, call, work)


@operation("DeleteUser")
def delete_user(request: "DeleteUserRequestTypeDef", call: Call, services: Services) -> Response:
    """Delete a user; the faces stay in the collection."""

    def work(connection: Connection) -> Response:
        collection = hold_collection(connection, call, services, request["CollectionId"])
        try:
            Users(services.database).delete(connection, collection.number, request["UserId"])
        except UserMissingError as error:
            raise missing_user(request["UserId"]) from error
        return {}

    return once(services, call, work)


@operation("ListUsers")
def list_users(request: "ListUsersRequestTypeDef", call: Call, services: Services) -> Response:
    """The users of a collection in the order of their creation."""
    collection = find_collection(call, services, request["CollectionId"])
    limit = request.get("MaxResults", PAGE)
    token = request.get("NextToken")
    after = int(services.page_tokens.open(call, token)["after"]) if token else 0
    found = Users(services.database).page(collection.number, after=after, limit=limit + 1)
    page = found[:limit]
    response: dict[str, Any] = {
        "Users": [{"UserId": user.user_id, "UserStatus": user_status(user.face_count)} for user in page]
    }
    if len(found) > limit:
        response["NextToken"] = services.page_tokens.seal(call, {"after": page[-1].number})
    return response


@operation("AssociateFaces")
def associate_faces(request: "AssociateFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """Give faces to a user; each must be like the user's faces. All that can be given is, or the quota refuses all."""

    def work(connection: Connection) -> Response:
        collection = hold_collection(connection, call, services, request["CollectionId"])
        model = model_of(collection, services)
        least = cosine_for(request.get("UserMatchThreshold", THRESHOLD), model)
        try:
            result = Users(services.database).associate(
                connection, collection.number, request["UserId"], request["FaceIds"], least=least
            )
        except UserMissingError as error:
            raise missing_user(request["UserId"]) from error
        except FullError as error:
            raise ServiceQuotaExceededException(
                f"A user has at most {MAX_FACES} faces; none of this request was associated with {request['UserId']}."
            ) from error
        return {
            "AssociatedFaces": [{"FaceId": face_id} for face_id in result.changed],
            "UnsuccessfulFaceAssociations": [_unsuccessful(refusal, model) for refusal in result.refused],
            "UserStatus": user_status(result.face_count),
        }

    return once(services, call, work)


@operation("DisassociateFaces")
def disassociate_faces(request: "DisassociateFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """Take faces from a user."""

    def work(connection: Connection) -> Response:
        collection = hold_collection(connection, call, services, request["CollectionId"])
        try:
            result = Users(services.database).disassociate(
                connection, collection.number, request["UserId"], request["FaceIds"]
            )
        except UserMissingError as error:
            raise missing_user(request["UserId"]) from error
        return {
            "DisassociatedFaces": [{"FaceId": face_id} for face_id in result.changed],
            "UnsuccessfulFaceDisassociations": [_unsuccessful(refusal) for refusal in result.refused],
            "UserStatus": user_status(result.face_count),
        }

    return once(services, call, work)


# --- parts of an answer -----------------------------------------------------------------------------------------------


def user_status(face_count: int) -> Literal["ACTIVE", "CREATED"]:
    return "ACTIVE" if face_count else "CREATED"


def missing_user(user_id: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"The user id: {user_id} does not exist")


def _unsuccessful(refusal: Refusal, model: Card | None = None) -> dict[str, Any]:
    member: dict[str, Any] = {"FaceId": refusal.face_id, "Reasons": [refusal.reason]}
    if refusal.user_id is not None:
        member["UserId"] = refusal.user_id
    if refusal.cosine is not None and model is not None:
        member["Confidence"] = float(similarity(np.array([refusal.cosine], np.float32), model)[0])
    return member
