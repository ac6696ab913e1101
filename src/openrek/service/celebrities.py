"""Well-known people in pictures, from the gallery that the owner built: RecognizeCelebrities, GetCelebrityInfo.

The gallery is empty until someone fills it (`openrek celebrities import`); every face is then unrecognised.
"""

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from openrek.contract.call import Call
from openrek.contract.errors import ResourceNotFoundException
from openrek.service.celebrity_gallery import match
from openrek.service.face_attributes import read_attributes
from openrek.service.faces import compared_face
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.store.celebrities import Celebrities, Person
from openrek.vision.faces import PICTURE_SIDE, Faces, detect_faces
from openrek.vision.faces.embedding import FACE_MODEL, embed_faces, face_model_version
from openrek.vision.faces.similarity import cosine_for, similarity
from openrek.vision.image import Picture
from openrek.vision.runtime import Card, Runtime

if TYPE_CHECKING:
    from types_boto3_rekognition.literals import KnownGenderTypeType
    from types_boto3_rekognition.type_defs import (
        CelebrityTypeDef,
        ComparedFaceTypeDef,
        GetCelebrityInfoRequestTypeDef,
        RecognizeCelebritiesRequestTypeDef,
    )

MAX_FACES: Final = 64
"""The largest faces of a picture, which are looked at."""

CUT: Final = 95.5
"""The least similarity (0..100) at which a face is named in a small gallery; not a setting, as in Rekognition."""

SMALL: Final = 60
"""People of a small gallery: so many let about 2 % of strangers through at CUT."""

STRICTER: Final = 0.0125
"""By how much the cut's cosine rises for a gallery e times as large, so that no more strangers get through; measured on
strangers and people with two or three photos (docs/celebrities.md)."""

MIN_FACE: Final = 20.0
"""Shorter side of a face in pixels under which it is not compared."""

EXPRESSIONS: Final = ("EMOTIONS", "SMILE")
"""Attributes that are part of every answer."""


@operation("RecognizeCelebrities")
def recognize(request: "RecognizeCelebritiesRequestTypeDef", call: Call, services: Services) -> Response:
    """The 64 largest faces, the largest first: those of people in the gallery, and the others."""
    encoded = open_request_image(request["Image"], services)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)
    faces = detect_faces(picture, services.runtime, max_faces=MAX_FACES)
    compared = _compared_faces(faces, picture, services.runtime)
    known = recognised(picture, faces, services)
    found = [{**facts, "MatchConfidence": confidence, "Face": compared[index]} for index, facts, confidence in known]
    named = {index for index, _, _ in known}
    unknown = [face for index, face in enumerate(compared) if index not in named]
    return {"CelebrityFaces": found, "UnrecognizedFaces": unknown}


@operation("GetCelebrityInfo")
def info(request: "GetCelebrityInfoRequestTypeDef", call: Call, services: Services) -> Response:
    """What the gallery holds about a person."""
    person = Celebrities(services.database).get(request["Id"])
    if person is None:
        raise ResourceNotFoundException(f"The celebrity id {request['Id']!r} is not in this server's gallery.")
    return _facts(person)


def recognised(picture: Picture, faces: Faces, services: Services) -> "list[tuple[int, CelebrityTypeDef, float]]":
    """The faces that the gallery knows: number of the face, the person's Id and facts, and the match confidence 0..100.

    Raises ModelError, StoreError.
    """
    ids, cosines, cut = _closest(picture, faces, services)
    confidences = similarity(cosines, services.runtime.catalogue[FACE_MODEL])
    people = services.celebrities.people.persons(sorted({name for name in ids if name}))
    return [
        (index, {"Id": name, **_facts(people[name])}, float(confidences[index]))
        for index, name in enumerate(ids)
        if name in people and confidences[index] >= cut
    ]


def cut_for(people: int, card: Card) -> float:
    """The least similarity (0..100) at which a face is named in a gallery of so many people.

    Each further person is one more whom a stranger may happen to be like: a fixed cut would name ever more strangers.
    """
    cosine = cosine_for(CUT, card) + STRICTER * max(0.0, log(max(people, 1) / SMALL))
    return min(99.9, float(similarity(cosine, card)))


def _closest(picture: Picture, faces: Faces, services: Services) -> tuple[list[str], Any, float]:
    """Of each face the id of the closest person, "" for nobody, and the cosine (N,) float32; the cut that holds."""
    ids = [""] * len(faces)
    cosines = np.full(len(faces), -1, np.float32)
    card = services.runtime.catalogue[FACE_MODEL]
    gallery = services.celebrities.vectors(face_model_version(card))
    sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1, initial=np.inf)
    large = np.nonzero(sides * picture.full_width >= MIN_FACE * picture.width)[0]
    if len(gallery.ids) and len(large):
        matches = match(embed_faces(picture, faces.select(large), services.runtime), gallery)
        cosines[large] = matches.cosines
        for index, name in zip(large, matches.ids, strict=True):
            ids[index] = str(name)
    return ids, cosines, cut_for(len(gallery.ids), card)


def _compared_faces(faces: Faces, picture: Picture, runtime: Runtime) -> "Sequence[ComparedFaceTypeDef]":
    compared = [compared_face(faces, index, picture) for index in range(len(faces))]
    for face, more in zip(compared, read_attributes(picture, faces, runtime, EXPRESSIONS), strict=True):
        face.update(cast("ComparedFaceTypeDef", more))
    return compared


def _facts(person: Person) -> "CelebrityTypeDef":
    facts: CelebrityTypeDef = {"Name": person.name, "Urls": list(person.urls)}
    if person.gender is not None:
        facts["KnownGender"] = {"Type": cast("KnownGenderTypeType", person.gender)}
    return facts
