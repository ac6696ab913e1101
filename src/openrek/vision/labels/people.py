"""People: who stands in which box, and what their faces say about them.

A face is a person even where the detector of objects sees none. Where a face lies in the upper part of a person's box,
what it says (a woman, a child, a smile) is said of that box, so that Woman and Child carry instances. Glasses have a
box of their own, about the eyes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.faces import Faces
from openrek.vision.faces.attributes import FaceAttributes, Trait, face_attributes
from openrek.vision.labels.animals import DETECTED
from openrek.vision.labels.assemble import Thing
from openrek.vision.look import Look
from openrek.vision.objects import Objects
from openrek.vision.odds import log_odds, logistic

Floats = NDArray[np.float32]

PERSON: Final = "person"
"""The detector's class of people."""

READ_FACES: Final = 10
"""Traits are read of so many faces, the largest."""

LEAST_FACE: Final = 0.02
"""Traits are read of faces at least this high, as a share of the picture's longest side."""

TRAITS: Final = (Trait.AGE, Trait.GENDER, Trait.SMILE, Trait.EYEGLASSES, Trait.SUNGLASSES, Trait.BEARD)

CHILDISH: Final = 0.7
"""How much of what a face says about gender is believed of a child's (see the card of `face-attributes`)."""

_INSIDE: Final = 0.7  # least share of a face inside the box of its person
_UPPER: Final = 0.6  # a face's middle lies in this upper share of its person's box

_GLASSES: Final = ("Glasses", "Sunglasses")
_GLASSES_REACH: Final = (1.1, 0.45)  # from between the eyes to each side and up or down, in distances of the eyes

Claims = dict[str, float]


PRESENCE: Final = (1.43, 1.14, 0.17, 0.37)
"""Bias, and weights of the log odds of box and heads and of the face's confidence; see `presence`."""

UNLIKELY: Final = 0.2
"""Where the whole picture looks less than so likely to show a person ..."""

LONELY: Final = 0.5
"""... so much is left of a face that no person's box holds: of 111 such faces in photos with people (VOC and COCO) four
were in pictures that unlikely, of 12 in photos without people ten: cats, bears, wheels."""

OF_ANIMAL: Final = 0.15
"""What is left of a face inside an animal's box where that box is surer than the face's person's. Of 369 pictures of
animals without people (ImageNet's classes, by training/tagger/everyday.csv) 7 are said to show one at 55 %, 28 before;
of 171 pictures with people 12 are missed, 11 before."""

ANIMALS_ALONE: Final = 0.5
"""Where the picture as a whole looks less likely than this to show a person, animals are thought to have faces."""

_ANIMAL_SURE: Final = 0.3


def people(look: Look, trust: Floats) -> tuple[list[tuple[str, float]], list[Thing]]:
    """Evidence of faces, and a Thing for each person's box, which only says where (`presence` says whether), and for
    the glasses of each face.

    trust: how much of each face is believed, as `trusted` says.
    """
    faces, persons = look.faces, look.objects.of(PERSON)
    claims = [
        {name: value * float(share) for name, value in claim.items()}
        for claim, share in zip(face_claims(look), trust, strict=True)
    ]
    owners = match(faces, persons)
    evidence = [pair for claim in claims for pair in claim.items()]
    things = []
    for index in range(len(persons)):
        names: Claims = {"Person": float(persons.scores[index])}
        for claim, owner in zip(claims, owners, strict=True):
            if owner == index:
                # the box holds a person as surely as either of them says
                names["Person"] = 1 - (1 - names["Person"]) * (1 - claim["Face"])
                names.update({name: value for name, value in claim.items() if name not in _GLASSES})
        left, top, right, bottom = (float(value) for value in persons.boxes[index])
        things.append(Thing((left, top, right, bottom), names, evidence=False))
    for landmarks, claim in zip(faces.landmarks, claims, strict=True):
        if _GLASSES[0] in claim:
            things.append(Thing(glasses_box(landmarks), {name: claim[name] for name in _GLASSES}, evidence=False))
    return evidence, things


def trusted(look: Look, likely: float) -> Floats:
    """How much of each face is believed, 0..1: (F,). Where the picture as a whole looks unlikely to show a person, a
    face is doubted that no person's box holds, and one that an animal's box holds that is surer than the person's.

    likely: probability that the picture as a whole shows a person.
    """
    faces, persons = look.faces, look.objects.of(PERSON)
    owners = np.array(match(faces, persons), np.int64)
    sure = np.array([persons.scores[owner] if owner >= 0 else 0.0 for owner in owners], np.float32)
    shares = np.ones(len(faces), np.float32)
    if likely < UNLIKELY:
        shares[owners < 0] = LONELY
    if likely < ANIMALS_ALONE:
        animals = look.objects.of(*DETECTED, "teddy_bear")
        inside = geometry.intersection(faces.boxes, animals.boxes) / np.maximum(geometry.area(faces.boxes), 1)[:, None]
        held = np.where(inside >= _INSIDE, animals.scores[None], 0).max(axis=1, initial=0)
        shares[(held >= _ANIMAL_SURE) & (held > sure)] = OF_ANIMAL
    return shares


