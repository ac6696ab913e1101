"""Requests generated from the service model: valid ones, and ones that break a single constraint.

The oracle is Python's own `re` with the model's patterns, beside the server's `regex`: two readings of the same text.
"""

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from hypothesis import strategies as st

from openrek.contract.model import operation_model, service_model

FLOAT32_MAX = 3.4028234663852886e38
INT_MAX = {"integer": 2**31 - 1, "long": 2**63 - 1}
LENGTHS = ("string", "blob", "list", "map")

# how a request goes down to a place: a member's name, ITEM (the first of a list), KEY or VALUE (of a map's one entry)
ITEM, KEY, VALUE = "[item]", "[key]", "[value]"
MAP_KEY = "colour"

Steps = tuple[str, ...]


@dataclass(frozen=True)
class Constraint:
    """One constraint at one place of one operation's input."""

    operation: str
    steps: Steps
    shape: Shape
    kind: str
    """required, min, max, pattern or enum."""

    @property
    def path(self) -> str:
        """The place as messages write it."""
        parts: list[str] = []
        for step in self.steps:
            if step == ITEM:
                parts += ["1", "member"]
            elif step == VALUE:
                parts += [MAP_KEY, "member"]
            elif step != KEY:
                parts.append(step[0].lower() + step[1:])
        return ".".join(parts)

    @property
    def limit(self) -> Any:
        return self.shape.metadata[self.kind]

    @property
    def rule(self) -> str:
        """What the message must say."""
        what = "length" if self.shape.type_name in LENGTHS else "value"
        match self.kind:
            case "required":
                return "Member must not be null"
            case "min":
                return f"Member must have {what} greater than or equal to {self.limit}"
            case "max":
                return f"Member must have {what} less than or equal to {self.limit}"
            case "enum":
                return f"Member must satisfy enum value set: [{', '.join(self.limit)}]"
            case _:
                return f"Member must satisfy regular expression pattern: {self.limit}"

    def __str__(self) -> str:
        return f"{self.operation} {'.'.join(self.steps)} {self.kind}"


def raw_shapes() -> dict[str, Any]:
    """The shapes as the model's file has them, with what botocore's classes leave out."""
    return dict(vars(service_model())["_service_description"]["shapes"])


def input_shape(operation: str) -> StructureShape:
    """Every operation has one."""
    shape = operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)
    return shape


@cache
def constraints(operation: str) -> tuple[Constraint, ...]:
    """Every constraint of an operation's input, in nested shapes too."""
    return tuple(_walk(operation, input_shape(operation), ()))


def _walk(operation: str, shape: Shape, steps: Steps) -> Iterator[Constraint]:
    for kind in ("min", "max", "pattern", "enum"):
        # a length cannot be below 0, so `min: 0` of a length is not a constraint
        if kind in shape.metadata and (shape.type_name not in LENGTHS or shape.metadata[kind] != 0):
            yield Constraint(operation, steps, shape, kind)
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            yield Constraint(operation, (*steps, name), shape.members[name], "required")
        for name, member in shape.members.items():
            yield from _walk(operation, member, (*steps, name))
    elif isinstance(shape, ListShape):
        yield from _walk(operation, shape.member, (*steps, ITEM))
    elif isinstance(shape, MapShape):
        yield from _walk(operation, shape.key, (*steps, KEY))
        yield from _walk(operation, shape.value, (*steps, VALUE))


class Absent:
    """In place of a value: leave the member out."""


def request_with(operation: str, steps: Steps, value: Any) -> dict[str, Any]:
    """The smallest valid request of an operation, except that `value` stands at `steps`. In the form of the wire."""
    built = place(input_shape(operation), steps, value)
    assert isinstance(built, dict)
    return built


def place(shape: Shape, steps: Steps, value: Any) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(shape, StructureShape):
        built = minimal(shape)
        inner = place(shape.members[step], rest, value)
        if inner is Absent:
            built.pop(step, None)
        else:
            built[step] = inner
        return built
    if isinstance(shape, ListShape):
        others = max(0, shape.metadata.get("min", 0) - 1)
        return [place(shape.member, rest, value), *(minimal(shape.member) for _ in range(others))]
    assert isinstance(shape, MapShape)
    if step == KEY:
        return {value: minimal(shape.value)}
    return {MAP_KEY: place(shape.value, rest, value)}


def minimal(shape: Shape) -> Any:
    """The smallest valid value of a shape."""
    low = shape.metadata.get("min", 0)
    match shape:
        case StructureShape():
            return {name: minimal(shape.members[name]) for name in shape.required_members}
        case ListShape():
            return [minimal(shape.member) for _ in range(low)]
        case MapShape():
            return {}
        case StringShape():
            return minimal_string(shape)
    return {
        "blob": base64.b64encode(b"x" * low).decode(),
        "boolean": False,
        "timestamp": 0,
        "float": float(low),
    }.get(shape.type_name, low)


_EXAMPLES = (
    "",
    "x",
    "abc",
    "00000000-0000-0000-0000-000000000000",
    "1.0.0",
    "0" * 32,
    "arn:aws:iam::000000000000:role/x",
    "arn:aws:sns:us-east-1:000000000000:x",
    "arn:aws:kinesis:us-east-1:000000000000:x",
    "arn:aws:kinesisvideo:us-east-1:000000000000:x",
    "arn:aws:rekognition:us-east-1:000000000000:project/x/1",
    "arn:aws:rekognition:us-east-1:000000000000:project/x/dataset/train/1",
    "arn:aws:rekognition:us-east-1:000000000000:project/x/version/y/1",
)


def minimal_string(shape: StringShape) -> str:
    if shape.enum:
        return str(shape.enum[0])
    return next(text for text in _EXAMPLES if fits(shape, text))


