"""A source of vectors in memory that counts its changes as the database does, and the plain truth about a search."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openrek.store.errors import CollectionMissingError
from openrek.store.vector_changes import Changes, Kind

COLLECTION = 7


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def faces(
    count: int, seed: int = 0, dimension: int = 128, per_person: int = 4, factors: int | None = None
) -> NDArray[np.float32]:
    """(count, dimension) unit vectors as embeddings are: in a cone, some few of each person close together.

    factors: the dimensions in which people differ; fewer make it easier to put them in cells.
    """
    random = np.random.default_rng(seed)
    cone = 1.5 * unit(random.standard_normal(dimension))
    factors = factors or dimension
    people = random.standard_normal((-(-count // per_person), factors)) / factors**0.5
    if factors < dimension:
        people = people @ np.linalg.qr(random.standard_normal((dimension, factors)))[0].T
    shots = 0.4 * random.standard_normal((count, dimension)) / dimension**0.5
    return unit(cone + np.repeat(people, per_person, axis=0)[:count] + shots)


class MemorySource:
    """A VectorSource of one collection, COLLECTION; its users have no vectors."""

    def __init__(self, vectors: NDArray[np.float32] | None = None, chunk: int = 100_000) -> None:
        self.change = 0
        self.there: dict[int, tuple[int, NDArray[np.float32]]] = {}
        self.removed: list[tuple[int, int]] = []
        self.next_number = 1
        self.gone = False
        self.lost = 0
        self.reads = 0
        self.chunk = chunk
        self.lock = threading.Lock()
        if vectors is not None:
            self.add(vectors)

    def add(self, vectors: NDArray[np.float32]) -> list[int]:
        with self.lock:
            numbers = list(range(self.next_number, self.next_number + len(vectors)))
            self.next_number += len(vectors)
            for number, vector in zip(numbers, vectors, strict=True):
                self.change += 1
                self.there[number] = (self.change, vector)
            return numbers

    def replace(self, number: int, vector: NDArray[np.float32]) -> None:
        with self.lock:
            self.change += 1
            self.there[number] = (self.change, vector)

    def remove(self, numbers: Sequence[int]) -> None:
        with self.lock:
            self.change += 1
            for number in numbers:
                del self.there[number]
                self.removed.append((self.change, number))

    def truth(self, query: NDArray[np.float32], limit: int, least: float = -1.0) -> list[tuple[int, float]]:
        numbers = np.array(list(self.there), np.int64)
        if not len(numbers):
            return []
        vectors = np.stack([vector for _, vector in self.there.values()])
        cosines = vectors.astype(np.float64) @ unit(query.astype(np.float64)).astype(np.float64)
        order = np.lexsort((numbers, -cosines))
        return [(int(numbers[i]), float(cosines[i])) for i in order if cosines[i] >= least][:limit]

    def forget_removed(self) -> None:
        """Tell no more what was removed up to now."""
        with self.lock:
            self.removed, self.lost = [], self.change

    # --- VectorSource -------------------------------------------------------------------------------------------------

    def newest(self, collection: int) -> int | None:
        return None if self.gone or collection != COLLECTION else self.change

    def forgotten(self, collection: int) -> int:
        return self.lost

    def since(self, collection: int, change: int, kind: Kind = "faces", *, limit: int = 100_000) -> Changes:
        if self.newest(collection) is None:
            raise CollectionMissingError("gone")
        with self.lock:
            self.reads += 1
            new = sorted((at, number) for number, (at, _) in self.there.items() if at > change and kind == "faces")
            upto = new[self.chunk - 1][0] if len(new) >= self.chunk else self.change
            chosen = [number for at, number in new if at <= upto]
            return Changes(
                upto=upto,
                removed=np.array([number for at, number in self.removed if change < at <= upto], np.int64),
                numbers=np.array(chosen, np.int64),
                vectors=np.stack([self.there[number][1] for number in chosen])
                if chosen
                else np.zeros((0, 0), np.float32),
            )

    def vectors(
        self, collection: int, kind: Kind, numbers: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        there = self.there
        found = [(number, entry[1]) for number in numbers if (entry := there.get(number)) is not None]
        if not found:
            return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
        return np.array([number for number, _ in found], np.int64), np.stack([vector for _, vector in found])
