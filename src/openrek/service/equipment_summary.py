"""The summary of DetectProtectiveEquipment: who wears what is required.

Every person is in exactly one of the three lists. One required cover that is surely missing decides, whatever else is
unknown; what cannot be told leaves the person indeterminate.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        ProtectiveEquipmentBodyPartTypeDef,
        ProtectiveEquipmentPersonTypeDef,
        ProtectiveEquipmentSummaryTypeDef,
    )

LEAST_CONFIDENCE: Final = 50.0
"""Nothing below it is in an answer, so a lower MinConfidence means the same."""

PARTS: Final = {
    "FACE_COVER": ("FACE",),
    "HEAD_COVER": ("HEAD",),
    "HAND_COVER": ("LEFT_HAND", "RIGHT_HAND"),
}
"""Body parts that a cover belongs on."""


class Wears(Enum):
    """What is known of one cover on one body part, or of a person."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()


def summarise(
    persons: "Iterable[ProtectiveEquipmentPersonTypeDef]", required: Iterable[str], min_confidence: float
) -> "ProtectiveEquipmentSummaryTypeDef":
    """The ids of persons with and without all the `required` covers, and of those where it cannot be told."""
    threshold = max(min_confidence, LEAST_CONFIDENCE)
    types = sorted(set(required))
    lists: dict[Wears, list[int]] = {Wears.YES: [], Wears.NO: [], Wears.UNKNOWN: []}
    for person in persons:
        lists[status(person, types, threshold)].append(person["Id"])
    return {
        "PersonsWithRequiredEquipment": lists[Wears.YES],
        "PersonsWithoutRequiredEquipment": lists[Wears.NO],
        "PersonsIndeterminate": lists[Wears.UNKNOWN],
    }


def status(person: "ProtectiveEquipmentPersonTypeDef", required: Iterable[str], threshold: float) -> Wears:
    """Whether a person wears all the required covers, at confidence `threshold` (percent) or more."""
    if person["Confidence"] < threshold:
        return Wears.UNKNOWN
    found: set[Wears] = set()
    for kind in required:
        parts = [part for part in person["BodyParts"] if part["Name"] in PARTS[kind]]
        found.update(_on_part(part, kind, threshold) for part in parts)
        if not parts:
            found.add(Wears.UNKNOWN)
    if Wears.NO in found:
        return Wears.NO
    return Wears.UNKNOWN if Wears.UNKNOWN in found else Wears.YES


def _on_part(part: "ProtectiveEquipmentBodyPartTypeDef", kind: str, threshold: float) -> Wears:
    """Every item of the kind must surely cover; one that surely does not decides."""
    if part["Confidence"] < threshold:
        return Wears.UNKNOWN
    items = [item for item in part["EquipmentDetections"] if item["Type"] == kind]
    if not items:
        return Wears.NO
    sure = [
        item["CoversBodyPart"]["Value"]
        for item in items
        if item["Confidence"] >= threshold and item["CoversBodyPart"]["Confidence"] >= threshold
    ]
    if not all(sure):
        return Wears.NO
    return Wears.YES if len(sure) == len(items) else Wears.UNKNOWN
