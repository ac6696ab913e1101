"""Failures of the floors below as answers: a model that is missing, a database that cannot be written.

These are the server's own faults, so the answer is InternalServerError (500, which SDKs retry), but with the one clear
sentence that the lower floor wrote for the person who runs the server instead of a traceback.
"""

import logging
from functools import wraps

from openrek.contract.call import Call
from openrek.contract.errors import InternalServerError, InvalidImageFormatException, ResourceNotFoundException
from openrek.service.operation import Handler, Response
from openrek.service.services import Services
from openrek.store.errors import CollectionMissingError, StoreError
from openrek.vision.image import ImageError
from openrek.vision.runtime import ModelError

log = logging.getLogger(__name__)


def with_answers(handler: Handler) -> Handler:
    """The handler, with known failures of lower floors turned into modelled errors."""

    @wraps(handler)
    def guarded(request: object, call: Call, services: Services) -> Response:
        try:
            try:
                return handler(request, call, services)
            except ResourceNotFoundException as error:
                if not isinstance(error.__cause__, CollectionMissingError):
                    raise
                # it was there when the call began: deleted since, or made again in place under another number
                return handler(request, call, services)
        except ImageError as error:  # damage that shows only while decoding
            raise InvalidImageFormatException(f"Request has invalid image format: {error}") from error
        except (ModelError, StoreError) as error:
            log.error("%s %s: %s", call.operation, call.request_id, error)
            raise InternalServerError(str(error)) from error

    return guarded
