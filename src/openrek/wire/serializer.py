"""The response: a handler's mapping into JSON bytes by shape.

A member that the model does not have, a value of another type and a number that JSON cannot hold are bugs of the
handler and raise ResponseShapeError; they never reach a client as a half-true answer. A member that is None is absent.
Floats carry 32-bit precision, as Rekognition's do: the shortest text that reads back as the same 32-bit number.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from openrek.wire.parser import FLOAT32_MAX

Write = Callable[[Any], Any]

_float32 = np.float32


class ResponseShapeError(Exception):
    """A handler's response does not fit the output shape of its operation."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.path: list[str] = []
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{'.'.join(reversed(self.path)) or 'response'}: {self.problem}"


class Serializer:
    """Writers of the shapes of one service model, compiled on first use and kept."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._compiled: dict[str, Write] = {}

    def serialize(self, operation: str, response: Mapping[str, Any]) -> bytes:
        """The JSON body of `operation`'s answer; raises ResponseShapeError where `response` does not fit its shape."""
        shape = self._model.operation_model(operation).output_shape
        if shape is None:
            return b"{}"
        return orjson.dumps(self._of(shape)(response), option=orjson.OPT_SERIALIZE_NUMPY)

    def _of(self, shape: Shape) -> Write:
        if shape.serialization.get("jsonvalue"):
            return _json_text
        write = self._compiled.get(shape.name)
        if write is None:
            write = self._compiled[shape.name] = self._compile(shape)
        return write

    def _compile(self, shape: Shape) -> Write:
        if isinstance(shape, StructureShape):
            return _structure(shape.name, {name: self._of(member) for name, member in shape.members.items()})
        if isinstance(shape, ListShape):
            return _list(self._of(shape.member))
        if isinstance(shape, MapShape):
            return _map(self._of(shape.value))
        return _SCALARS[shape.type_name]


def _structure(shape_name: str, members: dict[str, Write]) -> Write:
    def write(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _misfit("a mapping", value)
        written = {}
        for name, item in value.items():
            if item is None:
                continue
            try:
                written[name] = members[name](item)
            except ResponseShapeError as error:
                error.path.append(name)
                raise
            except KeyError:
                if name in members:
                    raise
                raise ResponseShapeError(f"{shape_name} has no member {name!r}") from None
        return written

    return write


def _list(write_member: Write) -> Write:
    def write(value: Any) -> list[Any]:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
            raise _misfit("a sequence", value)
        written: list[Any] = []
        try:
            for item in value:
                written.append(write_member(item))
        except ResponseShapeError as error:
            error.path.append(str(len(written)))
            raise
        return written

    return write


def _map(write_value: Write) -> Write:
    def write(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _misfit("a mapping", value)
        written = {}
        for key, item in value.items():
            try:
                written[_string(key)] = write_value(item)
            except ResponseShapeError as error:
                error.path.append(str(key))
                raise
        return written

    return write


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _misfit("a string", value)
    return value


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise _misfit("an integer", value)
    return int(value)


def _float(value: Any) -> np.float32:
    # false for NaN too, and before numpy could warn of an overflow
    if type(value) is float and -FLOAT32_MAX <= value <= FLOAT32_MAX:
        return _float32(value)
    return _float32(_number(value, FLOAT32_MAX))


def _double(value: Any) -> float:
    return _number(value, float(np.finfo(np.float64).max))


def _number(value: Any, limit: float) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise _misfit("a number", value)
    number = float(value)
    if not -limit <= number <= limit:
        raise _misfit("a finite number within its type", value)
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise _misfit("a boolean", value)
    return bool(value)


def _blob(value: Any) -> str:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _misfit("bytes", value)
    return b64encode(value).decode("ascii")


def _timestamp(value: Any) -> float:
    """Epoch seconds with milliseconds."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _misfit("a datetime with a time zone", value)
    return round(value.timestamp(), 3)


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


_SCALARS: Final[dict[str, Write]] = {
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _timestamp,
}


def _misfit(expected: str, value: object) -> ResponseShapeError:
    return ResponseShapeError(f"expected {expected}, got {type(value).__name__} {str(value)[:80]!r}")
