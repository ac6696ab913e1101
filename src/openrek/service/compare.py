"""CompareFaces: the main face of one picture against the faces of another."""

from typing import TYPE_CHECKING, Final

import numpy as np

from openrek.contract.call import Call
from openrek.contract.errors import InvalidParameterException
from openrek.service.face_quality import NONE, quality_reasons
from openrek.service.faces import bounding_box, compared_face
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.vision.faces import PICTURE_SIDE, Faces, detect_faces
from openrek.vision.faces.embedding import FACE_MODEL, embed_faces
from openrek.vision.faces.similarity import scale_of
from openrek.vision.image import Picture

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        ComparedFaceTypeDef,
        CompareFacesMatchTypeDef,
        CompareFacesRequestTypeDef,
        ImageTypeDef,
    )

DEFAULT_THRESHOLD: Final = 80.0


@operation("CompareFaces")
def compare_faces(request: "CompareFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """The largest face of the source against up to 100 of the target, the largest; each in exactly one of two lists.

    Faces below the bar of QualityFilter are left out. Raises InvalidParameterException where none is left on one side.
    """
    source, source_faces = _read(request["SourceImage"], services)
    target, target_faces = _read(request["TargetImage"], services)
    level = request.get("QualityFilter", NONE)
    source_faces = _good(source_faces.select(slice(0, 1)), level, "SourceImage")
    target_faces = _good(target_faces, level, "TargetImage")

    wanted = embed_faces(source, source_faces, services.runtime)[0]
    cosines = embed_faces(target, target_faces, services.runtime) @ wanted
    similarities = scale_of(services.runtime.catalogue[FACE_MODEL]).similarity(cosines)
    matched = similarities >= request.get("SimilarityThreshold", DEFAULT_THRESHOLD)
    order = np.argsort(-similarities, kind="stable")
    matches: list[CompareFacesMatchTypeDef] = [
        {"Similarity": float(similarities[index]), "Face": compared_face(target_faces, index, target)}
        for index in order[matched[order]].tolist()
    ]
    others: list[ComparedFaceTypeDef] = [
        compared_face(target_faces, index, target) for index in np.nonzero(~matched)[0].tolist()
    ]
    return {
        "SourceImageFace": {
            "BoundingBox": bounding_box(source_faces, 0, source),
            "Confidence": float(source_faces.confidences[0]) * 100,
        },
        "FaceMatches": matches,
        "UnmatchedFaces": others,
    }


def _read(image: "ImageTypeDef", services: Services) -> tuple[Picture, Faces]:
    """The picture and its 100 largest faces, the largest first."""
    picture = decode_request_image(open_request_image(image, services), longest=PICTURE_SIDE)
    return picture, detect_faces(picture, services.runtime)


def _good(faces: Faces, level: str, member: str) -> Faces:
    """The faces that pass a QualityFilter level; raises InvalidParameterException where there is none to begin with or
    none is left of the source."""
    if not len(faces):
        raise InvalidParameterException(f"Request has invalid parameters: there is no face in {member}")
    passed = faces.select(np.array([not quality_reasons(faces, index, level) for index in range(len(faces))]))
    if member == "SourceImage" and not len(passed):
        raise InvalidParameterException(
            f"Request has invalid parameters: the face in {member} is below the quality that QualityFilter {level} asks"
        )
    return passed
