"""The faces of a collection: IndexFaces, ListFaces, DeleteFaces."""

import hashlib
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID, uuid5

import numpy as np

from openrek.contract.call import Call
from openrek.contract.errors import ServiceQuotaExceededException
from openrek.service.collections import find_collection, still_there
from openrek.service.face_attributes import read_traits, selected_attributes
from openrek.service.face_model import model_of
from openrek.service.face_quality import EXCEEDS_MAX_FACES, LOWEST, quality_reasons
from openrek.service.faces import bounding_box, face_details
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.errors import FullError
from openrek.store.faces import Box, NewFace, StoredFace
from openrek.store.faces import Faces as FaceStore
from openrek.vision import geometry
from openrek.vision.faces import PICTURE_SIDE, Faces, detect_faces
from openrek.vision.faces.crops import keep_crops
from openrek.vision.faces.embedding import embed_faces
from openrek.vision.image import Picture

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        DeleteFacesRequestTypeDef,
        FaceTypeDef,
        IndexFacesRequestTypeDef,
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


@operation("IndexFaces")
def index_faces(request: "IndexFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """Keep the faces of a picture: those above the quality bar, the best and largest MaxFaces of them; all or none."""
    collection = find_collection(call, services, request["CollectionId"])
    model = model_of(collection, services)
    attributes = selected_attributes(request.get("DetectionAttributes", ()))
    encoded = open_request_image(request["Image"], services)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    faces = detect_faces(picture, services.runtime, max_faces=MAX_FACES)
    reasons = _reasons(faces, request.get("QualityFilter", "AUTO"), request.get("MaxFaces", MAX_FACES))
    chosen = [index for index in range(len(faces)) if not reasons[index]]
    found = read_traits(picture, faces, services.runtime, attributes)
    stored: list[StoredFace] = []
    if chosen:
        selected = faces.select(np.array(chosen, np.intp))
        thirty = found.landmarks[chosen] if found.landmarks is not None else None
        vectors = embed_faces(picture, selected, services.runtime, model=model.name, thirty=thirty)
        store, image_id, external = (
            FaceStore(services.database),
            image_id_of(encoded.data),
            request.get("ExternalImageId"),
        )
        version = collection.face_model_version
        boxes = [box_of(selected, index, picture) for index in range(len(selected))]
        ids = _face_ids(boxes, store.of_image(collection.number, image_id, external), image_id, external, version)
        crops = _sealed_crops(picture, selected, ids, services)
        new = [
            NewFace(face_id, image_id, external, box, float(confidence) * 100, version, vector, crop)
            for face_id, box, confidence, vector, crop in zip(
                ids, boxes, selected.confidences, vectors, crops, strict=True
            )
        ]
        with still_there(collection):
            try:
                stored = store.add(collection.number, new, limit=services.settings.max_collection_faces)
            except FullError as error:
                raise ServiceQuotaExceededException(
                    f"A collection has at most {error.limit:,} faces. The setting OPENREK_MAX_COLLECTION_FACES lifts "
                    "the limit."
                ) from error
    details = face_details(picture, faces, attributes, services.runtime, found=found)
    return {
        "FaceRecords": [
            {"Face": face_member(face), "FaceDetail": details[index]}
            for index, face in zip(chosen, stored, strict=True)
        ],
        "UnindexedFaces": [
            {"Reasons": list(reasons[index]), "FaceDetail": detail}
            for index, detail in enumerate(details)
            if reasons[index]
        ],
        "FaceModelVersion": collection.face_model_version,
    }


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


# --- which faces, under which ids -------------------------------------------------------------------------------------


def _reasons(faces: Faces, level: str, max_faces: int) -> list[tuple[str, ...]]:
    """Why each face is not indexed, () for those that are. The faces come the largest first.

    Of more than `max_faces` those of the lowest quality go first (which a level other than NONE has left out already),
    then the smallest.
    """
    reasons = [quality_reasons(faces, index, level) for index in range(len(faces))]
    passed = [index for index in range(len(faces)) if not reasons[index]]
    passed.sort(key=lambda index: bool(quality_reasons(faces, index, LOWEST)))  # stable: the largest stay first
    for index in passed[max_faces:]:
        reasons[index] = (EXCEEDS_MAX_FACES,)
    return reasons


def image_id_of(data: bytes) -> str:
    """The id of a picture, from its bytes: the same in every collection."""
    return str(uuid5(NAMESPACE, f"image {hashlib.sha256(data).hexdigest()}"))


def _face_ids(
    boxes: list[Box], known: list[StoredFace], image_id: str, external_image_id: str | None, version: str
) -> list[str]:
    """The ids of the faces of a picture, made of the picture, the box, the model version and the external id.

    A face that the collection has from this picture, under this external id, keeps the id it has.
    """
    ids: list[str] = []
    left = list(known)
    for box in boxes:
        same = next((face for face in left if overlap(box, face.box) >= SAME_FACE), None)
        if same is not None:
            left.remove(same)
            ids.append(same.face_id)
        else:
            place = " ".join(f"{value:.3f}" for value in box)
            ids.append(str(uuid5(NAMESPACE, f"face {image_id} {place} {version} {external_image_id or ''}")))
    return ids


def _sealed_crops(picture: Picture, faces: Faces, ids: list[str], services: Services) -> list[bytes | None]:
    """What is kept of the faces' pictures: nothing, unless the owner of the server asked for it."""
    if not services.settings.keep_face_crops:
        return [None] * len(ids)
    crops = keep_crops(picture, faces.landmarks)
    return [services.crop_key.seal(face_id, crop) for face_id, crop in zip(ids, crops, strict=True)]


def overlap(one: Box, two: Box) -> float:
    """The share (IoU) in which two boxes of one picture agree."""
    first, second = (
        np.array([[left, top, left + width, top + height]], np.float32) for left, top, width, height in (one, two)
    )
    return float(geometry.iou(first, second)[0, 0])


def box_of(faces: Faces, index: int, picture: Picture) -> Box:
    """The box of a face as it is kept."""
    box = bounding_box(faces, index, picture)
    return cast(Box, tuple(box[side] for side in ("Left", "Top", "Width", "Height")))