def fits(shape: Shape, text: str) -> bool:
    traits = shape.metadata
    return (
        traits.get("min", 0) <= len(text) <= traits.get("max", len(text))
        and ("pattern" not in traits or keeps_pattern(traits["pattern"], text))
        and ("enum" not in traits or text in traits["enum"])
    )


def keeps_pattern(pattern: str, text: str) -> bool:
    """Whether all of `text` matches, by Python's `re` with ASCII classes as in Java, and by hand where `re` cannot."""
    if r"\p{" in pattern:
        allowed = all(unicodedata.category(letter)[0] in "LZN" or letter in "_.:/=+-@" for letter in text)
        return allowed and not ("(?!aws:)" in pattern and text.startswith("aws:"))
    return re.fullmatch(pattern, text, re.ASCII) is not None


# --- single violations ------------------------------------------------------------------------------------------------


def violation(constraint: Constraint) -> Any:
    """A value, in the form of the wire, that breaks this constraint (and others of the same member only if it must)."""
    shape, kind = constraint.shape, constraint.kind
    if kind == "required":
        return Absent
    if kind == "enum":
        return "NOT_ONE_OF_THEM"
    if kind == "pattern":
        return next(text for text in _unlikely(shape) if not keeps_pattern(constraint.limit, text))
    off = 1 if kind == "max" else -1
    if shape.type_name == "float":
        return constraint.limit + off / 2
    if shape.type_name in INT_MAX:
        return constraint.limit + off
    return sized(shape, constraint.limit + off)


def _unlikely(shape: Shape) -> Iterator[str]:
    low, high = shape.metadata.get("min", 1), shape.metadata.get("max", 50)
    for letter in ("!", " ", "\n", "\u0100"):
        yield letter * min(max(low, 1), high)


def sized(shape: Shape, length: int) -> Any:
    """A value of exactly this length; its content keeps the constraints of its parts."""
    match shape.type_name:
        case "string":
            return "a" * length
        case "blob":
            return base64.b64encode(bytes(length)).decode()
        case "list":
            assert isinstance(shape, ListShape)
            return [minimal(shape.member)] * length
        case _:
            return {f"key{number}": "value" for number in range(length)}


# --- hypothesis -------------------------------------------------------------------------------------------------------

# characters on which `re` and Java agree what a dot is, and that JSON can carry
TEXT = st.characters(codec="utf-8", exclude_characters="\r\u0085\u2028\u2029")


def valid(shape: Shape) -> st.SearchStrategy[Any]:
    """Valid values of a shape, all members included now and then."""
    traits = shape.metadata
    low, high = traits.get("min"), traits.get("max")
    match shape:
        case StructureShape():
            members = {name: valid(member) for name, member in shape.members.items()}
            required = {name: members.pop(name) for name in shape.required_members}
            return st.fixed_dictionaries(required, optional=members)
        case ListShape():
            least = low or 0
            return st.lists(valid(shape.member), min_size=least, max_size=min(high or least + 2, least + 2))
        case MapShape():
            return st.dictionaries(valid(shape.key), valid(shape.value), min_size=low or 0, max_size=3)
        case StringShape():
            return _valid_string(shape)
    match shape.type_name:
        case "blob":
            return st.binary(min_size=low or 0, max_size=64).map(lambda data: base64.b64encode(data).decode())
        case "boolean":
            return st.booleans()
        case "float":
            return _floats(-FLOAT32_MAX if low is None else low, FLOAT32_MAX if high is None else high)
        case "integer" | "long" as kind:
            return st.integers(-INT_MAX[kind] if low is None else low, INT_MAX[kind] if high is None else high)
    raise AssertionError(f"no strategy for {shape.type_name}")


def _floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


def _valid_string(shape: StringShape) -> st.SearchStrategy[str]:
    traits = shape.metadata
    low, high = traits.get("min", 0), traits.get("max", 300)
    if shape.enum:
        return st.sampled_from(shape.enum)
    if "pattern" not in traits:
        return st.text(TEXT, min_size=low, max_size=min(high, low + 50))
    pattern = traits["pattern"]
    if r"\p{" in pattern:
        letters = st.characters(categories=["L", "Z", "N"], include_characters="_.:/=+-@")
        return st.text(letters, min_size=low, max_size=50).filter(lambda text: fits(shape, text))
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True, alphabet=TEXT).filter(
        lambda text: fits(shape, text)
    )


def invalid(constraint: Constraint) -> st.SearchStrategy[Any]:
    """Values that break a constraint. For lengths, a few beyond the limit."""
    shape, kind = constraint.shape, constraint.kind
    if kind == "required":
        return st.sampled_from([Absent, None])
    if kind == "enum":
        return st.text(TEXT, max_size=30).filter(lambda text: text not in constraint.limit)
    if kind == "pattern":

        def keeps(text: str) -> bool:
            return not keeps_pattern(constraint.limit, text)

        # what Python's Unicode does not know yet, the newer Unicode of the pattern engine may take for a letter
        return st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]), max_size=80).filter(keeps)
    if shape.type_name == "float":
        if kind == "max":
            return st.floats(constraint.limit, FLOAT32_MAX, width=32, exclude_min=True)
        return st.floats(-FLOAT32_MAX, constraint.limit, width=32, exclude_max=True)
    if shape.type_name in INT_MAX:
        bound = INT_MAX[shape.type_name]
        if kind == "max":
            return st.integers(constraint.limit + 1, bound)
        return st.integers(-bound - 1, constraint.limit - 1)
    if kind == "min":
        return st.integers(0, constraint.limit - 1).map(lambda length: sized(shape, length))
    return st.integers(1, 3).map(lambda more: sized(shape, constraint.limit + more))
