"""Human review: the conditions language, flows and loops in the database."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from openrek.service.review_conditions import ConditionsError, check_conditions, evaluate, sample_of
from openrek.store.database import Database
from openrek.store.errors import ExistsError, FullError
from openrek.store.reviews import Loop, Owner, Reviews

LABELS = [{"Name": "Alcohol", "Confidence": 80.0}, {"Name": "Weapons", "Confidence": 55.0}]
HERE = Owner("000000000000", "us-east-1")


def check(name: str, **bounds: float) -> dict[str, Any]:
    return {
        "ConditionType": "ModerationLabelConfidenceCheck",
        "ConditionParameters": {"ModerationLabelName": name, **bounds},
    }


def sampling(share: float) -> dict[str, Any]:
    return {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": share}}


def text(*conditions: Any) -> str:
    return json.dumps({"Conditions": conditions})


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (check("*", ConfidenceGreaterThanEquals=75), True),
        (check("*", ConfidenceGreaterThanEquals=81), False),
        (check("*", ConfidenceGreaterThan=80), False),
        (check("Weapons", ConfidenceGreaterThan=50, ConfidenceLessThan=60), True),
        (check("Weapons", ConfidenceGreaterThan=56), False),
        (check("weapons", ConfidenceGreaterThan=1), False),
        (check("Gambling", ConfidenceLessThan=90), False),
        (check("Alcohol", ConfidenceEquals=80), True),
        (check("Alcohol", ConfidenceLessThanEquals=80), True),
        (sampling(50), True),
        (sampling(40), False),
        ({"And": [check("Alcohol", ConfidenceGreaterThan=60), sampling(40)]}, False),
        ({"Or": [check("Alcohol", ConfidenceGreaterThan=60), sampling(40)]}, True),
        ({"And": [{"Or": [sampling(40), sampling(50)]}, check("Weapons", ConfidenceEquals=55)]}, True),
    ],
)
def test_conditions(condition: dict[str, Any], met: bool) -> None:
    check_conditions(text(condition))
    wanted, tree = evaluate(text(condition), LABELS, 45.0)
    assert wanted is met
    assert tree["Conditions"][0]["EvaluationResult"] is met


def test_every_node_carries_its_result() -> None:
    conditions = text(
        check("Alcohol", ConfidenceGreaterThan=60),
        {"And": [check("Gambling", ConfidenceGreaterThan=1), check("Weapons", ConfidenceEquals=55)]},
    )
    wanted, tree = evaluate(conditions, LABELS, 0.0)
    assert wanted
    first, second = tree["Conditions"]
    assert first == check("Alcohol", ConfidenceGreaterThan=60) | {"EvaluationResult": True}
    assert second["EvaluationResult"] is False
    assert [member["EvaluationResult"] for member in second["And"]] == [False, True]


def test_without_conditions_every_picture_is_reviewed() -> None:
    assert evaluate(None, [], 99.0) == (True, {"Conditions": []})


def nested(levels: int) -> dict[str, Any]:
    return {"Or": [sampling(1), nested(levels - 1)]} if levels else sampling(1)


@pytest.mark.parametrize(
    "conditions",
    [
        "no json",
        "[]",
        text(),
        text({"And": [sampling(1)]}),
        text(nested(3)),
        text({"And": [sampling(1), sampling(2)], "EvaluationResult": True}),
        text(check("Alcohol")),
        text(check("Alcohol", ConfidenceAbout=3)),
        text(check("Alcohol", ConfidenceEquals=101)),
        text(sampling(0)),
        text(sampling(True)),
        text({"ConditionType": "Moon", "ConditionParameters": {}}),
        text("Alcohol"),
        text(*[sampling(1)] * 100),
    ],
)
def test_what_is_not_of_the_language_is_refused(conditions: str) -> None:
    with pytest.raises(ConditionsError):
        check_conditions(conditions)


def test_two_levels_are_accepted() -> None:
    check_conditions(text(nested(2)))


def test_samples_are_even_and_belong_to_picture_and_flow() -> None:
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(200)]
    values = [sample_of(digest, "flow") for digest in digests]
    assert all(0 <= value < 100 for value in values)
    assert 70 <= sum(value < 50 for value in values) <= 130
    assert values == [sample_of(digest, "flow") for digest in digests]
    assert values != [sample_of(digest, "other") for digest in digests]


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    return Reviews(Database.open(f"sqlite:///{tmp_path / 'reviews.db'}"))


def test_flows_belong_to_an_account_and_region(reviews: Reviews) -> None:
    reviews.put_flow(HERE, "all", None)
    reviews.put_flow(HERE, "some", text(sampling(5)))
    reviews.put_flow(HERE, "some", text(sampling(6)))
    assert reviews.flows(HERE) == {"all": None, "some": text(sampling(6))}
    assert reviews.flows(Owner("000000000000", "eu-west-1")) == {}
    assert reviews.delete_flow(HERE, "all")
    assert not reviews.delete_flow(HERE, "all")
    assert list(reviews.flows(HERE)) == ["some"]


def test_a_loop_is_recorded_once(reviews: Reviews) -> None:
    loop = Loop("first", "all", "f" * 64, "{}", b"picture")
    assert reviews.start(HERE, loop, most_open=1)
    assert not reviews.start(HERE, loop, most_open=1), "the same again is the same loop, even at the limit"
    with pytest.raises(ExistsError):
        reviews.start(HERE, Loop("first", "all", "e" * 64, "{}", b"other"), most_open=5)
    with pytest.raises(FullError):
        reviews.start(HERE, Loop("second", "all", "e" * 64, "{}", None), most_open=1)
    assert [(each.name, each.status) for each in reviews.loops(HERE)] == [("first", "InProgress")]
    assert reviews.image(HERE, "first") == b"picture"
    assert reviews.image(HERE, "second") is None
