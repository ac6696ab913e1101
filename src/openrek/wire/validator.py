"""Every constraint of the service model: required, length, range, pattern, enum, in nested shapes too.

All violations of a request are reported in one ValidationException, in AWS's own grammar:
`2 validation errors detected: Value 'x' at 'place' failed to satisfy constraint: rule; Value ...`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

from openrek.contract.errors import ValidationException
from openrek.wire.paths import camel, shorten
from openrek.wire.patterns import matcher

Violations = list[str]
Check = Callable[[Any, str, Violations], None]
Rule = tuple[str, Callable[[Any], bool]]  # what the message says, and whether a value keeps it

MOST_SHOWN: Final = 100
NOT_NULL: Final = "Member must not be null"


class Validator:
    """Checks of the shapes of one service model, compiled on first use and kept.

    `limits` replaces the largest length (or value) of shapes by name: `{"ImageBlob": 20 * 1024 * 1024}` lifts the
    model's 5 MB of an inline picture.
    """

    def __init__(self, model: ServiceModel, limits: Mapping[str, int] | None = None) -> None:
        self._model = model
        self._limits = dict(limits or {})
        self._compiled: dict[str, Check | None] = {}

    def validate(self, operation: str, parameters: Mapping[str, Any]) -> None:
        """Raise ValidationException with every constraint that `parameters`, as the parser made them, break.

        The message counts all violations and spells out the first hundred.
        """
        shape = self._model.operation_model(operation).input_shape
        check = self._of(shape) if shape is not None else None
        if check is None:
            return
        violations: Violations = []
        check(parameters, "", violations)
        if violations:
            count = len(violations)
            shown = violations[:MOST_SHOWN] + ([f"and {count - MOST_SHOWN} more"] if count > MOST_SHOWN else [])
            raise ValidationException(
                f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(shown)}"
            )

    def _of(self, shape: Shape) -> Check | None:
        """The compiled check of a shape, None where nothing in it is constrained."""
        if shape.name not in self._compiled:
            self._compiled[shape.name] = self._compile(shape)
        return self._compiled[shape.name]

    def _compile(self, shape: Shape) -> Check | None:
        rules = self._rules(shape)
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return _list(rules, self._of(shape.member))
        if isinstance(shape, MapShape):
            return _map(rules, self._rules(shape.key), self._of(shape.value))
        return _scalar(rules) if rules else None

    def _structure(self, shape: StructureShape) -> Check:
        required = [(name, camel(name)) for name in shape.required_members]
        members = {
            name: (camel(name), check)
            for name, member in shape.members.items()
            if (check := self._of(member)) is not None
        }

        def check_structure(value: Any, path: str, violations: Violations) -> None:
            dot = f"{path}." if path else ""
            for name, shown in required:
                if name not in value:
                    violations.append(_violation(None, f"{dot}{shown}", NOT_NULL))
            for name, item in value.items():
                if name in members:
                    shown, check = members[name]
                    check(item, f"{dot}{shown}", violations)

        return check_structure

    def _rules(self, shape: Shape) -> list[Rule]:
        """The constraints that a shape itself carries, in the order AWS reports them."""
        traits = shape.metadata
        low, high = traits.get("min"), self._limits.get(shape.name, traits.get("max"))
        measure = _MEASURES.get(shape.type_name)
        rules: list[Rule] = []
        if isinstance(shape, StringShape) and shape.enum:
            rules.append(_enum(shape.enum))
        if high is not None:
            rules.append(_at_most(high, measure))
        if low is not None:
            rules.append(_at_least(low, measure))
        if "pattern" in traits:
            rules.append(_pattern(traits["pattern"]))
        return rules


# how long a value of a shape is; shapes that are not here are measured by their value
_MEASURES: Final = {"string": len, "blob": len, "list": len, "map": len}


def _at_most(limit: float, length: Callable[[Any], int] | None) -> Rule:
    if length is None:
        return f"Member must have value less than or equal to {limit}", lambda value: bool(value <= limit)
    return f"Member must have length less than or equal to {limit}", lambda value: length(value) <= limit


def _at_least(limit: float, length: Callable[[Any], int] | None) -> Rule:
    if length is None:
        return f"Member must have value greater than or equal to {limit}", lambda value: bool(value >= limit)
    return f"Member must have length greater than or equal to {limit}", lambda value: length(value) >= limit


def _enum(values: list[str]) -> Rule:
    return f"Member must satisfy enum value set: [{', '.join(values)}]", frozenset(values).__contains__


def _pattern(pattern: str) -> Rule:
    return f"Member must satisfy regular expression pattern: {pattern}", matcher(pattern)


def _scalar(rules: list[Rule]) -> Check:
    def check(value: Any, path: str, violations: Violations) -> None:
        for text, holds in rules:
            if not holds(value):
                violations.append(_violation(value, path, text))

    return check


def _list(rules: list[Rule], check_member: Check | None) -> Check:
    check_self = _scalar(rules)

    def check(value: Any, path: str, violations: Violations) -> None:
        check_self(value, path, violations)
        for number, item in enumerate(value, 1):
            if item is None:
                violations.append(_violation(None, f"{path}.{number}.member", NOT_NULL))
            elif check_member is not None:
                check_member(item, f"{path}.{number}.member", violations)

    return check


def _map(rules: list[Rule], key_rules: list[Rule], check_value: Check | None) -> Check:
    check_self = _scalar(rules)
    key_text = f"Map keys must satisfy constraint: [{', '.join(text for text, _ in key_rules)}]"

    def check(value: Any, path: str, violations: Violations) -> None:
        check_self(value, path, violations)
        if not all(holds(key) for _, holds in key_rules for key in value):
            violations.append(_violation(value, path, key_text))
        for key, item in value.items():
            if item is None:
                violations.append(_violation(None, f"{path}.{shorten(key)}.member", NOT_NULL))
            elif check_value is not None:
                check_value(item, f"{path}.{shorten(key)}.member", violations)

    return check


def _violation(value: Any, path: str, rule: str) -> str:
    shown = "null" if value is None else f"'{shorten(_java(value))}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {rule}"


def _java(value: Any) -> str:
    """A value as Java prints it, which is how AWS's messages show it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case float():
            return str(np.float32(value))
        case list():
            return f"[{', '.join(map(_java, value[:MOST_SHOWN]))}]"
        case dict():
            return f"{{{', '.join(f'{key}={_java(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)
