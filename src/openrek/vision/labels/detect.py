"""Labels of a picture from everything that sees: tags, faces, and what detectors find.

Each source gives evidence for the closest label only; `assemble` adds the ancestors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openrek.vision.faces import detect_faces
from openrek.vision.image import Picture
from openrek.vision.labels.tagger import tag
from openrek.vision.labels.taxonomy import Label, Taxonomy, taxonomy
from openrek.vision.runtime import Runtime

PICTURE_SIDE: Final = 960
"""Longest side at which a picture should be decoded for labels."""

FACE_SEARCH_SIDE: Final = 448
"""Faces are searched at this size: a person is found from a face of about 3 % of the picture's longest side."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One located thing: its box, `xyxy` in pixels of the picture, and its confidence 0..1."""

    box: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """A label that the picture shows, with probability `confidence` 0..1; `instances` best first."""

    label: Label
    confidence: float
    instances: tuple[Instance, ...] = ()


def detect_labels(picture: Picture, runtime: Runtime) -> list[FoundLabel]:
    """All labels of a picture with their ancestors, by confidence descending, then name.

    An ancestor's confidence is at least that of every label below it. Raises ModelError where a model cannot be had.
    """
    faces = _faces(picture, runtime)
    tags = tag(picture, runtime, with_face=bool(faces))
    return assemble([*faces, *((found.label.name, found.confidence) for found in tags)], {}, taxonomy())


def assemble(
    evidence: Iterable[tuple[str, float]], located: Mapping[str, Sequence[Instance]], table: Taxonomy
) -> list[FoundLabel]:
    """Labels from evidence `(name, confidence 0..1)`, where a name may come several times: the best counts.

    located: instances by the closest label; a located label counts as seen with its best instance. Instances are
    repeated at each ancestor that carries boxes.
    """
    confidences: dict[str, float] = {}
    boxes: dict[str, list[Instance]] = {}
    best = [(name, max(instance.confidence for instance in found)) for name, found in located.items() if found]
    for name, confidence in (*evidence, *best):
        for each in (name, *table[name].ancestors):
            confidences[each] = max(confidence, confidences.get(each, 0.0))
    for name, found in located.items():
        for each in (name, *table[name].ancestors):
            if table[each].has_boxes:
                boxes.setdefault(each, []).extend(found)
    return [
        FoundLabel(
            table[name],
            confidence,
            tuple(sorted(boxes.get(name, ()), key=lambda instance: -instance.confidence)),
        )
        for name, confidence in sorted(confidences.items(), key=lambda item: (-item[1], item[0]))
    ]


def _faces(picture: Picture, runtime: Runtime) -> list[tuple[str, float]]:
    """Evidence from faces: ImageNet knows no person. A face's box is not a person's, so it locates nothing."""
    confidences = detect_faces(picture, runtime, search_side=FACE_SEARCH_SIDE).confidences
    return [(taxonomy().by_evidence["faces"].name, float(confidences.max()))] if len(confidences) else []
