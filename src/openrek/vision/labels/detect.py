"""Labels of a picture from everything that sees: tags, everyday concepts, faces, and objects with boxes.

Each source gives evidence for the closest label only; `assemble` adds the ancestors and joins the sources.
"""

from typing import Final

from openrek.vision.backbone import MODEL
from openrek.vision.labels.assemble import FoundLabel, Thing, assemble
from openrek.vision.labels.everyday import everyday
from openrek.vision.labels.people import PERSON, people
from openrek.vision.labels.tagger import read_tags
from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.look import Look
from openrek.vision.objects import Objects

PICTURE_SIDE: Final = 960
"""Longest side at which a picture should be decoded for labels."""

FACE_SEARCH_SIDE: Final = 448
"""Faces are searched at this size: a person is found from a face of about 3 % of the picture's longest side."""

DETECTOR: Final = "objects"
"""The source of evidence that a detector's classes are, whichever detector it is: `objects:bus`."""


def detect_labels(look: Look) -> list[FoundLabel]:
    """All labels of a picture with their ancestors, by confidence descending, then name.

    An ancestor's confidence is at least that of every label below it. Raises ModelError where a model cannot be had.
    """
    faces, persons = people(look)
    metadata = look.runtime.model(MODEL).metadata
    with_face = len(look.faces) > 0
    tags = [(found.label.name, found.confidence) for found in read_tags(look.features, metadata, with_face=with_face)]
    return assemble([tags, everyday(look), faces], [*persons, *things(look.objects)], taxonomy())


def things(objects: Objects) -> list[Thing]:
    """What the detector located, people excepted, by its classes' labels; a class without one is left out."""
    table = taxonomy().by_evidence
    found = []
    for name, box, score in zip(objects.named(), objects.boxes, objects.scores, strict=True):
        label = table.get(f"{DETECTOR}:{name}")
        if label is not None and name != PERSON:
            left, top, right, bottom = (float(value) for value in box)
            found.append(Thing((left, top, right, bottom), {label.name: float(score)}))
    return found
