"""Labels of a picture from everything that sees: tags, everyday concepts, faces, and objects with boxes.

Each source gives evidence for the closest label only; `assemble` adds the ancestors and joins the sources.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from openrek.vision.backbone import MODEL
from openrek.vision.labels import classifiers, zero_shot
from openrek.vision.labels.animals import believed
from openrek.vision.labels.assemble import FoundLabel, Thing, assemble
from openrek.vision.labels.heads import EVERYDAY, KINDS, heads
from openrek.vision.labels.people import PERSON, people, presence, trusted
from openrek.vision.labels.tagger import read_tags
from openrek.vision.labels.taxonomy import Label, taxonomy
from openrek.vision.labels.worn import doubted
from openrek.vision.look import Look
from openrek.vision.objects import Objects

PICTURE_SIDE: Final = 960
"""Longest side at which a picture should be decoded for labels."""

FACE_SEARCH_SIDE: Final = 448
"""Faces are searched at this size: a person is found from a face of about 3 % of the picture's longest side."""

DETECTORS: Final = ("objects", "coco")
"""Sources of evidence that a detector's classes are: `objects:bus` of the detector of the pack base, `coco:kite` of
those that know more of COCO's 80 classes. Classes of one's own detector mean the label of their name or alias."""

NO_LABELS: Final = ("head_bare", "face_bare", "-")
"""Classes without a label, and rightly so: what only protective equipment asks for, and what means nothing."""

UNKNOWN: Final = 0.05
"""A label that the tagger gives less than this is unknown to it."""

DOUBT: Final = 0.6
"""What is left of the confidence in a located thing that the tagger knows by sight and does not see: on 100 photos of
COCO it takes 2 of 100 main nouns and no precision, of Caltech-101's pictures (drawings among them) an eighth of what
is wrong at 55 %."""

CROWD: Final = 5
"""Fewer people than this, seen at 30 % or more by the detector, make no crowd: the head for Crowd is sure of it on
tennis courts too, and half of its confidence is taken."""


def detect_labels(look: Look) -> list[FoundLabel]:
    """All labels of a picture with their ancestors, by confidence descending, then name.

    An ancestor's confidence is at least that of every label below it. Raises ModelError where a model cannot be had.
    """
    look.begin()
    concepts = dict(heads(look, EVERYDAY))
    if PERSON in look.objects.names and len(look.objects.of(PERSON).at_least(0.3)) < CROWD:
        concepts["Crowd"] /= 2
    trust = trusted(look, concepts["Person"])
    faces, persons = people(look, trust)
    if PERSON in look.objects.names:
        concepts["Person"] = presence(look, concepts["Person"], trust)
    metadata = look.runtime.model(MODEL).metadata
    tags = {tag.label.name: tag.confidence for tag in read_tags(look.features, metadata, with_face=len(look.faces) > 0)}
    tags = believed(tags, concepts["Plant"], look.objects)
    located = [*persons, *things(doubted(look), tags)]
    return assemble(
        [tags.items(), concepts.items(), heads(look, KINDS), faces, *of_ones_own(look)], located, taxonomy()
    )


def of_ones_own(look: Look) -> list[list[tuple[str, float]]]:
    """What classifiers and zero-shot pairs say that were added to the catalogue; see `classifiers` and `zero_shot`."""
    found = []
    for card in look.runtime.catalogue.values():
        if card.task == classifiers.TASK:
            found.append(classifiers.classify(look.picture, look.runtime.model(card.name)))
        elif card.task == zero_shot.TASK:
            model = look.runtime.model(card.name)
            found.append(zero_shot.zero_shot(look.picture, model, look.runtime, taxonomy()))
    return found


def things(objects: Objects, tags: Mapping[str, float]) -> list[Thing]:
    """What the detector located, people excepted, by its classes' labels; a class without one is left out.

    tags: confidences of the tagger, which knows nearly all of the detector's classes by sight.
    """
    table = taxonomy()
    labels = labels_of(objects.model, objects.names)
    found = []
    for name, box, score in zip(objects.named(), objects.boxes, objects.scores, strict=True):
        label = labels[name]
        if label is None or name == PERSON:
            continue
        left, top, right, bottom = (float(value) for value in box)
        unknown = "tagger" in table.sources[label.name] and tags.get(label.name, 0.0) < UNKNOWN
        confidence = float(score) * (DOUBT if unknown else 1.0)
        found.append(Thing((left, top, right, bottom), {label.name: confidence}))
    return found


def label_of(name: str) -> Label | None:
    """The label of a detector's class: by its evidence, else by name or alias as a classifier's; or None."""
    known = taxonomy().by_evidence
    for source in DETECTORS:
        if f"{source}:{name}" in known:
            return known[f"{source}:{name}"]
    meant = classifiers.label_of(name)
    return taxonomy()[meant] if meant else None


@cache
def labels_of(model: str, names: tuple[str, ...]) -> Mapping[str, Label | None]:
    """The label of each class of a detector, or None; logs which classes of a detector of one's own have none."""
    labels = {name: label_of(name) for name in names}
    unknown = [name for name, label in labels.items() if label is None and name not in NO_LABELS]
    classifiers.say_left_out(model, unknown, len(names))
    return labels
