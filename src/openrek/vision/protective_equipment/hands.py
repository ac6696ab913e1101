"""Hands, by a detector of one's own.

No model of the `base` or `plus` pack sees hands or gloves: no labelled pictures of gloves are at hand, and skin colour
alone takes a beige glove for a hand and a brown wall for both. Whoever has a detector with the classes `hand_bare` and
`glove` registers it under the name HANDS (any form of `openrek.vision.objects`); until then hands are not listed as
visible, and a summary that requires hand covers is indeterminate.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.look import Look
from openrek.vision.objects import detect_objects
from openrek.vision.protective_equipment.people import LEAST
from openrek.vision.protective_equipment.result import BodyPart, Cover, Equipment, PartName

Floats = NDArray[np.float32]

HANDS: Final = "hands"
"""The name of the catalogue's model of hands."""

BARE: Final = "hand_bare"
GLOVE: Final = "glove"
_REACH: Final = 0.12  # how far a hand may lie beyond its person's box, in shares of the box


def hands_of(look: Look, persons: Floats, facing: list[bool]) -> list[list[BodyPart]]:
    """The hands of each person (P, 4), left before right; empty lists where no model of hands is installed.

    facing: whether a person faces the camera; the left hand of who does is on the image's right.
    """
    found: list[list[BodyPart]] = [[] for _ in persons]
    if HANDS not in look.runtime.catalogue or not len(persons):
        return found
    hands = detect_objects(look.picture, look.runtime, model=HANDS).of(BARE, GLOVE).at_least(LEAST)
    around = geometry.expand(persons, 1 + 2 * _REACH)
    areas = geometry.area(persons)
    free = {(person, name) for person in range(len(persons)) for name in (PartName.LEFT_HAND, PartName.RIGHT_HAND)}
    for name, box, score in zip(hands.named(), hands.boxes, hands.scores, strict=True):  # the surest choose first
        x, y = (box[:2] + box[2:]) / 2
        near = (around[:, 0] <= x) & (x <= around[:, 2]) & (around[:, 1] <= y) & (y <= around[:, 3])
        for person in np.flatnonzero(near)[np.argsort(areas[near], kind="stable")].tolist():
            middle = (persons[person, 0] + persons[person, 2]) / 2
            side = PartName.LEFT_HAND if (x > middle) == facing[person] else PartName.RIGHT_HAND
            if (person, side) in free:
                free.discard((person, side))
                left, top, right, bottom = (float(value) for value in box)
                glove = Equipment(Cover.HAND_COVER, (left, top, right, bottom), float(score), True, float(score))
                found[person].append(BodyPart(side, float(score), (glove,) if name == GLOVE else ()))
                break
    return [sorted(parts, key=lambda part: part.name is PartName.RIGHT_HAND) for parts in found]
