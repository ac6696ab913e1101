"""The conditions of a review flow: which moderated pictures people look at.

The language is Amazon A2I's for DetectModerationLabels: alternatives of checks on a label's confidence and of samples,
combined by And and Or to two levels. Every condition is evaluated, none is skipped, and the answer shows them all.
"""

import hashlib
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

CHECK: Final = "ModerationLabelConfidenceCheck"
SAMPLING: Final = "Sampling"
ANY_LABEL: Final = "*"
_BOUNDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "ConfidenceEquals": operator.eq,
    "ConfidenceLessThan": operator.lt,
    "ConfidenceLessThanEquals": operator.le,
    "ConfidenceGreaterThan": operator.gt,
    "ConfidenceGreaterThanEquals": operator.ge,
}
_NESTING: Final = 2
_LONGEST_RESULTS: Final = 10_240  # of HumanLoopActivationConditionsEvaluationResults


class ConditionsError(ValueError):
    """The conditions are not of the language; the message says where and why."""


def check_conditions(text: str) -> None:
    """Raises ConditionsError where the JSON text is not a set of conditions."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ConditionsError(f"the conditions are not JSON: {error}") from error
    if not isinstance(parsed, dict) or set(parsed) != {"Conditions"} or not isinstance(parsed["Conditions"], list):
        raise ConditionsError('the conditions must be an object {"Conditions": [...]}')
    if not parsed["Conditions"]:
        raise ConditionsError("Conditions must not be empty; leave the conditions out to review every picture")
    for number, condition in enumerate(parsed["Conditions"], 1):
        _check(condition, f"condition {number}", 0)
    if len(json.dumps(evaluate(text, (), 100.0)[1])) > _LONGEST_RESULTS:
        raise ConditionsError(f"the conditions with their results would exceed {_LONGEST_RESULTS:,} characters")


def evaluate(text: str | None, labels: Sequence[Mapping[str, Any]], sample: float) -> tuple[bool, Json]:
    """Whether people are to look, and the conditions with an EvaluationResult at every node.

    text: JSON that `check_conditions` passed; None for a flow without conditions, which reviews every picture. labels:
    the answer's ModerationLabels. sample: where the picture falls, 0..100 (see `sample_of`).
    """
    if text is None:
        return True, {"Conditions": []}
    nodes = [_evaluated(condition, labels, sample) for condition in json.loads(text)["Conditions"]]
    return any(node["EvaluationResult"] for node in nodes), {"Conditions": nodes}


def sample_of(digest: bytes, flow_arn: str) -> float:
    """A number in [0, 100) that belongs to this picture (its digest) and this flow for good."""
    hashed = hashlib.sha256(digest + flow_arn.encode()).digest()
    return int.from_bytes(hashed[:8]) / 2**64 * 100


def _check(condition: Any, where: str, depth: int) -> None:
    if not isinstance(condition, dict):
        raise ConditionsError(f"{where} is not an object")
    for kind in ("And", "Or"):
        if kind in condition:
            members = condition[kind]
            if set(condition) != {kind} or not isinstance(members, list) or len(members) < 2:
                raise ConditionsError(f"{where}: {kind} stands alone and combines at least two conditions")
            if depth == _NESTING:
                raise ConditionsError(f"{where}: And and Or may be nested {_NESTING} levels deep")
            for number, member in enumerate(members, 1):
                _check(member, f"{where}.{kind} {number}", depth + 1)
            return
    if set(condition) != {"ConditionType", "ConditionParameters"}:
        raise ConditionsError(f"{where} must hold ConditionType and ConditionParameters, or And, or Or")
    parameters = condition["ConditionParameters"]
    if not isinstance(parameters, dict):
        raise ConditionsError(f"{where}: ConditionParameters is not an object")
    if condition["ConditionType"] == CHECK:
        bounds = {name: value for name, value in parameters.items() if name != "ModerationLabelName"}
        if not isinstance(parameters.get("ModerationLabelName"), str) or not bounds or set(bounds) - set(_BOUNDS):
            raise ConditionsError(f"{where}: a check has a ModerationLabelName and bounds of {', '.join(_BOUNDS)}")
        if any(not _is_number(value) or not 0 <= value <= 100 for value in bounds.values()):
            raise ConditionsError(f"{where}: bounds are numbers from 0 to 100")
    elif condition["ConditionType"] == SAMPLING:
        share: Any = parameters.get("RandomSamplingPercentage")
        if set(parameters) != {"RandomSamplingPercentage"} or not _is_number(share) or not 0.01 <= share <= 100:
            raise ConditionsError(f"{where}: Sampling has a RandomSamplingPercentage from 0.01 to 100")
    else:
        raise ConditionsError(
            f"{where}: {condition['ConditionType']!r} is not a condition type; {CHECK} and {SAMPLING} are"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _evaluated(condition: Json, labels: Sequence[Mapping[str, Any]], sample: float) -> Json:
    for kind, combine in (("And", all), ("Or", any)):
        if kind in condition:
            members = [_evaluated(member, labels, sample) for member in condition[kind]]
            return {kind: members, "EvaluationResult": combine(member["EvaluationResult"] for member in members)}
    parameters = condition["ConditionParameters"]
    if condition["ConditionType"] == SAMPLING:
        result = sample < parameters["RandomSamplingPercentage"]
    else:
        name = parameters["ModerationLabelName"]
        bounds = [(_BOUNDS[key], value) for key, value in parameters.items() if key != "ModerationLabelName"]
        result = any(
            name in (ANY_LABEL, label["Name"]) and all(holds(label["Confidence"], value) for holds, value in bounds)
            for label in labels
        )
    return {
        "ConditionType": condition["ConditionType"],
        "EvaluationResult": result,
        "ConditionParameters": parameters,
    }
