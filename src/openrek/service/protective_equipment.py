"""Protective equipment on people in pictures: DetectProtectiveEquipment."""

from typing import TYPE_CHECKING, Final

from openrek.contract.call import Call
from openrek.contract.errors import ImageTooLargeException, InvalidParameterException
from openrek.service.equipment_summary import summarise
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.settings import MIB
from openrek.vision.image import EncodedImage, Picture
from openrek.vision.look import Look
from openrek.vision.protective_equipment import (
    FACE_SEARCH_SIDE,
    PICTURE_SIDE,
    BodyPart,
    Equipment,
    ProtectedPerson,
    protective_equipment,
)
from openrek.vision.protective_equipment.result import Box

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        BoundingBoxTypeDef,
        DetectProtectiveEquipmentRequestTypeDef,
        EquipmentDetectionTypeDef,
        ProtectiveEquipmentBodyPartTypeDef,
        ProtectiveEquipmentPersonTypeDef,
        ProtectiveEquipmentSummarizationAttributesTypeDef,
    )

MODEL_VERSION: Final = "1.0"
MIN_SIDE: Final = 64
LONGEST_SIDE: Final = 4096
MAX_INLINE_BYTES: Final = 4 * MIB


@operation("DetectProtectiveEquipment")
def detect(request: "DetectProtectiveEquipmentRequestTypeDef", call: Call, services: Services) -> Response:
    """Up to 15 persons with their visible body parts and what covers them; a summary where one is asked for."""
    wanted = request.get("SummarizationAttributes")
    if wanted is not None:
        check_summarization(wanted)
    encoded = open_request_image(request["Image"], services, min_side=MIN_SIDE, max_bytes=MAX_INLINE_BYTES)
    if not services.settings.relaxed:
        check_resolution(encoded)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    look = Look(picture, services.runtime, face_search_side=FACE_SEARCH_SIDE)
    persons = [person_member(number, person, picture) for number, person in enumerate(protective_equipment(look))]
    response: dict[str, object] = {"ProtectiveEquipmentModelVersion": MODEL_VERSION, "Persons": persons}
    if wanted is not None:
        response["Summary"] = summarise(persons, wanted["RequiredEquipmentTypes"], wanted["MinConfidence"])
    return response


# --- the request ------------------------------------------------------------------------------------------------------


def check_summarization(wanted: "ProtectiveEquipmentSummarizationAttributesTypeDef") -> None:
    """Raises InvalidParameterException for required types that are none or stand twice."""
    required = wanted["RequiredEquipmentTypes"]
    if not required:
        raise InvalidParameterException(
            "Request has invalid parameters: SummarizationAttributes.RequiredEquipmentTypes must name at least one type"
        )
    if len(set(required)) < len(required):
        raise InvalidParameterException(
            "Request has invalid parameters: SummarizationAttributes.RequiredEquipmentTypes names a type twice: "
            f"{', '.join(required)}"
        )


def check_resolution(encoded: EncodedImage) -> None:
    """Raises ImageTooLargeException where a side is longer than this operation accepts."""
    if max(encoded.width, encoded.height) > LONGEST_SIDE:
        raise ImageTooLargeException(
            f"Image size is too large: {encoded.width} x {encoded.height} pixels; each side may have at most "
            f"{LONGEST_SIDE} here. The setting OPENREK_PROFILE=relaxed lifts the limit."
        )


# --- the answer -------------------------------------------------------------------------------------------------------


def person_member(number: int, person: ProtectedPerson, picture: Picture) -> "ProtectiveEquipmentPersonTypeDef":
    return {
        "Id": number,
        "BoundingBox": _bounding_box(person.box, picture),
        "Confidence": 100 * person.confidence,
        "BodyParts": [_part(part, picture) for part in person.parts],
    }


def _part(part: BodyPart, picture: Picture) -> "ProtectiveEquipmentBodyPartTypeDef":
    return {
        "Name": part.name.value,
        "Confidence": 100 * part.confidence,
        "EquipmentDetections": [_item(item, picture) for item in part.equipment],
    }


def _item(item: Equipment, picture: Picture) -> "EquipmentDetectionTypeDef":
    return {
        "Type": item.cover.value,
        "BoundingBox": _bounding_box(item.box, picture),
        "Confidence": 100 * item.confidence,
        "CoversBodyPart": {"Value": item.covers, "Confidence": 100 * item.covers_confidence},
    }


def _bounding_box(box: Box, picture: Picture) -> "BoundingBoxTypeDef":
    left, top, right, bottom = box
    return {
        "Width": (right - left) / picture.width,
        "Height": (bottom - top) / picture.height,
        "Left": left / picture.width,
        "Top": top / picture.height,
    }
