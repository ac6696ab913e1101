"""Masks and hard hats, looked at again: the detector takes bowls, blossoms and bare mouths for them.

It sees heads at a few pixels and learnt these classes where nearly every picture has some. Whether a head is there and
what it wears is therefore asked of the network that looks at heads for protective equipment, which sees them in the
picture's own pixels. It knows nothing but heads, so of an item that no person's box holds it is not heard alone.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.look import Look
from openrek.vision.objects import Objects
from openrek.vision.protective_equipment import heads as head_network
from openrek.vision.protective_equipment.people import find_hints

Floats = NDArray[np.float32]

WORN: Final = {"face_mask": "mask", "hard_hat": "hat"}
"""The detector's classes, and the network's word for each."""

NOBODY: Final = 0.6
"""What is left of an item that lies in no person's box and on no face. With both doubts, of 535 ordinary photos of
three origins 5 are given a mask at 55 % (20 before) and 7 a hard hat (17 before); of 100 photos with masks 82 (83
before), of 59 parts of mosaics with hard hats 25 (29 before), of 48 with masks, on heads of a few pixels, 14 (23)."""

_PERSON: Final = 0.2  # boxes of persons at least this sure count
_INSIDE: Final = 0.5  # least share of an item inside its person's box
_LEAST: Final = 0.3  # boxes less sure are not looked at again
_MOST: Final = 32  # heads, at most
_ON_HEAD: Final = 0.3  # least share of an item's box inside its head's


def doubted(look: Look) -> Objects:
    """`look.objects` with the scores of WORN no higher than what the head network says; no longer the surest first.

    Raises ModelError where a model cannot be had or run.
    """
    objects = look.objects
    scores = objects.scores.copy()
    items = np.flatnonzero(
        [name in WORN and score >= _LEAST for name, score in zip(objects.named(), scores, strict=True)]
    )
    if not len(items) or head_network.MODEL not in look.runtime.catalogue:
        return objects
    hints = find_hints(look.faces, objects)
    owners = _holders(objects.boxes[items], hints.boxes, _ON_HEAD)
    persons = _holders(objects.boxes[items], objects.of("person").at_least(_PERSON).boxes, _INSIDE)
    asked = np.unique(owners[owners >= 0])[:_MOST]
    model = look.runtime.model(head_network.MODEL)
    heads = head_network.look(look.picture.pixels, head_network.squares(hints.boxes[asked]), model)
    for item, owner, person in zip(items, owners, persons, strict=True):
        answers = heads.present * getattr(heads, WORN[objects.names[objects.classes[item]]])
        said = float(answers[asked == owner].max(initial=0.0))
        alone = person < 0 and (owner < 0 or hints.faces[owner] < 0)
        scores[item] = min(scores[item], said) * (NOBODY if alone else 1.0)
    return replace(objects, scores=scores)


def _holders(boxes: Floats, others: Floats, least: float) -> NDArray[np.int64]:
    """For each box (N, 4) the one of `others` (M, 4) that holds most of it, or -1 where none holds `least`."""
    if not len(others):
        return np.full(len(boxes), -1)
    inside = geometry.intersection(boxes, others) / np.maximum(geometry.area(boxes), 1e-6)[:, None]
    return np.where(inside.max(axis=1) >= least, inside.argmax(axis=1), -1)
