"""`python -m bench.ppe_accuracy --objects CACHE`: protective equipment as the service reports it, on photos held back.

CACHE is what `training.objects.prepare` writes; its test side is used: parts of construction photos and photos of
people with and without masks, none of which a model of this project was trained on. Answers hold nothing below 50 %, so
average precision is that of the answers, not of the detector alone. The model card of `ppe-heads` quotes the table.
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from training.faces.splits import TEST
from training.objects.classes import NAMES
from training.objects.samples import IGNORED, TRUTH, Sample, read

from openrek.vision import geometry
from openrek.vision.image import Picture
from openrek.vision.look import Look
from openrek.vision.protective_equipment import FACE_SEARCH_SIDE, Cover, PartName, ProtectedPerson, protective_equipment
from openrek.vision.runtime import Runtime

Floats = NDArray[np.float32]
LEAST_SIDE = 640
"""Smaller photos are enlarged to this longest side, as nobody sends thumbnails."""
LEAST_BOX = 10.0
"""Labelled boxes lower than this, in pixels of the set, are neither wanted nor wrong."""


@dataclass
class Precision:
    """Average precision at IoU 0.5 of one class, over many pictures."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    wanted: int = 0

    def add(self, found: Floats, scores: Sequence[float], truth: Floats, ignored: Floats) -> None:
        self.wanted += len(truth)
        free = np.ones(len(truth), bool)
        for index in np.argsort(-np.asarray(scores)):
            overlap = geometry.iou(found[index : index + 1], truth)[0] * free if len(truth) else np.zeros(0)
            if len(overlap) and overlap.max() >= 0.5:
                free[int(overlap.argmax())] = False
                self._note(scores[index], True)
            elif not len(ignored) or geometry.iou(found[index : index + 1], ignored).max() < 0.3:
                self._note(scores[index], False)

    def _note(self, score: float, right: bool) -> None:
        self.scores.append(float(score))
        self.right.append(right)

    @property
    def value(self) -> float:
        """Area under the precision envelope over recall."""
        if not self.wanted or not self.scores:
            return 0.0
        right = np.array(self.right)[np.argsort(-np.array(self.scores), kind="stable")]
        recall = np.cumsum(right) / self.wanted
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(recall, prepend=0.0) * envelope).sum())

    def __str__(self) -> str:
        right = sum(self.right)
        return (
            f"AP50 {100 * self.value:.1f} % ({self.wanted} labelled, {len(self.right)} reported, {right} of them right)"
        )


@dataclass
class Covers:
    """Yes or no for each head that is labelled and lies in a person who was found."""

    right: int = 0
    wrong: int = 0
    unlisted: int = 0

    def __str__(self) -> str:
        told = self.right + self.wrong
        return f"{100 * self.right / max(told, 1):.1f} % right of {told} told, {self.unlisted} not listed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=10_000, help="photos of each set, evenly chosen")
    parser.add_argument("--detector", default="objects")
    options = parser.parse_args()
    samples = [sample for sample in read(options.objects) if sample.side == TEST]
    with Runtime(cache=user_cache_path("openrek")) as runtime:
        for source in ("ppe-boxes", "face-mask-boxes"):
            own = [sample for sample in samples if sample.source == source]
            if source == "ppe-boxes":
                own = [sample for sample in own if np.ptp(np.asarray(sample.pixels), axis=2).mean() > 8]  # in colour
            chosen = own[:: max(1, -(-len(own) // options.limit))]
            measure(source, chosen, runtime, options.detector)


def measure(source: str, samples: Iterable[Sample], runtime: Runtime, detector: str) -> None:
    person, hat, mask = Precision(), Precision(), Precision()
    heads, faces = Covers(), Covers()
    times = []
    count = 0
    for sample in samples:
        pixels = np.ascontiguousarray(sample.pixels)
        scale = max(1.0, LEAST_SIDE / max(pixels.shape[:2]))
        if scale > 1:
            pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
        began = time.perf_counter()
        look = Look(Picture.of(pixels), runtime, face_search_side=FACE_SEARCH_SIDE, detector=detector)
        persons = protective_equipment(look)
        times.append(time.perf_counter() - began)
        count += 1
        if source == "ppe-boxes":
            scores = [each.confidence for each in persons]
            person.add(_boxes(each.box for each in persons), scores, *_truth(sample, scale, "person"))
        for cover, name, precision in ((Cover.HEAD_COVER, "hard_hat", hat), (Cover.FACE_COVER, "face_mask", mask)):
            items = [item for each in persons for part in each.parts for item in part.equipment if item.cover is cover]
            precision.add(
                _boxes(item.box for item in items), [item.confidence for item in items], *_truth(sample, scale, name)
            )
        _judge(persons, sample, scale, PartName.HEAD, Cover.HEAD_COVER, ("hard_hat", "head_bare"), heads)
        _judge(persons, sample, scale, PartName.FACE, Cover.FACE_COVER, ("face_mask", "face_bare"), faces)
    print(f"\n{source}: {count} photos, median {1000 * float(np.median(times)):.0f} ms")
    if source == "ppe-boxes":
        print(f"  persons: {person}\n  hard hats: {hat}\n  head cover yes or no: {heads}")
    print(f"  masks: {mask}\n  face cover yes or no: {faces}")


def _judge(
    persons: Sequence[ProtectedPerson],
    sample: Sample,
    scale: float,
    part: PartName,
    cover: Cover,
    names: tuple[str, str],
    covers: Covers,
) -> None:
    """Whether the person at each labelled head or face is said to wear the cover."""
    for name in names:
        for box in _truth(sample, scale, name)[0]:
            owner = _owner(persons, box, cover)
            if owner is None:
                continue
            listed = [each for each in owner.parts if each.name is part]
            if not listed:
                covers.unlisted += 1
                continue
            worn = any(item.cover is cover and item.covers for item in listed[0].equipment)
            if worn == (name == names[0]):
                covers.right += 1
            else:
                covers.wrong += 1


def _owner(persons: Sequence[ProtectedPerson], box: Floats, cover: Cover) -> ProtectedPerson | None:
    """The smallest person in whose upper half a labelled box lies."""
    x, y = (box[:2] + box[2:]) / 2
    inside = [
        each
        for each in persons
        if each.box[0] <= x <= each.box[2] and each.box[1] - (box[3] - box[1]) <= y <= (each.box[1] + each.box[3]) / 2
    ]
    return min(inside, key=lambda each: (each.box[2] - each.box[0]) * (each.box[3] - each.box[1]), default=None)


def _truth(sample: Sample, scale: float, name: str) -> tuple[Floats, Floats]:
    """Boxes of a class that are wanted, and those that do not matter."""
    boxes = sample.boxes
    own = boxes.classes == NAMES.index(name)
    large = boxes.boxes[:, 3] - boxes.boxes[:, 1] >= LEAST_BOX
    wanted = own & large & (boxes.kinds == TRUTH)
    return boxes.boxes[wanted] * scale, boxes.boxes[own & ~wanted & (~large | (boxes.kinds == IGNORED))] * scale


def _boxes(boxes: Iterable[tuple[float, float, float, float]]) -> Floats:
    return geometry.as_boxes(list(boxes))


if __name__ == "__main__":
    main()
