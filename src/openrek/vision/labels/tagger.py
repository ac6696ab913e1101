"""Tags: labels with a confidence from the backbone's class probabilities.

A label's score in a region is the sum of the probabilities of its classes and of its descendants' (hierarchical
softmax over a tree, Redmon and Farhadi, "YOLO9000", 2016): an ancestor never scores less than a label below it. The
whole picture and its best region count half each, so that a small thing that one region shows clearly is found, and
what only a region shows is less sure. The model file brings its calibration: scores at which the measured confidence is
known, with straight lines between them.

ImageNet has no class for people, so the network calls a person by what people wear: a portrait becomes a tie or a wig.
Where a face was found, classes of worn things therefore count WORN_WITH_FACE of their probability, except for what
they have in common: that there is clothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.backbone import MODEL, Features, features
from openrek.vision.image import Picture
from openrek.vision.labels.taxonomy import Label, taxonomy
from openrek.vision.runtime import Runtime

CLASSES: Final = 1000
LEAST: Final = 0.001
"""Tags below this confidence are noise and not reported."""

WORN_WITH_FACE: Final = 0.6
"""Measured on 1,200 CelebA portraits: ties scored 0.45 to 0.6 are true in 31 % of them, 0.6 to 0.8 in 60 %."""

_WORN: Final = frozenset(
    {"Accessories", "Armor", "Clothing", "Cosmetics", "Footwear", "Hair", "Hair Spray", "Helmet", "Mask", "Neck Brace"}
)
_SURE: Final = "Glasses"  # worn, but right at any score on the same portraits

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tag:
    """A label and the probability, 0..1, that the picture shows it."""

    label: Label
    confidence: float


def tag(picture: Picture, runtime: Runtime, *, with_face: bool = False) -> list[Tag]:
    """The labels that the backbone sees in a picture, in the taxonomy's order, confidence at least LEAST.

    with_face: whether a face was found in the picture. Raises ModelError where the model cannot be had or run.
    """
    return read_tags(features(picture, runtime), runtime.model(MODEL).metadata, with_face=with_face)


def read_tags(seen: Features, metadata: Mapping[str, str], *, with_face: bool = False) -> list[Tag]:
    """As `tag`, from features that are there already. metadata: the model's, which holds its calibration."""
    labels, membership, discounted = _vocabulary()
    confidences = calibrate(label_scores(seen.logits, discounted if with_face else membership), metadata)
    return [Tag(labels[i], float(confidences[i])) for i in np.flatnonzero(confidences >= LEAST)]


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """How much of each class's probability counts for each label: what is not 0, label by label, in `classes`
    and `shares`, the first of each label at `starts`."""

    classes: NDArray[np.intp]
    shares: Floats
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, matrix: Floats) -> "Members":
        """matrix: (L, classes) of shares; every label has one at least."""
        labels, classes = np.nonzero(matrix)
        starts = np.flatnonzero(np.diff(labels, prepend=-1))
        if len(starts) != len(matrix):
            raise ValueError("a label without a class has no score")
        return cls(classes, matrix[labels, classes], starts)


def label_scores(logits: Floats, members: Members) -> Floats:
    """(L,) scores 0..1 from the logits (R, classes) of regions, the whole picture first."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    scores = np.add.reduceat(probabilities.T[members.classes] * members.shares[:, None], members.starts, axis=0)
    return np.asarray(np.clip((scores[:, 0] + scores.max(axis=1)) / 2, 0, 1), np.float32)


def calibrate(scores: Floats, metadata: Mapping[str, str]) -> Floats:
    """Confidences 0..1 of scores 0..1, by the knots `[[score, confidence], ...]` of the entry `calibration`."""
    knots = np.asarray(json.loads(metadata["calibration"]), np.float64)
    return np.asarray(np.interp(scores, knots[:, 0], knots[:, 1]), np.float32)


@cache
def _vocabulary() -> tuple[tuple[Label, ...], Members, Members]:
    """The labels that the classes reach; how much of a class counts for each, plainly and where there is a face."""
    table = taxonomy()
    membership = table.membership(MODEL, CLASSES)
    reached = np.flatnonzero(membership.sum(axis=1))
    labels = tuple(table.values())
    worn = np.ones(CLASSES, np.float32)
    for number in range(CLASSES):
        label = table.by_evidence[f"{MODEL}:{number}"]
        above = {label.name, *label.ancestors}
        if above & _WORN and _SURE not in above:
            worn[number] = WORN_WITH_FACE
    discounted = membership * worn
    discounted[table.positions["Clothing"]] = membership[table.positions["Clothing"]]
    return tuple(labels[i] for i in reached), Members.of(membership[reached]), Members.of(discounted[reached])
