"""Who of the gallery a face belongs to: one vector a person in memory, kept in step with the database."""

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.store.celebrities import Celebrities, Vectors
from openrek.store.database import Database

Floats = NDArray[np.float32]

ROWS: Final = 262_144
"""People compared at once: bounds the memory of one call to 64 MB for 64 faces."""

EQUAL: Final = 1e-6
"""Cosines that differ less are equal: the sums of a product depend on where a row lies."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """For N faces the closest person each: ids (N,), "" where the gallery has nobody, and the cosine (N,), -1 there."""

    ids: NDArray[np.str_]
    cosines: Floats


class CelebrityGallery:
    """The gallery of one database for matching. A change by any process is seen by the next call. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.people = Celebrities(database)
        self._lock = threading.Lock()
        self._loaded: dict[str, Vectors] = {}

    def vectors(self, model_version: str) -> Vectors:
        """The newest vectors of a model version, one a person. Raises StoreError."""
        change = self.people.change()
        with self._lock:
            loaded = self._loaded.get(model_version)
            if loaded is None or loaded.change != change:
                loaded = self._loaded[model_version] = centres(self.people.vectors(model_version))
            return loaded


def centres(references: Vectors) -> Vectors:
    """One vector a person, in ascending order of the id: the mean of the person's references, of length 1.

    A mean of several photos tells people apart better than the closest single photo does: what one photo has by chance
    (light, expression, a stranger's likeness) averages out.
    """
    ids, first = np.unique(references.ids, return_index=True)
    if not len(ids):
        return Vectors(references.change, ids, references.vectors)
    sums = np.add.reduceat(references.vectors, first, axis=0)
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return Vectors(references.change, ids, np.asarray(sums / lengths, np.float32))


def match(vectors: Floats, people: Vectors) -> Matches:
    """The person closest to each face (N, D), by cosine; of equals the one with the lowest id. All have length 1."""
    found = Matches(np.full(len(vectors), "", people.ids.dtype), np.full(len(vectors), -1, np.float32))
    for start in range(0, len(people.ids), ROWS):
        scores = vectors @ people.vectors[start : start + ROWS].T
        best = (scores >= scores.max(axis=1, keepdims=True) - EQUAL).argmax(axis=1)  # the first: rows are sorted by id
        cosines = scores[np.arange(len(vectors)), best]
        closer = cosines > found.cosines + EQUAL
        found.cosines[closer] = cosines[closer]
        found.ids[closer] = people.ids[start : start + ROWS][best[closer]]
    return found
