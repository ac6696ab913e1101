"""Moderation of one picture: evidence from every installed source, gathered into the tree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from openrek.vision import objects
from openrek.vision.look import Look
from openrek.vision.moderation import classifiers, heads, nudity, tags
from openrek.vision.moderation.taxonomy import NODES, ancestors
from openrek.vision.runtime import Card

PICTURE_SIDE: Final = objects.PICTURE_SIDE
"""Longest side at which a picture should be decoded for moderation."""

LEAST: Final = 0.001
"""Labels below this probability are noise and not reported."""

CONTENT_CUT: Final = 0.5
"""Content types are given from this probability on."""


@dataclass(frozen=True, slots=True)
class ModerationLabel:
    """A name of the taxonomy with its probability 0..1. parent: the name above it, "" at level 1. level: 1 to 3."""

    name: str
    confidence: float
    parent: str
    level: int


@dataclass(frozen=True, slots=True)
class ContentType:
    """Animated (cartoon, comic, game) or Illustrated (drawing, painting, sketch), with its probability 0..1."""

    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Moderation:
    """What was found, what kind of picture it is, and what nobody looked for.

    labels: surest first, at equal confidence the deepest level first; each with all its ancestors, which are at least
    as sure. content_types: surest first. blind: see `blind_spots`.
    """

    labels: tuple[ModerationLabel, ...]
    content_types: tuple[ContentType, ...]
    blind: tuple[str, ...]


def moderate(look: Look, *, nudenet: bool = False) -> Moderation:
    """Grade a picture against the taxonomy.

    nudenet: whether the package NudeNet is asked too, where it is installed (its licence is AGPL-3.0).
    Raises ModelError where a model cannot be had or run.
    """
    look.begin(base=True)
    cards = look.runtime.catalogue
    read = heads.read_heads(look)
    read["knife"] *= 1 - float(look.base_objects.of("scissors").scores.max(initial=0.0))  # blades, but no weapon
    evidence = [(heads.LABELS[head], read[head]) for head in read if head in heads.LABELS]
    evidence += tags.evidence(look, read)
    for card in classifiers.cards(cards.values()):
        evidence += classifiers.classify(look.picture, look.runtime.model(card.name))
    if nudenet:
        evidence += nudity.detect(look.picture)
    types = [
        ContentType(name, read[head])
        for head, name in heads.CONTENT_TYPES.items()
        if read.get(head, 0.0) >= CONTENT_CUT
    ]
    types.sort(key=lambda each: -each.confidence)
    return Moderation(assemble(evidence), tuple(types), blind_spots(cards, nudenet=nudenet))


def assemble(evidence: Iterable[tuple[str, float]]) -> tuple[ModerationLabel, ...]:
    """Labels from evidence `(name, probability)`, where the best of a name counts and lifts its ancestors."""
    best: dict[str, float] = {}
    for name, confidence in evidence:
        for each in (name, *ancestors(name)):
            best[each] = max(confidence, best.get(each, 0.0))
    found = [
        ModerationLabel(node.name, best[node.name], node.parent, node.level)
        for node in NODES.values()
        if best.get(node.name, 0.0) >= LEAST
    ]
    return tuple(sorted(found, key=lambda label: (-label.confidence, -label.level)))


def blind_spots(cards: Mapping[str, Card], *, nudenet: bool = False) -> tuple[str, ...]:
    """The names of the taxonomy that no installed model can see, in the tree's order.

    Where nothing below a name is seen either, only the uppermost name is given. cards: the catalogue.
    """
    names = set(heads.LABELS.values()) if heads.MODEL in cards else set()
    names |= {label for card in classifiers.cards(cards.values()) for label in classifiers.labels_of(card)}
    if nudenet and nudity.installed():
        names |= set(nudity.LABELS.values())
    seen = {each for name in names for each in (name, *ancestors(name))}
    return tuple(
        node.name for node in NODES.values() if node.name not in seen and (not node.parent or node.parent in seen)
    )
