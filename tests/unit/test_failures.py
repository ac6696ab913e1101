"""Failures of the floors below as answers of the API."""

from typing import Any

import pytest

from openrek.contract.call import Call, Caller
from openrek.contract.errors import InternalServerError, InvalidImageFormatException, ResourceNotFoundException
from openrek.service.failures import with_answers
from openrek.store.errors import CollectionMissingError, StoreError
from openrek.vision.image import ImageError
from openrek.vision.runtime import ModelUnavailableError

CALL = Call("IndexFaces", "id", Caller("KEY", "000000000000", "us-east-1"), {})


def run(handler: Any) -> Any:
    services: Any = None
    return with_answers(handler)({}, CALL, services)


@pytest.mark.parametrize(
    ("failure", "answer", "text"),
    [
        (StoreError("the disk is full"), InternalServerError, "the disk is full"),
        (ModelUnavailableError("pull the model"), InternalServerError, "pull the model"),
        (ImageError("the file is cut off"), InvalidImageFormatException, "Request has invalid image format: the file"),
    ],
)
def test_the_sentence_of_a_lower_floor_is_the_message(failure: Exception, answer: Any, text: str) -> None:
    def handler(*_: Any) -> Any:
        raise failure

    with pytest.raises(answer, match=text):
        run(handler)


@pytest.mark.parametrize("cause", [CollectionMissingError(), None])
def test_a_collection_that_went_during_the_call_is_looked_for_once_more(cause: Exception | None) -> None:
    calls: list[int] = []

    def handler(*_: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ResourceNotFoundException("gone") from cause
        return {"FaceCount": 0}

    if cause is None:  # it was not there to begin with
        with pytest.raises(ResourceNotFoundException):
            run(handler)
    else:
        assert run(handler) == {"FaceCount": 0}
