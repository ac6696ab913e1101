"""The request body: JSON bytes into parameters by shape.

Parameters are plain dicts with the model's member names. Blobs become bytes, timestamps aware datetimes; unknown
members are ignored and an explicit null is an absent member. A value of the wrong JSON type is a
SerializationException that names its place; whether a value keeps the model's constraints is the validator's matter.
"""

import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from openrek.contract.errors import SerializationException
from openrek.wire.paths import camel, shorten

Parse = Callable[[Any], Any]

FLOAT32_MAX: Final = 3.4028234663852886e38
_INTEGERS: Final = {"integer": 32, "long": 64}


class _Mismatch(Exception):
    """A value of the wrong type; its path grows on the way up."""

    def __init__(self, expected: str, value: object) -> None:
        self.expected = expected
        self.value = value
        self.path: list[str] = []
        super().__init__(expected)


class Parser:
    """Parsers of the shapes of one service model, compiled on first use and kept."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._compiled: dict[str, Parse] = {}

    def parse(self, operation: str, body: bytes) -> dict[str, Any]:
        """The parameters of `operation` in `body`. An empty body is an empty object.

        Raises SerializationException for anything but one JSON object with members of the modelled types: no JSON,
        nesting beyond 1024 levels, numbers beyond their type, malformed base64.
        """
        if not body:
            return {}
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise SerializationException(f"The request body is not valid JSON: {error}") from None
        if not isinstance(document, dict):
            raise SerializationException(f"The request body must be a JSON object, not {_kind(document)}.")
        shape = self._model.operation_model(operation).input_shape
        if shape is None:
            return {}
        try:
            parameters: dict[str, Any] = self._of(shape)(document)
        except _Mismatch as error:
            place = ".".join(reversed(error.path))
            raise SerializationException(
                f"Value at '{place}' must be {error.expected}, not {_kind(error.value)}."
            ) from None
        return parameters

    def _of(self, shape: Shape) -> Parse:
        parse = self._compiled.get(shape.name)
        if parse is None:
            parse = self._compiled[shape.name] = self._compile(shape)
        return parse

    def _compile(self, shape: Shape) -> Parse:
        if isinstance(shape, StructureShape):
            return _structure({name: self._of(member) for name, member in shape.members.items()})
        if isinstance(shape, ListShape):
            return _list(self._of(shape.member))
        if isinstance(shape, MapShape):
            return _map(self._of(shape.value))
        kind = shape.type_name
        if kind in _INTEGERS:
            return _integer(_INTEGERS[kind])
        if kind in ("float", "double"):
            return _float(FLOAT32_MAX if kind == "float" else float("inf"))
        return {"string": _string, "blob": _blob, "boolean": _boolean, "timestamp": _timestamp}[kind]


def _structure(members: dict[str, Parse]) -> Parse:
    def parse(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Mismatch("an object", value)
        parameters = {}
        for name, item in value.items():
            if item is None or name not in members:
                continue
            try:
                parameters[name] = members[name](item)
            except _Mismatch as error:
                error.path.append(camel(name))
                raise
        return parameters

    return parse


def _list(parse_member: Parse) -> Parse:
    def parse(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _Mismatch("a list", value)
        items: list[Any] = []
        try:
            for item in value:
                # a null stays, for the validator to report by its place
                items.append(None if item is None else parse_member(item))
        except _Mismatch as error:
            error.path += ["member", str(len(items) + 1)]
            raise
        return items

    return parse


def _map(parse_value: Parse) -> Parse:
    def parse(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Mismatch("an object", value)
        items = {}
        for key, item in value.items():
            try:
                items[key] = None if item is None else parse_value(item)
            except _Mismatch as error:
                error.path += ["member", shorten(key)]
                raise
        return items

    return parse


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _Mismatch("a string", value)
    return value


def _blob(value: Any) -> bytes:
    if type(value) is not str:
        raise _Mismatch("a base64 string", value)
    try:
        data = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:  # binascii.Error is one; a character beyond ASCII another
        data = None
    # strict mode lets superfluous padding pass
    if data is None or len(value) != (len(data) + 2) // 3 * 4:
        raise _Mismatch("a base64 string with padding and without line breaks", value)
    return data


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _Mismatch("true or false", value)
    return value


def _integer(bits: int) -> Parse:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = f"a whole number of {bits} bits"

    def parse(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise _Mismatch(expected, value)
        return value

    return parse


def _float(limit: float) -> Parse:
    expected = "a 32-bit number" if limit == FLOAT32_MAX else "a number"

    def parse(value: Any) -> float:
        if type(value) not in (float, int) or not -limit <= value <= limit:
            raise _Mismatch(expected, value)
        return float(value)

    return parse


def _timestamp(value: Any) -> datetime:
    """Epoch seconds, as the protocol says; ISO 8601 and RFC 822 text is understood too. Without a zone it is UTC."""
    try:
        if type(value) in (int, float):
            return datetime.fromtimestamp(value, UTC)
        if type(value) is str:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                moment = parsedate_to_datetime(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _Mismatch("a time in epoch seconds", value)


def _kind(value: object) -> str:
    """What a JSON value is, in words; a number and a short string show themselves."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the string '{value}'" if len(value) <= 40 else f"a string of {len(value)} characters"
        case list():
            return "a list"
        case _:
            return "an object"
