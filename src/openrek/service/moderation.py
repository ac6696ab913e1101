"""Moderation of pictures: DetectModerationLabels, and the parts of its answer that moderation of videos shares."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from openrek.contract.call import Call
from openrek.contract.errors import ResourceNotFoundException
from openrek.service.human_review import activation, find_flow
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.vision.moderation import PICTURE_SIDE, VERSION, ContentType, ModerationLabel, moderate

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        ContentTypeTypeDef,
        DetectModerationLabelsRequestTypeDef,
        ModerationLabelTypeDef,
    )

MODERATION_MODEL_VERSION: Final = VERSION
MIN_CONFIDENCE: Final = 50.0
LONGEST_SIDE: Final = 10_000


@operation("DetectModerationLabels")
def detect(request: "DetectModerationLabelsRequestTypeDef", call: Call, services: Services) -> Response:
    """Unsafe content by the taxonomy 7.0, with all ancestors; whether the picture is drawn; a review where asked.

    An empty list is no promise that the picture is safe: see `openrek.vision.moderation.blind_spots`.
    """
    if "ProjectVersion" in request:
        _find_adapter(request["ProjectVersion"])
    review = request.get("HumanLoopConfig")
    flow = find_flow(review, call, services) if review else None
    encoded = open_request_image(request["Image"], services, max_side=LONGEST_SIDE)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    found = moderate(services.look(picture), nudenet=services.settings.nudenet)
    labels = label_members(found.labels, min_confidence=request.get("MinConfidence", MIN_CONFIDENCE))
    response: dict[str, object] = {
        "ModerationLabels": labels,
        "ModerationModelVersion": MODERATION_MODEL_VERSION,
        "ContentTypes": content_type_members(found.content_types),
    }
    if review and flow:
        response["HumanLoopActivationOutput"] = activation(
            review, flow, request["Image"], encoded.data, labels, call, services
        )
    return response


def _find_adapter(arn: str) -> None:
    """Adapters are made by Custom Labels training, which is not built: no version exists yet."""
    raise ResourceNotFoundException(f"The project version {arn} does not exist.")


# --- parts of an answer -----------------------------------------------------------------------------------------------


def label_members(
    found: Iterable[ModerationLabel], *, min_confidence: float = MIN_CONFIDENCE
) -> "list[ModerationLabelTypeDef]":
    """The labels that pass, surest first, at equal confidence the deepest level first.

    min_confidence: 0..100, inclusive, compared with the confidence as it is sent.
    """
    # the threshold in the same precision: a client may send back a confidence that it read
    threshold = float(np.float32(min_confidence))
    members: list[ModerationLabelTypeDef] = [
        {"Confidence": confidence, "Name": label.name, "ParentName": label.parent, "TaxonomyLevel": label.level}
        for label in found
        if (confidence := percent(label.confidence)) >= threshold
    ]
    return sorted(members, key=lambda member: (-member["Confidence"], -member["TaxonomyLevel"]))


def content_type_members(found: Iterable[ContentType]) -> "list[ContentTypeTypeDef]":
    """Animated and Illustrated; the request's MinConfidence does not touch them."""
    return [{"Confidence": percent(each.confidence), "Name": each.name} for each in found]


def percent(probability: float) -> float:
    """0..1 as 0..100 in the precision of the wire."""
    return float(np.float32(min(max(probability, 0.0), 1.0) * 100))
