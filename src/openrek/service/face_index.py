"""The faces of a collection: ListFaces, DeleteFaces."""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from openrek.contract.call import Call
from openrek.service.collections import find_collection, still_there
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.faces import Faces as FaceStore
from openrek.store.faces import StoredFace

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        DeleteFacesRequestTypeDef,
        FaceTypeDef,
        ListFacesRequestTypeDef,
        UnsuccessfulFaceDeletionTypeDef,
    )

MAX_FACES: Final = 100
PAGE: Final = 4096
"""The largest page of the service model."""
DEFAULT_PAGE: Final = 1000
NAMESPACE: Final = UUID("5b1c6a6e-0d4f-5e0a-9d52-3f7c1f0a7b11")
SAME_FACE: Final = 0.7
"""Boxes of one picture that overlap by this share (IoU) are of one face, though the detector has moved a little."""


@operation("ListFaces")
def list_faces(request: "ListFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """The faces of a collection by ascending id; of a user, among given ids, or both. MaxResults 0 is the default."""
    collection = find_collection(call, services, request["CollectionId"])
    limit = request.get("MaxResults") or DEFAULT_PAGE
    token = request.get("NextToken")
    found = FaceStore(services.database).page(
        collection.number,
        after=str(services.page_tokens.open(call, token)["after"]) if token else "",
        limit=limit + 1,
        user_id=request.get("UserId"),
        face_ids=request.get("FaceIds"),
    )
    page = found[:limit]
    response: dict[str, Any] = {
        "Faces": [face_member(face) for face in page],
        "FaceModelVersion": collection.face_model_version,
    }
    if len(found) > limit:
        response["NextToken"] = services.page_tokens.seal(call, {"after": page[-1].face_id})
    return response


@operation("DeleteFaces")
def delete_faces(request: "DeleteFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """Delete faces for good. Those of a user stay, and say whose they are."""
    collection = find_collection(call, services, request["CollectionId"])
    with still_there(collection):
        deletion = FaceStore(services.database).delete(collection.number, request["FaceIds"])
    unsuccessful: list[UnsuccessfulFaceDeletionTypeDef] = [
        {"FaceId": face_id, "Reasons": ["FACE_NOT_FOUND"]} for face_id in deletion.unknown
    ]
    unsuccessful += [
        {"FaceId": face_id, "UserId": user_id, "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
        for face_id, user_id in deletion.of_users
    ]
    return {"DeletedFaces": deletion.deleted, "UnsuccessfulFaceDeletions": unsuccessful}


# --- parts of an answer -----------------------------------------------------------------------------------------------


def face_member(face: StoredFace) -> "FaceTypeDef":
    """A stored face as answers show it."""
    left, top, width, height = face.box
    member: FaceTypeDef = {
        "FaceId": face.face_id,
        "BoundingBox": {"Width": width, "Height": height, "Left": left, "Top": top},
        "ImageId": face.image_id,
        "Confidence": face.confidence,
        "IndexFacesModelVersion": face.model_version,
    }
    if face.external_image_id is not None:
        member["ExternalImageId"] = face.external_image_id
    if face.user_id is not None:
        member["UserId"] = face.user_id
    return member
