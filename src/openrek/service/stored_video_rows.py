"""Rows of a result that can be read item by item or as stretches of time: labels and moderation labels."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from openrek.jobs import Row, View

Item = Mapping[str, Any]

LONGEST_GAP: Final = 2
"""Steps between two samples with a label that still belong to one stretch: one sample without it does not end it."""


@dataclass(slots=True)
class _Stretch:
    """A run of samples with one label: its best item as JSON, and the times of its first and last sample."""

    name: str
    best: bytes
    confidence: float
    start_ms: int
    last_ms: int


def aggregated(
    found: Iterable[tuple[Item, str, float]], *, group: Callable[[Item], Item], step: float, duration_ms: int
) -> Iterator[Row]:
    """The rows of both views, from items in the order of time with their keys for the other order.

    group: the part of an item that has a Name and a Confidence; step: seconds between samples. Memory grows with the
    number of stretches, by some hundred bytes each, not with that of items.

    A stretch lasts from its first sample's time to a step after its last one's, but not beyond the video's end: each
    sample stands for the step that follows it. Its confidence is the highest of its samples, and it has no instances.
    """
    step_ms = step * 1000
    stretches: list[_Stretch] = []
    open_ones: dict[str, _Stretch] = {}
    for item, text, number in found:
        yield Row(item, text, number)
        part, now = group(item), int(item["Timestamp"])
        stretch = open_ones.get(part["Name"])
        # samples are the frames shown at their moments, so that two may be most of a frame nearer or further apart
        if stretch is None or now - stretch.last_ms >= (LONGEST_GAP + 0.5) * step_ms:
            open_ones[part["Name"]] = stretch = _Stretch(
                part["Name"], _without_instances(item), part["Confidence"], now, now
            )
            stretches.append(stretch)
        elif part["Confidence"] > stretch.confidence:
            stretch.best, stretch.confidence = _without_instances(item), part["Confidence"]
        stretch.last_ms = now
    stretches.sort(key=lambda each: (each.start_ms, -each.confidence, each.name))
    for each in stretches:
        end = max(each.start_ms, min(round(each.last_ms + step_ms), duration_ms))
        item = orjson.loads(each.best) | {
            "Timestamp": each.start_ms,
            "StartTimestampMillis": each.start_ms,
            "EndTimestampMillis": end,
            "DurationMillis": end - each.start_ms,
        }
        text, number = by_name(group(item))
        yield Row(item, text, number, View.AGGREGATED)


def by_name(part: Item) -> tuple[str, float]:
    """The key that sorts by name, and within a name by confidence from the highest."""
    return part["Name"], -part["Confidence"]


def _without_instances(item: Item) -> bytes:
    copy = dict(item)
    if "Instances" in copy.get("Label", {}):
        copy["Label"] = copy["Label"] | {"Instances": []}
    return orjson.dumps(copy)
