"""Collections of faces."""

from typing import TYPE_CHECKING, Any, Final

from openrek.contract.call import Call
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.collections import Collection, Collections

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import ListCollectionsRequestTypeDef

PAGE: Final = 4096
"""The largest page of the service model, and the default."""

PREFIX: Final = 80
"""Page tokens have 255 characters at most, as collection ids do: longer ids enter a token by prefix and number."""


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
