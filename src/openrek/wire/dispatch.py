"""From an authenticated body to a handler and back: signature, operation, parameters, constraints, answer by shape.

No HTTP here and nothing asynchronous: `openrek.wire.app` decides what runs on the event loop and what on a thread.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from openrek import __version__
from openrek.contract.call import Call, Caller
from openrek.contract.errors import NotImplementedException, UnknownOperationException
from openrek.contract.model import operation_names, service_model
from openrek.wire.parser import Parser
from openrek.wire.serializer import Serializer
from openrek.wire.sigv4 import Claim
from openrek.wire.validator import Validator


class HandlerEntry(Protocol):
    """What the wire needs to know of a built operation."""

    @property
    def handler(self) -> Callable[[Any, Call, Any], Mapping[str, Any]]: ...

    @property
    def light(self) -> bool:
        """Whether the handler takes well under a millisecond, so that it may run on the event loop."""
        ...


class Dispatcher:
    """Routes, parses, validates and runs calls.

    `operations` are the built ones by name; `limits` replaces the model's largest lengths by shape name; `services` is
    handed to the handlers as it is.
    """

    def __init__(
        self,
        operations: Mapping[str, HandlerEntry],
        services: Any,
        *,
        account_id: str,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        model = service_model()
        prefix = model.metadata["targetPrefix"]
        self._operations = operations
        self._services = services
        self._account_id = account_id
        self._targets = {f"{prefix}.{name}": name for name in operation_names()}
        self._parser = Parser(model)
        self._validator = Validator(model, limits)
        self._serializer = Serializer(model)

    def caller(self, claim: Claim) -> Caller:
        return Caller(claim.signer.access_key_id, self._account_id, claim.signer.region)

    def route(self, claim: Claim) -> str:
        """The operation that X-Amz-Target names; raises UnknownOperationException."""
        if claim.target is None:
            raise UnknownOperationException(
                "The request has no X-Amz-Target header; send RekognitionService.<Operation>."
            )
        name = self._targets.get(claim.target)
        if name is None:
            raise UnknownOperationException(f"'{claim.target}' is not an operation of this service.")
        return name

    def parameters(self, operation: str, body: bytes) -> dict[str, Any]:
        """The parsed, valid parameters; raises SerializationException or ValidationException."""
        parameters = self._parser.parse(operation, body)
        self._validator.validate(operation, parameters)
        return parameters

    def entry(self, operation: str) -> HandlerEntry:
        """The built operation; raises NotImplementedException where this version has none."""
        entry = self._operations.get(operation)
        if entry is None:
            raise NotImplementedException(
                f"{operation} is not implemented by this version of openrek ({__version__}); the request itself is "
                "valid. The README's table lists the operations that are."
            )
        return entry

    def run(self, entry: HandlerEntry, call: Call) -> bytes:
        """The handler's answer as JSON; raises what the handler raises, and ResponseShapeError."""
        return self._serializer.serialize(call.operation, entry.handler(call.request, call, self._services))
