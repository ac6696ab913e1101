"""Tags: labels with a confidence from the backbone's class probabilities.

A label's score in a region is the sum of the probabilities of its classes and of its descendants' (hierarchical
softmax over a tree, Redmon and Farhadi, "YOLO9000", 2016): an ancestor never scores less than a label below it. The
whole picture and its best region count half each, so that a small thing that one region shows clearly is found, and
what only a region shows is less sure. The model file brings its calibration: scores at which the measured confidence is
known, with straight lines between them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.image import Picture
from openrek.vision.labels.backbone import MODEL, Features, features
from openrek.vision.labels.taxonomy import Label, taxonomy
from openrek.vision.runtime import Runtime

CLASSES: Final = 1000
LEAST: Final = 0.01
"""Tags below this confidence are noise and not reported."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tag:
    """A label and the probability, 0..1, that the picture shows it."""

    label: Label
    confidence: float


def tag(picture: Picture, runtime: Runtime) -> list[Tag]:
    """The labels that the backbone sees in a picture, in the taxonomy's order, confidence at least LEAST.

    Raises ModelError where the model cannot be had or run.
    """
    return read_tags(features(picture, runtime), runtime.model(MODEL).metadata)


def read_tags(seen: Features, metadata: Mapping[str, str]) -> list[Tag]:
    """As `tag`, from features that are there already. metadata: the model's, which holds its calibration."""
    labels, membership = _vocabulary()
    confidences = calibrate(label_scores(seen.logits, membership), metadata)
    return [Tag(labels[i], float(confidences[i])) for i in np.flatnonzero(confidences >= LEAST)]


def label_scores(logits: Floats, membership: Floats) -> Floats:
    """(L,) scores 0..1 from the logits (R, classes) of regions, the whole picture first.

    membership: (L, classes) of 0 and 1.
    """
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = (odds / odds.sum(axis=1, keepdims=True)) @ membership.T
    return np.asarray(np.clip((scores[0] + scores.max(axis=0)) / 2, 0, 1), np.float32)


def calibrate(scores: Floats, metadata: Mapping[str, str]) -> Floats:
    """Confidences 0..1 of scores 0..1, by the knots `[[score, confidence], ...]` of the entry `calibration`."""
    knots = np.asarray(json.loads(metadata["calibration"]), np.float64)
    return np.asarray(np.interp(scores, knots[:, 0], knots[:, 1]), np.float32)


@cache
def _vocabulary() -> tuple[tuple[Label, ...], Floats]:
    """The labels that the classes reach, and their membership (L, classes)."""
    table = taxonomy()
    membership = table.membership(MODEL, CLASSES)
    reached = np.flatnonzero(membership.sum(axis=1))
    labels = tuple(table.values())
    return tuple(labels[i] for i in reached), membership[reached]
