"""Handing moderated pictures to people: which flow, whether its conditions are met, and the record of the review.

The reviews are recorded durably with all that the reviewers are to see; the pages on which they work come later.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openrek.contract.call import Call
from openrek.contract.errors import (
    HumanLoopQuotaExceededException,
    InvalidParameterException,
    ResourceNotFoundException,
)
from openrek.service.review_conditions import evaluate, sample_of
from openrek.service.services import Services
from openrek.store.errors import ExistsError, FullError
from openrek.store.reviews import Loop, Owner, Reviews

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import HumanLoopConfigTypeDef, ImageTypeDef, ModerationLabelTypeDef

FLOW_NAME: Final = re.compile(r"[a-z0-9](-*[a-z0-9]){0,62}")
REASON: Final = "ConditionsEvaluation"
_FLOW_ARN: Final = re.compile(
    r"arn:aws:sagemaker:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):flow-definition/(?P<name>.+)"
)
_DIFFERENCES: Final = {
    "flowDefinitionArn": "another FlowDefinitionArn",
    "dataAttributes": "other DataAttributes",
    "picture": "another picture",
}
"""What a repeated request for a review may not change, by its key in the review's input."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of the caller's account and region. conditions: JSON, or None where every picture is reviewed."""

    arn: str
    name: str
    conditions: str | None


def find_flow(config: "HumanLoopConfigTypeDef", call: Call, services: Services) -> Flow:
    """The flow that a request names. Raises ResourceNotFoundException for one that the owner did not set up."""
    arn = config["FlowDefinitionArn"]
    owner = _owner(call)
    match = _FLOW_ARN.fullmatch(arn)
    if match is not None and (match["account"], match["region"]) == (owner.account_id, owner.region):
        flows = Reviews(services.database).flows(owner)
        if match["name"] in flows:
            return Flow(arn, match["name"], flows[match["name"]])
    raise ResourceNotFoundException(
        f"The flow definition {arn} does not exist; the owner of the server sets one up with: openrek reviews put-flow"
    )


def activation(
    config: "HumanLoopConfigTypeDef",
    flow: Flow,
    image: "ImageTypeDef",
    data: bytes,
    labels: "Sequence[ModerationLabelTypeDef]",
    call: Call,
    services: Services,
) -> dict[str, Any]:
    """Evaluate the flow's conditions, record a review where they ask for one: the HumanLoopActivationOutput.

    data: the picture's bytes; those of an inline picture are kept for the reviewers.
    Raises InvalidParameterException where the name is in use for another input, HumanLoopQuotaExceededException.
    """
    digest = hashlib.sha256(data).digest()
    wanted, evaluated = evaluate(flow.conditions, labels, sample_of(digest, flow.arn))
    results = json.dumps(evaluated)
    output: dict[str, Any] = {"HumanLoopActivationConditionsEvaluationResults": results}
    if not wanted:
        return output
    attributes = config.get("DataAttributes", {})
    content = {"flowDefinitionArn": flow.arn, "dataAttributes": attributes, "picture": digest.hex()}
    s3_object = image.get("S3Object")
    shown = {
        **content,
        "image": {"s3Object": {key[0].lower() + key[1:]: value for key, value in s3_object.items()}}
        if s3_object
        else {},
        "moderationLabels": labels,
        "humanTaskActivationConditionResults": evaluated,
    }
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    name, most = config["HumanLoopName"], services.settings.max_open_reviews
    loop = Loop(name, flow.name, fingerprint, json.dumps(shown), None if s3_object else data)
    try:
        Reviews(services.database).start(_owner(call), loop, most_open=most)
    except ExistsError as error:
        before = json.loads(Reviews(services.database).input(_owner(call), name) or "{}")
        others = [word for key, word in _DIFFERENCES.items() if before.get(key) != content[key]]
        raise InvalidParameterException(
            f"Request has invalid parameters: the human loop {name} exists with {' and '.join(others)}"
        ) from error
    except FullError as error:
        raise HumanLoopQuotaExceededException(
            f"At most {most:,} human reviews may be open; the setting OPENREK_MAX_OPEN_REVIEWS lifts the limit.",
            ResourceType="HumanLoop",
            QuotaCode="L-OPENREK-REVIEWS",
            ServiceCode="sagemaker",
        ) from error
    owner = _owner(call)
    arn = f"arn:aws:sagemaker:{owner.region}:{owner.account_id}:human-loop/{name}"
    return {"HumanLoopArn": arn, "HumanLoopActivationReasons": [REASON], **output}


def _owner(call: Call) -> Owner:
    return Owner(call.caller.account_id, call.caller.region)
