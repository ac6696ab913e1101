"""The registry of handlers."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from openrek.contract.call import Call
from openrek.contract.model import operation_names
from openrek.service.services import Services

Response = Mapping[str, Any]
Handler = Callable[[Any, Call, Services], Response]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Operation:
    """A built operation. `light` handlers take well under a millisecond and run on the event loop itself; the others
    run on a bounded pool of worker threads."""

    name: str
    handler: Handler
    light: bool = False


_operations: dict[str, Operation] = {}


def operation(name: str, *, light: bool = False) -> Callable[[H], H]:
    """Register a handler for one of the modelled operations.

    Raises ValueError for a name the service model does not have, or one that is registered twice.
    """
    if name not in operation_names():
        raise ValueError(f"{name} is not an operation of the service model")

    def register(handler: H) -> H:
        if name in _operations:
            raise ValueError(f"{name} is registered twice")
        _operations[name] = Operation(name, handler, light)
        return handler

    return register


def load_operations() -> Mapping[str, Operation]:
    """Import every module of the service package and return the operations they registered, by name."""
    import openrek.service as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(_operations)
