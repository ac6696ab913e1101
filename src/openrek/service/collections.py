"""Collections of faces: CreateCollection, DescribeCollection, ListCollections, DeleteCollection."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
)
from openrek.service.face_model import current_version
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.collections import Collection, Collections
from openrek.store.errors import CollectionMissingError, ExistsError, FullError
from openrek.store.tags import MAX_TAGS

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        CreateCollectionRequestTypeDef,
        DeleteCollectionRequestTypeDef,
        DescribeCollectionRequestTypeDef,
        ListCollectionsRequestTypeDef,
    )

PAGE: Final = 4096
"""The largest page of the service model, and the default."""

PREFIX: Final = 80
"""Page tokens have 255 characters at most, as collection ids do: longer ids enter a token by prefix and number."""


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@operation("CreateCollection")
def create_collection(request: "CreateCollectionRequestTypeDef", call: Call, services: Services) -> Response:
    """An empty collection, bound for good to today's face model."""
    caller, collection_id = call.caller, request["CollectionId"]
    arn, version = collection_arn(caller, collection_id), current_version(services)
    try:
        Collections(services.database).create(
            caller.account_id,
            caller.region,
            collection_id,
            version,
            resource=arn,
            tags=request.get("Tags", {}),
            tag_limit=MAX_TAGS,
        )
    except ExistsError as error:
        raise ResourceAlreadyExistsException(f"The collection id: {collection_id} already exists") from error
    except FullError as error:
        raise ServiceQuotaExceededException(f"A resource has at most {error.limit} tags.") from error
    return {"StatusCode": 200, "CollectionArn": arn, "FaceModelVersion": version}


@operation("DescribeCollection", light=True)
def describe_collection(request: "DescribeCollectionRequestTypeDef", call: Call, services: Services) -> Response:
    """What a collection holds."""
    caller, collection_id = call.caller, request["CollectionId"]
    found = Collections(services.database).describe(caller.account_id, caller.region, collection_id)
    if found is None:
        raise _missing(collection_id)
    return {
        "FaceCount": found.face_count,
        "FaceModelVersion": found.face_model_version,
        "CollectionARN": collection_arn(caller, collection_id),
        "CreationTimestamp": EPOCH + timedelta(milliseconds=found.created_ms),
        "UserCount": found.user_count,
    }


@operation("DeleteCollection")
def delete_collection(request: "DeleteCollectionRequestTypeDef", call: Call, services: Services) -> Response:
    """Delete a collection with its faces, users, tags and search index: gone now, its rows in the background."""
    caller, collection_id = call.caller, request["CollectionId"]
    number = Collections(services.database).delete(
        caller.account_id, caller.region, collection_id, resource=collection_arn(caller, collection_id)
    )
    if number is None:
        raise _missing(collection_id)
    services.purger.wake()
    return {"StatusCode": 200}


@operation("ListCollections", light=True)
def list_collections(request: "ListCollectionsRequestTypeDef", call: Call, services: Services) -> Response:
    """The ids of the caller's collections in ascending order (by code point), with their face model versions.

    MaxResults 0 means the same as none, the largest page: a client that follows NextToken then always comes to an end.
    A collection made or deleted between two pages is listed or not; no other one is left out.
    """
    caller = call.caller
    store = Collections(services.database)
    limit = request.get("MaxResults") or PAGE
    token = request.get("NextToken")
    after = _position(store, call, services.page_tokens.open(call, token)) if token else ""
    found = store.page(caller.account_id, caller.region, after=after, limit=limit + 1)
    page = found[:limit]
    response: dict[str, Any] = {
        "CollectionIds": [collection.collection_id for collection in page],
        "FaceModelVersions": [collection.face_model_version for collection in page],
    }
    if len(found) > limit:
        response["NextToken"] = services.page_tokens.seal(call, _state(page[-1]))
    return response


def _state(last: Collection) -> dict[str, Any]:
    if len(last.collection_id) <= PREFIX:
        return {"after": last.collection_id}
    return {"after": last.collection_id[:PREFIX], "number": last.number}


def _position(store: Collections, call: Call, state: dict[str, Any]) -> str:
    """The id to go on after. Where a long id's collection is gone by now, its prefix: ids that share all of it may be
    listed twice then, but none is missed."""
    if "number" in state:
        last = store.numbered(call.caller.account_id, call.caller.region, state["number"])
        if last is not None:
            return last.collection_id
    return str(state["after"])


# --- for the operations on what a collection holds --------------------------------------------------------------------


def collection_arn(caller: Caller, collection_id: str) -> str:
    return f"arn:aws:rekognition:{caller.region}:{caller.account_id}:collection/{collection_id}"


def find_collection(call: Call, services: Services, collection_id: str) -> Collection:
    """The caller's collection with an id; raises ResourceNotFoundException."""
    caller = call.caller
    found = Collections(services.database).find(caller.account_id, caller.region, collection_id)
    if found is None:
        raise _missing(collection_id)
    return found


def hold_collection(connection: Connection, call: Call, services: Services, collection_id: str) -> Collection:
    """As `find_collection`, inside a transaction; nobody deletes or changes the collection before that ends."""
    caller = call.caller
    found = Collections(services.database).hold(connection, caller.account_id, caller.region, collection_id)
    if found is None:
        raise _missing(collection_id)
    return found


@contextmanager
def still_there(collection: Collection) -> Iterator[None]:
    """A collection that is deleted while the block works on it was not found. (Or it was made again in place: a call
    that ends like this is tried again, see `service.failures`.)"""
    try:
        yield
    except CollectionMissingError as error:
        raise _missing(collection.collection_id) from error


def _missing(collection_id: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"The collection id: {collection_id} does not exist")
