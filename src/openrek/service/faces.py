"""Faces in pictures: DetectFaces, and the parts of an answer that every operation on faces shares."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from openrek.contract.call import Call
from openrek.service.face_attributes import attribute_members, read_traits, selected_attributes
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.vision.faces import LANDMARKS, PICTURE_SIDE, Faces, detect_faces
from openrek.vision.faces.attributes import FaceAttributes
from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime

if TYPE_CHECKING:
    from types_boto3_rekognition.literals import LandmarkTypeType
    from types_boto3_rekognition.type_defs import (
        BoundingBoxTypeDef,
        ComparedFaceTypeDef,
        DetectFacesRequestTypeDef,
        FaceDetailTypeDef,
        ImageQualityTypeDef,
        LandmarkTypeDef,
        PoseTypeDef,
    )


@operation("DetectFaces")
def detect(request: "DetectFacesRequestTypeDef", call: Call, services: Services) -> Response:
    """Up to 100 faces, the largest first; the attributes asked for and no others."""
    attributes = selected_attributes(request.get("Attributes", ()))
    encoded = open_request_image(request["Image"], services)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    faces = detect_faces(picture, services.runtime)
    return {"FaceDetails": face_details(picture, faces, attributes, services.runtime)}


# --- parts of an answer -----------------------------------------------------------------------------------------------


def face_details(
    picture: Picture,
    faces: Faces,
    attributes: Sequence[str],
    runtime: Runtime,
    *,
    found: FaceAttributes | None = None,
) -> "list[FaceDetailTypeDef]":
    """FaceDetail of every face: the default members, and the `attributes` that `selected_attributes` gave.

    found: what `read_traits` gave for these faces, where that was done already.
    """
    if found is None:
        found = read_traits(picture, faces, runtime, attributes)
    details = [face_detail(faces, index, picture) for index in range(len(faces))]
    for detail, more in zip(details, attribute_members(found, picture, faces, attributes), strict=True):
        detail.update(cast("FaceDetailTypeDef", more))
    return details


def face_detail(faces: Faces, index: int, picture: Picture) -> "FaceDetailTypeDef":
    """The default members of FaceDetail for one face."""
    return {
        "BoundingBox": bounding_box(faces, index, picture),
        "Confidence": float(faces.confidences[index]) * 100,
        "Landmarks": landmarks(faces, index, picture),
        "Pose": pose(faces, index),
        "Quality": quality(faces, index),
    }


def compared_face(faces: Faces, index: int, picture: Picture) -> "ComparedFaceTypeDef":
    """One face as CompareFaces reports it: the same members as the default ones of FaceDetail."""
    return cast("ComparedFaceTypeDef", face_detail(faces, index, picture))


def bounding_box(faces: Faces, index: int, picture: Picture) -> "BoundingBoxTypeDef":
    """A face's box in ratios of the picture's sides; a face cut by the border reaches below 0 or beyond 1."""
    left, top, right, bottom = (float(value) for value in faces.boxes[index])
    return {
        "Width": (right - left) / picture.width,
        "Height": (bottom - top) / picture.height,
        "Left": left / picture.width,
        "Top": top / picture.height,
    }


def landmarks(faces: Faces, index: int, picture: Picture) -> "list[LandmarkTypeDef]":
    """A face's five landmarks, in ratios of the picture's sides."""
    return [
        {"Type": cast("LandmarkTypeType", name), "X": float(x) / picture.width, "Y": float(y) / picture.height}
        for name, (x, y) in zip(LANDMARKS, faces.landmarks[index], strict=True)
    ]


def pose(faces: Faces, index: int) -> "PoseTypeDef":
    roll, yaw, pitch = (float(value) for value in faces.pose[index])
    return {"Roll": roll, "Yaw": yaw, "Pitch": pitch}


def quality(faces: Faces, index: int) -> "ImageQualityTypeDef":
    return {"Brightness": float(faces.brightness[index]), "Sharpness": float(faces.sharpness[index])}
