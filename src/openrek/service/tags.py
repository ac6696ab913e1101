"""Tags of resources: TagResource, UntagResource, ListTagsForResource. Of what can be tagged, there are collections."""

import re
from typing import TYPE_CHECKING, Final

from openrek.contract.call import Call
from openrek.contract.errors import (
    InvalidParameterException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
)
from openrek.service.collections import find_collection, hold_collection
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.errors import FullError
from openrek.store.tags import MAX_TAGS, Tags

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        ListTagsForResourceRequestTypeDef,
        TagResourceRequestTypeDef,
        UntagResourceRequestTypeDef,
    )

ARN: Final = re.compile(
    r"arn:aws:rekognition:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    r"(?P<kind>collection|streamprocessor|project)/(?P<id>[a-zA-Z0-9_.\-/]+)"
)


@operation("TagResource")
def tag_resource(request: "TagResourceRequestTypeDef", call: Call, services: Services) -> Response:
    """Set tags; one that is there gets the new value."""
    arn = request["ResourceArn"]
    collection_id = _collection_id(arn, call)
    try:
        with services.database.begin() as connection:
            hold_collection(connection, call, services, collection_id)
            Tags(services.database).put(connection, arn, request["Tags"], limit=MAX_TAGS)
    except FullError as error:
        raise ServiceQuotaExceededException(f"A resource has at most {error.limit} tags.") from error
    return {}


@operation("UntagResource")
def untag_resource(request: "UntagResourceRequestTypeDef", call: Call, services: Services) -> Response:
    """Remove tags; one that is not there is no error."""
    arn = request["ResourceArn"]
    collection_id = _collection_id(arn, call)
    with services.database.begin() as connection:
        hold_collection(connection, call, services, collection_id)
        Tags(services.database).remove(connection, arn, request["TagKeys"])
    return {}


@operation("ListTagsForResource")
def list_tags(request: "ListTagsForResourceRequestTypeDef", call: Call, services: Services) -> Response:
    """All tags of a resource."""
    arn = request["ResourceArn"]
    find_collection(call, services, _collection_id(arn, call))
    return {"Tags": Tags(services.database).of(arn)}


def _collection_id(arn: str, call: Call) -> str:
    """The collection that an ARN names.

    Raises InvalidParameterException for what is no ARN, ResourceNotFoundException for one of another account, region or
    kind.
    """
    match = ARN.fullmatch(arn)
    if match is None:
        raise InvalidParameterException(
            f"Request has invalid parameters: {arn} is not the ARN of a collection, stream processor, project, project "
            "version or dataset"
        )
    mine = (match["account"], match["region"]) == (call.caller.account_id, call.caller.region)
    if not mine or match["kind"] != "collection":
        raise ResourceNotFoundException(f"The resource {arn} does not exist")
    return match["id"]
