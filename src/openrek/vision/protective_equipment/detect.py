"""From a look at the picture to persons with body parts and equipment.

1. Persons and hints of their heads come from the shared detector and the faces (`people`).
2. The head network looks at each head (`heads`): is it one, does it wear a hard hat or helmet, is there a mask on its
   face, does the mask cover nose and mouth.
3. Where the detector knows hard hats and masks, its boxes and the network's answers are joined; a hard hat near a
   person and on no head is reported as not covering.
4. Hands need a detector of one's own (`hands`); without it no hand is listed.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.look import Look
from openrek.vision.objects import Objects
from openrek.vision.odds import log_odds, logistic
from openrek.vision.protective_equipment import heads as head_network
from openrek.vision.protective_equipment.hands import hands_of
from openrek.vision.protective_equipment.heads import Heads, guesses, squares
from openrek.vision.protective_equipment.people import LEAST, NOBODY, Hints, People, find_hints, find_people
from openrek.vision.protective_equipment.result import BodyPart, Box, Cover, Equipment, PartName, ProtectedPerson
from openrek.vision.runtime import Model

Floats = NDArray[np.float32]

PICTURE_SIDE: Final = 1920
"""Longest side at which a picture should be decoded: small heads are cut from its own pixels."""

FACE_SEARCH_SIDE: Final = 640
"""Longest side at which faces are searched: hats and covers are told as well as at 960, in a third less time (decision
0012)."""

MAX_PERSONS: Final = 15

WEIGHTS: Final = {"hat": (0.6, 0.43, 1.42), "mask": (1.0, 0.0, 0.0)}
"""How the log odds of network and detector are joined: weight, weight, shift (training.protective_equipment.join, which
would shift hats by 1.92 for its 30 heads and cover many a bare one). The detector adds nothing to what the network says
of masks, neither there nor in their boxes."""

_PLACES: Final = 0.25  # the detector's box is taken from this score on, where it has a say

_GUESSED: Final = 1.5  # log odds by which a hat is less sure on a head that nothing but a person's box gives away
_HEADLESS: Final = 0.65  # a box in which no head is seen has to be this sure to be a person
_SEEN: Final = 0.5  # how much a head that the network finds in a person's box says of there being a person
_SAME_HEAD: Final = 0.3  # IoU
_BORDER: Final = 0.005  # of the picture's height
_ON_HEAD: Final = 0.3  # least share of a hat's or mask's box inside its head's
_NEAR: Final = 0.15  # how far beyond a person's box, in shares of it, what is held may reach


def protective_equipment(look: Look) -> tuple[ProtectedPerson, ...]:
    """The persons of a picture with their visible body parts and equipment: the 15 largest and surest, these first.

    Raises ModelError where a model cannot be had or run.
    """
    look.begin()
    hints = find_hints(look.faces, look.objects)
    people = find_people(look.objects, hints, look.picture.width, look.picture.height)
    people = people.select(np.argsort(-people.scores * geometry.area(people.boxes), kind="stable")[:MAX_PERSONS])
    if not len(people.boxes):
        return ()
    heads = find_heads(look, people, hints)
    people, heads = _confirmed(people, heads)
    loose = loose_hats(look.objects, people, heads)
    hands = hands_of(look, people.boxes, [hint != NOBODY and bool(hints.facing[hint]) for hint in people.hints])
    persons = []
    for index in range(len(people.boxes)):
        hint = int(people.hints[index])
        parts = [
            *_face(look.objects, heads, index, hints, hint),
            *hands[index],
            *_head(look.objects, heads, index, hints, hint, loose.get(index, ())),
        ]
        if parts or people.scores[index] >= _HEADLESS:
            persons.append(ProtectedPerson(_box(people.boxes[index]), float(people.scores[index]), tuple(parts)))
    return tuple(persons)


def _confirmed(people: People, heads: Heads) -> tuple[People, Heads]:
    """Those who are persons, with their heads. A weak box is one where the network sees a head in it; a head that is
    seen in two boxes is that of the person who shows it otherwise, or of the surer one."""
    guessed = people.hints == NOBODY
    before = ~guessed | (people.scores > people.scores[:, None])
    same = before & (heads.present >= LEAST) & (geometry.iou(heads.boxes, heads.boxes) >= _SAME_HEAD)
    np.fill_diagonal(same, False)
    present = np.where(guessed & same.any(axis=1), np.float32(0), heads.present)
    seen = np.where(guessed & (present >= LEAST), _SEEN * present, 0)
    scores = np.asarray(1 - (1 - people.scores) * (1 - seen), np.float32)
    kept = np.flatnonzero(scores >= LEAST)
    return replace(people, scores=scores).select(kept), replace(heads, present=present).select(kept)


# --- heads ------------------------------------------------------------------------------------------------------------


def find_heads(look: Look, people: People, hints: Hints) -> Heads:
    """One look at the head of every person, in their order; `present` is low where none was found."""
    model = look.runtime.model(head_network.MODEL)
    pixels = look.picture.pixels
    crops = np.zeros((len(people.boxes), 4), np.float32)
    known = people.hints != NOBODY
    crops[known] = squares(hints.boxes[people.hints[known]])
    for index in np.flatnonzero(~known):
        crops[index] = _best_guess(pixels, people.boxes[index], model)
    heads = head_network.look(pixels, crops, model)
    # the picture's upper border cuts off the heads of those who reach it, unless something shows them
    beheaded = ~known & (people.boxes[:, 1] <= _BORDER * look.picture.height)
    return replace(heads, present=np.where(beheaded, np.float32(0), heads.present))


def _best_guess(pixels: NDArray[np.uint8], person: Floats, model: Model) -> Floats:
    """The crop around the head that the network finds at the top of a person's box."""
    tried = guesses(person)
    seen = head_network.look(pixels, tried, model)
    best = int(seen.present.argmax())
    head = seen.boxes[best]
    middle = (head[:2] + head[2:]) / 2
    inside = person[0] <= middle[0] <= person[2] and middle[1] <= (person[1] + person[3]) / 2
    if seen.present[best] < LEAST or not inside or head[2] <= head[0] or head[3] <= head[1]:
        return np.asarray(tried[best])
    return np.asarray(squares(head[None])[0])


