"""`openrek labels`: the taxonomy, printed and searched."""

import json

from typer.testing import CliRunner

from openrek.cli.main import app
from openrek.vision.labels import taxonomy


def found(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["labels", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    answer: list[dict[str, object]] = json.loads(result.output)
    return answer


def test_everything_is_printed() -> None:
    assert [each["name"] for each in found()] == list(taxonomy())


def test_a_label_is_found_by_name_alias_and_ancestor() -> None:
    (car,) = [each for each in found("automobile") if each["name"] == "Car"]
    assert car == {
        "name": "Car",
        "category": "Vehicles and Automotive",
        "ancestors": ["Transportation", "Vehicle"],
        "aliases": ["Automobile"],
        "boxes": True,
        "seen_by": ["kinds", "objects", "tagger"],
    }
    dogs = {each["name"] for each in found("dog", "retriever")}
    assert {"Golden Retriever", "Labrador Retriever", "Retriever"} <= dogs
    assert "Dog" not in dogs


def test_only_those_of_a_category_with_boxes_or_seen() -> None:
    assert {each["category"] for each in found("--category", "person desc")} == {"Person Description"}
    assert all(each["boxes"] for each in found("--boxes"))
    seen = found("--seen")
    assert all(each["seen_by"] for each in seen)
    assert 1250 < len(seen) < len(taxonomy())


def test_the_table_counts() -> None:
    result = CliRunner().invoke(app, ["labels", "no such thing"])
    assert result.output.strip().endswith("labels, 0 of them seen")
    result = CliRunner().invoke(app, ["labels", "golden retriever"])
    assert "1 of" in result.output
    assert "Canine" in result.output
