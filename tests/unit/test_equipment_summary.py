"""Who wears what is required: every branch of the summary."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrek.service.equipment_summary import summarise

COVER = {"FACE": "FACE_COVER", "HEAD": "HEAD_COVER", "LEFT_HAND": "HAND_COVER", "RIGHT_HAND": "HAND_COVER"}


def item(kind: str, confidence: float = 95.0, value: bool = True, covers: float = 95.0) -> dict[str, Any]:
    box = {"Left": 0.1, "Top": 0.1, "Width": 0.1, "Height": 0.1}
    cover = {"Value": value, "Confidence": covers}
    return {"Type": kind, "BoundingBox": box, "Confidence": confidence, "CoversBodyPart": cover}


def part(name: str, *items: dict[str, Any], confidence: float = 95.0) -> dict[str, Any]:
    return {"Name": name, "Confidence": confidence, "EquipmentDetections": list(items)}


def person(*parts: dict[str, Any], confidence: float = 95.0, number: int = 0) -> Any:
    return {"Id": number, "BoundingBox": {}, "Confidence": confidence, "BodyParts": list(parts)}


def verdict(someone: Any, *required: str, at: float = 80.0) -> str:
    summary = summarise([someone], required, at)
    (name,) = (name for name, ids in summary.items() if ids == [0])
    return name


WITH, WITHOUT, UNSURE = "PersonsWithRequiredEquipment", "PersonsWithoutRequiredEquipment", "PersonsIndeterminate"
HELMET, MASK, GLOVE = item("HEAD_COVER"), item("FACE_COVER"), item("HAND_COVER")


@pytest.mark.parametrize(
    ("someone", "required", "expected"),
    [
        (person(part("HEAD", HELMET)), ["HEAD_COVER"], WITH),
        (person(part("HEAD")), ["HEAD_COVER"], WITHOUT),
        (person(), ["HEAD_COVER"], UNSURE),
        (person(part("FACE", MASK)), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD", HELMET), confidence=79.9), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD"), confidence=79.9), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD", HELMET, confidence=79.9)), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD", item("HEAD_COVER", confidence=79.9))), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD", item("HEAD_COVER", covers=79.9))), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD", item("HEAD_COVER", value=False))), ["HEAD_COVER"], WITHOUT),
        (person(part("HEAD", item("HEAD_COVER", value=False, covers=60))), ["HEAD_COVER"], UNSURE),
        (person(part("HEAD", item("FACE_COVER"))), ["HEAD_COVER"], WITHOUT),
        (person(part("HEAD", HELMET), part("FACE", MASK)), ["HEAD_COVER", "FACE_COVER"], WITH),
        (person(part("HEAD", HELMET), part("FACE")), ["HEAD_COVER", "FACE_COVER"], WITHOUT),
        (person(part("HEAD", HELMET)), ["HEAD_COVER", "FACE_COVER"], UNSURE),
        (person(part("HEAD")), ["HEAD_COVER", "FACE_COVER"], WITHOUT),  # one sure violation decides
        (person(part("LEFT_HAND", GLOVE)), ["HAND_COVER"], WITH),  # one visible gloved hand counts
        (person(part("LEFT_HAND", GLOVE), part("RIGHT_HAND")), ["HAND_COVER"], WITHOUT),
        (person(part("LEFT_HAND", GLOVE), part("RIGHT_HAND", confidence=60)), ["HAND_COVER"], UNSURE),
        (person(part("HEAD", HELMET, item("HEAD_COVER", value=False))), ["HEAD_COVER"], WITHOUT),
        (person(part("HEAD", HELMET, item("HEAD_COVER", covers=60))), ["HEAD_COVER"], UNSURE),
    ],
)
def test_a_person_is_in_the_right_list(someone: Any, required: list[str], expected: str) -> None:
    assert verdict(someone, *required) == expected


def test_a_low_threshold_means_fifty() -> None:
    someone = person(part("HEAD", item("HEAD_COVER", confidence=51)))
    assert verdict(someone, "HEAD_COVER", at=0) == verdict(someone, "HEAD_COVER", at=50) == WITH
    assert verdict(someone, "HEAD_COVER", at=52) == UNSURE


def test_nobody() -> None:
    assert summarise([], ["HEAD_COVER"], 80) == {WITH: [], WITHOUT: [], UNSURE: []}


percent = st.floats(50, 100)
items = st.builds(item, st.sampled_from(["FACE_COVER", "HAND_COVER", "HEAD_COVER"]), percent, st.booleans(), percent)
parts = st.builds(
    lambda name, its, confidence: part(name, *its, confidence=confidence),
    st.sampled_from(sorted(COVER)),
    st.lists(items, max_size=2),
    percent,
)
persons = st.lists(
    st.tuples(st.lists(parts, max_size=4, unique_by=lambda each: each["Name"]), percent), max_size=15
).map(lambda rows: [person(*row[0], confidence=row[1], number=number) for number, row in enumerate(rows)])


@given(persons, st.sets(st.sampled_from(["FACE_COVER", "HAND_COVER", "HEAD_COVER"]), min_size=1), st.floats(0, 100))
def test_the_lists_partition_all_persons(everyone: Any, required: set[str], threshold: float) -> None:
    summary = summarise(everyone, required, threshold)
    assert sorted(number for ids in summary.values() for number in ids) == list(range(len(everyone)))
    if threshold <= 50:
        assert summary == summarise(everyone, required, 50)
