"""People: boxes of persons, and the head of each.

Persons are what the object detector finds, and whoever shows a face without having such a box: a portrait, or someone
behind a counter.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.faces import Faces
from openrek.vision.objects import Objects
from openrek.vision.protective_equipment.heads import head_of_face

Floats = NDArray[np.float32]

NOBODY: Final = -1
LEAST: Final = 0.5
"""Nothing weaker is reported."""

SAME: Final = 0.55
"""Two boxes that overlap by more (IoU) and show one head are one person."""

_LEAST_HINT: Final = 0.3
_LEAST_BOX: Final = 0.15  # a box this unsure is a person where it has a head
_LIFT: Final = 3.0
"""By how much the odds of a person are better here than the detector says: its scores were fitted on photos of all
kinds, and on building sites and in groups most of its weak boxes are people who are half hidden."""
_UPPER: Final = 0.55  # a head's middle lies in this upper share of its person's box
_SIDEWAYS: Final = 0.1  # a head may lean out of the box by this share of the box's width
_SAME_HEAD: Final = 0.3  # IoU
_HAT_TO_HEAD, _BARE_TO_HEAD = 1.6, 2.15  # a head's height in heights of its hard hat's or its bare top's box
_LOWER_FACE: Final = 0.45  # of a head's height, the part that a mask or a bare lower face is boxed as
_BODY: Final = (3.2, 6.5)  # width and height of a person without a box, in widths and heights of the head


@dataclass(frozen=True, slots=True, eq=False)
class Hints:
    """H places where the picture shows a head, each head once, in columns.

    boxes: (H, 4) heads from hair or hat to chin. scores: (H,) 0..1. faces: (H,) index of the face that shows it, or
    NOBODY. facing: (H,) whether a face is seen there, bare or masked.
    """

    boxes: Floats
    scores: Floats
    faces: NDArray[np.int64]
    facing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """P persons: boxes (P, 4), scores (P,) and the hint (P,) that shows each one's head, or NOBODY."""

    boxes: Floats
    scores: Floats
    hints: NDArray[np.int64]

    def select(self, index: NDArray[np.intp]) -> "People":
        return People(self.boxes[index], self.scores[index], self.hints[index])


def find_hints(faces: Faces, objects: Objects) -> Hints:
    """Heads that faces show, then those that the detector's classes of heads and masks show."""
    boxes = [head_of_face(box) for box in faces.boxes]
    scores = [float(score) for score in faces.confidences]
    owners, facing = list(range(len(faces))), [True] * len(faces)
    seen = objects.of("hard_hat", "head_bare", "face_mask", "face_bare").at_least(_LEAST_HINT)
    for name, box, score in zip(seen.named(), seen.boxes, seen.scores, strict=True):
        head = _head_of(name, box)
        alike = geometry.iou(geometry.as_boxes([head]), geometry.as_boxes(boxes))[0] if boxes else np.zeros(1)
        if alike.max() < _SAME_HEAD:
            boxes.append(head)
            scores.append(float(score))
            owners.append(NOBODY)
            facing.append(name in ("face_mask", "face_bare") and float(score) >= LEAST)
        elif name == "hard_hat" and score >= LEAST:  # what a face shows of a head may end at the brim
            left, top, right, bottom = boxes[int(alike.argmax())]
            boxes[int(alike.argmax())] = left, min(top, float(box[1])), right, bottom
    return Hints(
        geometry.as_boxes(boxes), np.array(scores, np.float32), np.array(owners, np.int64), np.array(facing, bool)
    )


def find_people(objects: Objects, hints: Hints, width: float, height: float) -> People:
    """The persons of a picture of this size, with their heads: the detector's, then faces that have no person.

    A box of the detector holds a person as surely as either the detector or the head in it says. A weak box without a
    hint of a head is among them, with the detector's score: the head network has yet to look for one in it.
    """
    persons = objects.of("person").at_least(_LEAST_BOX)
    owners = _owners(hints, persons)
    heads, scores = np.full(len(persons), NOBODY), _lifted(persons.scores)
    for hint, owner in enumerate(owners):
        if owner != NOBODY:
            heads[owner] = hint
            scores[owner] = 1 - (1 - scores[owner]) * (1 - hints.scores[hint])
    kept = _apart(persons.boxes, scores, heads)
    alone = [hint for hint, owner in enumerate(owners) if owner == NOBODY and hints.faces[hint] != NOBODY]
    bodies = geometry.clip(_bodies(hints.boxes[alone]), width, height)
    return People(
        np.concatenate([persons.boxes[kept], bodies]),
        np.concatenate([scores[kept], hints.scores[alone]]),
        np.concatenate([heads[kept], np.array(alone, np.int64)]),
    )


def _apart(boxes: Floats, scores: Floats, heads: NDArray[np.int64]) -> NDArray[np.intp]:
    """Which of the boxes (P, 4) are people: one without a head that lies on a surer one is the same person again."""
    over = (geometry.iou(boxes, boxes) > SAME) & (scores[None] > scores[:, None])
    return np.flatnonzero((heads != NOBODY) | ~over.any(axis=1))


def _head_of(name: str, box: Floats) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in box)
    if name in ("face_mask", "face_bare"):
        return left, bottom - (bottom - top) / _LOWER_FACE, right, bottom
    return left, top, right, top + (bottom - top) * (_HAT_TO_HEAD if name == "hard_hat" else _BARE_TO_HEAD)


def _owners(hints: Hints, persons: Objects) -> list[int]:
    """For each hint the index of the person it belongs to, or NOBODY. A person has one head.

    Of the persons in whose upper part the head's middle lies, the smallest of those that are sure by themselves, else
    the smallest of the others; faces choose before other hints, large ones before small ones.
    """
    owners = [NOBODY] * len(hints.boxes)
    boxes, areas, taken = persons.boxes, geometry.area(persons.boxes), np.zeros(len(persons), bool)
    for hint in np.lexsort((-geometry.area(hints.boxes), hints.faces == NOBODY)):
        head = hints.boxes[hint]
        x, y = (head[:2] + head[2:]) / 2
        reach = _SIDEWAYS * (boxes[:, 2] - boxes[:, 0])
        fits = (x >= boxes[:, 0] - reach) & (x <= boxes[:, 2] + reach)
        fits &= y >= boxes[:, 1] - 0.3 * (head[3] - head[1])
        fits &= y - boxes[:, 1] <= _UPPER * (boxes[:, 3] - boxes[:, 1])
        fits &= (areas >= 0.7 * geometry.area(head[None])) & ~taken
        sure = fits & (persons.scores >= LEAST)
        choice = np.flatnonzero(sure if sure.any() else fits)
        if len(choice):
            owner = int(choice[areas[choice].argmin()])
            owners[int(hint)], taken[owner] = owner, True
    return owners


def _lifted(scores: Floats) -> Floats:
    return np.asarray(scores * _LIFT / (1 - scores + scores * _LIFT), np.float32)


def _bodies(heads: Floats) -> Floats:
    """Boxes of persons (N, 4) from their heads alone, as they would stand upright."""
    width, height = heads[:, 2] - heads[:, 0], heads[:, 3] - heads[:, 1]
    middle = (heads[:, 0] + heads[:, 2]) / 2
    half = _BODY[0] * width / 2
    return np.stack([middle - half, heads[:, 1], middle + half, heads[:, 1] + _BODY[1] * height], axis=1)
