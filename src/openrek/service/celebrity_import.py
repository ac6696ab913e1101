"""Filling the gallery with people and the photos of each that can serve as references."""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.service.celebrity_photos import Entry, UnusableError, outliers, reference_face
from openrek.store.celebrities import Celebrities, Reference
from openrek.vision.faces import PICTURE_SIDE, detect_faces
from openrek.vision.faces.embedding import FACE_MODEL, embed_faces, face_model_version
from openrek.vision.faces.similarity import cosine_for
from openrek.vision.image import ImageError, load_image
from openrek.vision.runtime import Runtime

Floats = NDArray[np.float32]

OUTLIER: Final = 50.0
"""A photo is of someone else when its similarity (0..100) to the person's other photos is less."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry. id: None where no photo of a new person could be used. skipped: photo, reason."""

    name: str
    id: str | None
    new: bool
    added: int
    known: int
    skipped: list[tuple[str, str]]
    notes: list[str]


class Importer:
    """Adds people to the gallery of one database."""

    def __init__(
        self, people: Celebrities, runtime: Runtime, *, max_pixels: int, again: bool, keep_outliers: bool
    ) -> None:
        """max_pixels: of a photo."""
        self.people = people
        card = runtime.catalogue[FACE_MODEL]
        self.version = face_model_version(card)
        self._cut = cosine_for(OUTLIER, card)
        self._runtime = runtime
        self._max_pixels = max_pixels
        self._again = again
        self._keep_outliers = keep_outliers

    def add(self, entry: Entry) -> Outcome:
        """Look at an entry's photos and keep the person, all in one transaction; photos kept earlier are not redone.

        A new person without any usable photo is not kept. Raises RemovedPersonError, AmbiguousNameError and ValueError
        as `Celebrities.put`, StoreError and ModelError.
        """
        if not self._again:
            self.people.refuse_removed(entry.person)
        found = self.people.find(entry.person)
        known = self.people.references(found, self.version) if found is not None else []
        kept = {reference.photo for reference in known}
        fresh: list[Reference] = []
        names: list[str] = []
        skipped: list[tuple[str, str]] = []
        for photo in entry.photos:
            try:
                data = photo.read()
                digest = hashlib.sha256(data).hexdigest()
                if digest not in kept:
                    vector = face_vector(data, self._runtime, self._max_pixels)
                    fresh.append(
                        Reference(digest, self.version, vector, photo.source, photo.licence, photo.attribution)
                    )
                    names.append(photo.name)
                    kept.add(digest)
            except (UnusableError, OSError) as error:
                skipped.append((photo.name, str(error)))
        notes: list[str] = []
        vectors = np.array([reference.vector for reference in [*known, *fresh]], np.float32)
        strange = outliers(vectors, self._cut) if len(vectors) else np.zeros(0, bool)
        strange = strange[len(known) :]
        if len(vectors) == 2 and float(vectors[0] @ vectors[1]) < self._cut:
            notes.append("the two photos may show different people; add a third to tell")
        for name in (name for name, odd in zip(names, strange, strict=True) if odd):
            if self._keep_outliers:
                notes.append(f"{name} looks like someone else; kept as asked")
            else:
                skipped.append((name, "looks like someone else than the other photos"))
        if not self._keep_outliers:
            fresh = [reference for reference, odd in zip(fresh, strange, strict=True) if not odd]
        celebrity_id = found
        if fresh or found is not None:
            celebrity_id = self.people.put(entry.person, fresh, celebrity_id=entry.celebrity_id, again=self._again)
        new = found is None and celebrity_id is not None
        return Outcome(entry.person.name, celebrity_id, new, len(fresh), len(known), skipped, notes)


def face_vector(data: bytes, runtime: Runtime, max_pixels: int) -> Floats:
    """The vector (D,) of the one face, or the clearly dominant one, of an encoded photo of at most `max_pixels`.

    Raises UnusableError.
    """
    try:
        picture = load_image(data, longest=PICTURE_SIDE, max_pixels=max_pixels)
    except ImageError as error:
        raise UnusableError(f"cannot be read: {error}") from error
    faces = detect_faces(picture, runtime)
    index = reference_face(faces, picture.full_width / picture.width)
    return np.asarray(embed_faces(picture, faces.select(slice(index, index + 1)), runtime)[0], np.float32)
