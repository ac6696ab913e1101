"""Who is alike: SearchFaces and SearchFacesByImage."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from openrek.contract.call import Call
from openrek.contract.errors import InvalidParameterException, ResourceNotFoundException
from openrek.service.collections import find_collection, still_there
from openrek.service.face_index import face_member
from openrek.service.face_model import model_of
from openrek.service.face_quality import NONE, quality_reasons
from openrek.service.faces import bounding_box
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.collections import Collection
from openrek.store.faces import Faces as FaceStore
from openrek.store.faces import StoredFace
from openrek.vision.faces import PICTURE_SIDE, detect_faces
from openrek.vision.faces.embedding import embed_faces
from openrek.vision.faces.similarity import cosine_for, similarity

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        FaceMatchTypeDef,
        SearchFacesByImageRequestTypeDef,
        SearchFacesRequestTypeDef,
    )

Floats = NDArray[np.float32]

THRESHOLD: Final = 80.0
MAX_FACES: Final = 4096
"""The most matches of the service model, and the default."""
NO_FACES: Final = "There are no faces in the image. Should be at least 1."


@operation("SearchFaces")
def search_faces(request: "SearchFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """The faces of a collection that are like one of them, without that one."""
    collection = find_collection(call, services, request["CollectionId"])
    face = stored_face(services, collection, request["FaceId"])
    assert face.vector is not None
    return {
        "SearchedFaceId": face.face_id,
        "FaceMatches": face_matches(services, collection, face.vector, request, without=face.number),
        "FaceModelVersion": collection.face_model_version,
    }


@operation("SearchFacesByImage")
def search_faces_by_image(request: "SearchFacesByImageRequestTypeDef", call: Call, services: Services) -> Response:
    """The faces of a collection that are like the largest face of a picture."""
    collection = find_collection(call, services, request["CollectionId"])
    model = model_of(collection, services)
    encoded = open_request_image(request["Image"], services)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    faces = detect_faces(picture, services.runtime, max_faces=1)
    if not len(faces):
        raise InvalidParameterException(NO_FACES)
    reasons = quality_reasons(faces, 0, request.get("QualityFilter", NONE))
    if reasons:
        raise InvalidParameterException(f"{NO_FACES} QualityFilter left the largest one out: {', '.join(reasons)}.")
    vector = embed_faces(picture, faces, services.runtime, model=model.name)[0]
    return {
        "SearchedFaceBoundingBox": bounding_box(faces, 0, picture),
        "SearchedFaceConfidence": float(faces.confidences[0]) * 100,
        "FaceMatches": face_matches(services, collection, vector, request),
        "FaceModelVersion": collection.face_model_version,
    }


# --- shared with the search for users ---------------------------------------------------------------------------------


def stored_face(services: Services, collection: Collection, face_id: str) -> StoredFace:
    """A face of a collection with its vector; raises ResourceNotFoundException."""
    found = FaceStore(services.database).get(collection.number, [face_id], vectors=True).get(face_id)
    if found is None:
        raise ResourceNotFoundException(
            f"The face id: {face_id} does not exist in the collection {collection.collection_id}"
        )
    return found


def nearest(
    services: Services,
    collection: Collection,
    vector: Floats,
    *,
    threshold: float,
    limit: int,
    without: int | None = None,
) -> list[tuple[int, float]]:
    """Number and similarity (0..100) of up to `limit` faces at or above `threshold`, the most alike first."""
    model = model_of(collection, services)
    wanted = limit + (without is not None)
    with still_there(collection):
        numbers, cosines = services.vectors.search(
            collection.number, vector, least=cosine_for(threshold, model), limit=wanted, kind="faces"
        )
    similarities = similarity(cosines, model)
    found = [
        (int(number), float(value))
        for number, value in zip(numbers, similarities, strict=True)
        if number != without and value >= threshold
    ]
    return found[:limit]


def face_matches(
    services: Services,
    collection: Collection,
    vector: Floats,
    request: Mapping[str, Any],
    *,
    limit: int = MAX_FACES,
    without: int | None = None,
) -> "list[FaceMatchTypeDef]":
    """FaceMatch members of a vector by a request's FaceMatchThreshold and MaxFaces; `limit` where that is not given."""
    found = nearest(
        services,
        collection,
        vector,
        threshold=request.get("FaceMatchThreshold", THRESHOLD),
        limit=request.get("MaxFaces", limit),
        without=without,
    )
    faces = FaceStore(services.database).numbered(collection.number, [number for number, _ in found])
    return [{"Similarity": value, "Face": face_member(faces[number])} for number, value in found if number in faces]