# --- parts ------------------------------------------------------------------------------------------------------------


def _face(objects: Objects, heads: Heads, index: int, hints: Hints, hint: int) -> list[BodyPart]:
    """The face, where the face detector or the object detector sees one, with its mask. What the head network takes for
    a mask on a head that shows no face is hair or a hood."""
    if hint == NOBODY or not hints.facing[hint]:
        return []
    said, where = float(heads.mask[index]), heads.mask_boxes[index]
    mask, box = _joined(objects, "face_mask", "mask", said, where, heads.boxes[index])
    items = []
    if mask >= LEAST:
        covers = float(heads.covers[index])
        items.append(Equipment(Cover.FACE_COVER, box, mask, covers >= 0.5, max(covers, 1 - covers)))
    return [BodyPart(PartName.FACE, float(hints.scores[hint]), tuple(items))]


def _head(
    objects: Objects, heads: Heads, index: int, hints: Hints, hint: int, loose: tuple[Equipment, ...] | list[Equipment]
) -> list[BodyPart]:
    """The head, where one is seen, with what is on it and hats that are near."""
    seen = float(heads.present[index])
    if hint != NOBODY:
        seen = max(seen, float(hints.scores[hint]))
    if seen < LEAST:
        return []
    said, where = float(heads.hat[index]), heads.hat_boxes[index]
    if hint == NOBODY:
        said = logistic(log_odds(said) - _GUESSED)
    hat, box = _joined(objects, "hard_hat", "hat", said, where, heads.boxes[index])
    items = [Equipment(Cover.HEAD_COVER, box, hat, True, hat)] if hat >= LEAST else list(loose)
    return [BodyPart(PartName.HEAD, seen, tuple(items))]


def _joined(
    objects: Objects, name: str, answer: str, probability: float, box: Floats, head: Floats
) -> tuple[float, Box]:
    """Probability and box of an item on a head, from the network's answer and the detector's boxes of this class."""
    if name not in objects.names:
        return float(probability), _box(box)
    score, place = on_head(objects, name, head)
    network, detector, shift = WEIGHTS[answer]
    odds = network * log_odds(probability) + detector * log_odds(score) + shift
    if detector == 0 or place is None or score < _PLACES:
        place = box
    return logistic(odds), _box(place)


def on_head(objects: Objects, name: str, head: Floats) -> tuple[float, Floats | None]:
    """Score and box of the detector's best object of a class that lies on a head (4,); 0 and None where none does."""
    found = objects.of(name)
    inside = geometry.intersection(found.boxes, head[None])[:, 0] / np.maximum(geometry.area(found.boxes), 1)
    on = np.flatnonzero(inside >= _ON_HEAD)
    if not len(on):
        return 0.0, None
    best = on[found.scores[on].argmax()]
    return float(found.scores[best]), np.asarray(found.boxes[best])


def loose_hats(objects: Objects, people: People, heads: Heads) -> dict[int, list[Equipment]]:
    """Hard hats near a person and on no head, by the index of the nearest such person: held, or lying there."""
    found: dict[int, list[Equipment]] = {}
    hats = objects.of("hard_hat").at_least(LEAST)
    for box, score in zip(hats.boxes, hats.scores, strict=True):
        on = geometry.intersection(heads.boxes, box[None])[:, 0] / max(float(geometry.area(box[None])[0]), 1.0)
        if np.any((on >= _ON_HEAD) & (heads.present >= LEAST)):
            continue
        x, y = (box[:2] + box[2:]) / 2
        around = geometry.expand(people.boxes, 1 + 2 * _NEAR)
        near = (around[:, 0] <= x) & (x <= around[:, 2]) & (around[:, 1] <= y) & (y <= around[:, 3])
        if near.any():
            middles = (heads.boxes[:, :2] + heads.boxes[:, 2:]) / 2
            away = np.where(near, np.hypot(middles[:, 0] - x, middles[:, 1] - y), np.inf)
            item = Equipment(Cover.HEAD_COVER, _box(box), float(score), False, float(score))
            found.setdefault(int(away.argmin()), []).append(item)
    return found


def _box(box: Floats) -> Box:
    left, top, right, bottom = (float(value) for value in box)
    return left, top, right, bottom
