"""Protective equipment: the people in a picture, their visible body parts, and what covers them.

>>> from openrek.vision.image import load_image
>>> from openrek.vision.look import Look
>>> from openrek.vision.protective_equipment import protective_equipment
>>> for person in protective_equipment(Look(load_image("site.jpg"), runtime)):  # doctest: +SKIP
...     print(person.box, [(part.name, [item.cover for item in part.equipment]) for part in person.parts])
"""

from openrek.vision.protective_equipment.detect import FACE_SEARCH_SIDE, MAX_PERSONS, PICTURE_SIDE, protective_equipment
from openrek.vision.protective_equipment.result import BodyPart, Cover, Equipment, PartName, ProtectedPerson

__all__ = [
    "FACE_SEARCH_SIDE",
    "MAX_PERSONS",
    "PICTURE_SIDE",
    "BodyPart",
    "Cover",
    "Equipment",
    "PartName",
    "ProtectedPerson",
    "protective_equipment",
]