def glasses_box(landmarks: Floats) -> tuple[float, float, float, float]:
    """Where a face's glasses are, `xyxy` in pixels: about the eyes, the first two of its points (N, 2)."""
    left, right = np.asarray(landmarks[:2], np.float64)
    along = right - left
    across = np.array([-along[1], along[0]])
    wide, high = _GLASSES_REACH
    reach = wide * np.abs(along) + high * np.abs(across)
    (x0, y0), (x1, y1) = (left + right) / 2 - reach, (left + right) / 2 + reach
    return float(x0), float(y0), float(x1), float(y1)


def presence(look: Look, likely: float, trust: Floats) -> float:
    """Probability that the picture shows a person at all: a logistic model of the surest box, of what the heads say of
    the whole picture (`likely`), and of the surest face, each believed as far as `trust` says.

    A box is as sure as it is to be right about the place; that somebody is there is often surer. Fitted on one half of
    200 photos of COCO and judged on the other, both ways: at 55 % it finds all 46 people who cover a tenth of a photo,
    102 of 109 of any size, and names one in 2 of 91 photos without any.
    """
    persons, faces = look.objects.of(PERSON), look.faces
    box = float(persons.scores.max()) if len(persons) else 0.0
    face = float((faces.confidences * trust).max()) if len(faces) else 0.0
    bias, by_box, by_heads, by_face = PRESENCE
    return logistic(bias + by_box * log_odds(box) + by_heads * log_odds(likely) + by_face * face)


def match(faces: Faces, persons: Objects) -> list[int]:
    """For each face the index of the person's box it belongs to, or -1: (F,). A box takes one face, the largest.

    Of the boxes that hold the face in their upper part, the one whose size fits a person with such a head best.
    """
    owners = [-1] * len(faces)
    if not len(faces) or not len(persons):
        return owners
    heads = np.maximum(geometry.area(faces.boxes), 1)
    inside = geometry.intersection(faces.boxes, persons.boxes) / heads[:, None]
    middle = (faces.boxes[:, 1] + faces.boxes[:, 3]) / 2
    top, height = persons.boxes[:, 1], persons.boxes[:, 3] - persons.boxes[:, 1]
    upper = (middle[:, None] - top[None]) / np.maximum(height, 1)[None] <= _UPPER
    fit = np.where(upper & (inside >= _INSIDE), geometry.area(persons.boxes)[None], np.inf)
    for face in np.argsort(-heads, kind="stable"):
        free = np.array([np.inf if index in owners else fit[face, index] for index in range(len(persons))])
        best = int(free.argmin())
        if np.isfinite(free[best]):
            owners[int(face)] = best
    return owners


def face_claims(look: Look) -> list[Claims]:
    """For each face the labels that follow from it: Face for all, traits for the largest."""
    faces = look.faces
    claims: list[Claims] = [{"Face": float(confidence)} for confidence in faces.confidences]
    least = LEAST_FACE * max(look.picture.width, look.picture.height)
    heights = faces.boxes[:, 3] - faces.boxes[:, 1]
    chosen = np.flatnonzero(heights >= least)[:READ_FACES]
    if len(chosen):
        known = face_attributes(look.picture, faces.select(chosen), look.runtime, TRAITS)
        for place, index in enumerate(chosen):
            sure = claims[index]["Face"]
            claims[index].update({name: sure * value for name, value in traits(known, place).items()})
    return claims


def traits(known: FaceAttributes, place: int) -> Claims:
    """Labels of one face with their probabilities given that it is a face."""
    assert known.age is not None
    assert known.male is not None
    low, high = (float(value) for value in known.age[place])
    male = float(known.male[place])
    child, baby = younger_than(low, high, 13.0), younger_than(low, high, 3.0)
    adult = 1 - younger_than(low, high, 20.0)
    return {
        "Baby": baby,
        "Child": child,
        "Boy": (child - baby) * (0.5 + CHILDISH * (male - 0.5)),
        "Girl": (child - baby) * (0.5 - CHILDISH * (male - 0.5)),
        "Adult": adult,
        "Man": male * adult,
        "Woman": (1 - male) * adult,
        "Smile": _value(known.smile, place),
        "Glasses": max(_value(known.eyeglasses, place), _value(known.sunglasses, place)),
        "Sunglasses": _value(known.sunglasses, place),
        "Beard": _value(known.beard, place),
    }


def younger_than(low: float, high: float, years: float) -> float:
    """Probability that a person is younger than `years`, from the range of ages that a face was given.

    The range holds about four of five true ages; read as a normal distribution, its half is 1.28 deviations.
    """
    middle, deviation = (low + high) / 2, max((high - low) / 2 / 1.28, 1.0)
    return logistic(1.702 * (years - middle) / deviation)


def _value(column: Floats | None, place: int) -> float:
    return 0.0 if column is None else float(column[place])
