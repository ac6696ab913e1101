"""Every constraint of the service model, at every place of every operation."""

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openrek.contract.errors import ValidationException
from openrek.contract.model import operation_names, service_model
from openrek.wire.parser import Parser
from openrek.wire.validator import Validator
from tests.wire.driver import call, make_app
from tests.wire.samples import (
    KEY,
    Constraint,
    constraints,
    input_shape,
    invalid,
    minimal,
    request_with,
    sized,
    valid,
    violation,
)

OPERATIONS = operation_names()
ITEM = r"Value (?:null|'.*?') at '(?P<path>[^']*)' failed to satisfy constraint: Member must .+?"
GRAMMAR = re.compile(rf"(\d+) validation errors? detected: {ITEM}(?:; {ITEM.replace('?P<path>', '')})*", re.DOTALL)

parser = Parser(service_model())
validator = Validator(service_model())


def validate(operation: str, request: dict[str, Any]) -> None:
    validator.validate(operation, parser.parse(operation, orjson.dumps(request)))


def violations(operation: str, request: dict[str, Any]) -> str:
    """The message about a request; nothing for a valid one."""
    try:
        validate(operation, request)
    except ValidationException as error:
        return error.message
    return ""


def expected(constraint: Constraint) -> str:
    if constraint.steps[-1] == KEY:
        return f"at '{constraint.path}' failed to satisfy constraint: Map keys must satisfy constraint: ["
    return f"at '{constraint.path}' failed to satisfy constraint: {constraint.rule}"


def test_the_model_has_the_operations_and_no_recursive_input() -> None:
    """75 operations; the compilers of the wire do not handle a shape that contains itself."""
    assert len(OPERATIONS) == 75
    for operation in OPERATIONS:
        constraints(operation)  # would not come back


def test_there_are_as_many_constraints_as_expected(record_property: Callable[[str, object], None]) -> None:
    """A floor that a model with fewer constraints, or a walk that misses some, falls through."""
    count = sum(len(constraints(operation)) for operation in OPERATIONS)
    record_property("constraints of the service model checked over the wire", count)
    assert count > 900


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_minimal_request_is_valid(operation: str) -> None:
    answer = call(make_app(), operation, minimal(input_shape(operation)))
    assert (answer.status, answer.code) == (501, "NotImplementedException")
    assert operation in answer.message


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_constraint_is_enforced(operation: str) -> None:
    """Over the whole way of a request: signed, parsed, validated, answered."""
    app = make_app()
    for constraint in constraints(operation):
        answer = call(app, operation, request_with(operation, constraint.steps, violation(constraint)))
        assert (answer.status, answer.code) == (400, "ValidationException"), constraint
        assert expected(constraint) in answer.message, constraint
        assert constraint.rule in answer.message, constraint
        paths = set(re.findall(r"at '([^']*)' failed to satisfy", answer.message))
        assert paths == {constraint.path}, constraint


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_limits_themselves_are_allowed(operation: str) -> None:
    for constraint in constraints(operation):
        if constraint.kind not in ("min", "max"):
            continue
        shape, limit = constraint.shape, constraint.limit
        value = sized(shape, limit) if shape.type_name in ("string", "blob", "list", "map") else limit
        message = violations(operation, request_with(operation, constraint.steps, value))
        assert constraint.rule not in message, constraint  # the pattern may still mind


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_valid_requests_are_never_rejected(operation: str, data: st.DataObject) -> None:
    validate(operation, data.draw(valid(input_shape(operation))))


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_invalid_values_are_always_rejected(operation: str, data: st.DataObject) -> None:
    for constraint in constraints(operation):
        if constraint.shape.type_name == "blob" and constraint.kind == "max":
            continue  # megabytes; test_every_constraint_is_enforced has them
        value = data.draw(invalid(constraint), label=str(constraint))
        message = violations(operation, request_with(operation, constraint.steps, value))
        assert expected(constraint) in message


def one_of_each_member(operation: str) -> list[Constraint]:
    per_member = {c.steps[0]: c for c in constraints(operation) if c.kind != "required" and c.steps[-1] != KEY}
    return list(per_member.values())[:3]


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if len(one_of_each_member(name)) > 1])
def test_all_violations_are_reported_together(operation: str) -> None:
    """Constraints of different members in one message."""
    chosen = one_of_each_member(operation)
    request: dict[str, Any] = {}
    for constraint in chosen:
        request[constraint.steps[0]] = request_with(operation, constraint.steps, violation(constraint))[
            constraint.steps[0]
        ]
    message = violations(operation, request)
    assert GRAMMAR.fullmatch(message)
    for constraint in chosen:
        assert expected(constraint) in message
    count = int(message.split()[0])
    assert count == message.count("failed to satisfy constraint") >= len(chosen)
    assert message.startswith(f"{count} validation errors detected: ")
