"""What a search over vectors needs and gives."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from openrek.store.vector_changes import Changes, Floats, Kind

Numbers = NDArray[np.int64]


class Matches(NamedTuple):
    """numbers: (K,) int64, the store's own numbers of faces or users. cosines: (K,) float32, falling."""

    numbers: Numbers
    cosines: Floats


class VectorSource(Protocol):
    """Where the vectors are: the database. Vectors have length 1. All methods raise StoreError when it fails."""

    def newest(self, collection: int) -> int | None:
        """The number of a collection's newest change (0 before the first), None when it is gone."""

    def forgotten(self, collection: int) -> int:
        """The number of the newest change whose removals are no more told; an index that is behind it begins at 0."""

    def since(self, collection: int, change: int, kind: Kind = "faces", *, limit: int = 100_000) -> Changes:
        """The changes after number `change` in order, about `limit` new vectors at most. CollectionMissingError."""

    def vectors(self, collection: int, kind: Kind, numbers: Sequence[int]) -> tuple[Numbers, Floats]:
        """The vectors with these numbers, in any order; those that are gone are left out."""


class VectorSearch(Protocol):
    """Finds the vectors of a collection that are most alike to one. Safe to use from many threads and processes."""

    def search(self, collection: int, query: Floats, *, least: float = -1.0, limit: int, kind: Kind) -> Matches:
        """The up to `limit` vectors whose cosine to `query` (D,) is at least `least`, the most alike first.

        Sees every write that was acknowledged before the call. A vector that went meanwhile may or may not be there.
        The cosines are exact (of the float32 vectors in the database), and `least` is met up to 1e-6. Raises
        CollectionMissingError, StoreError, ValueError for a query of another dimension.
        """

    def forget(self, collection: int) -> None:
        """Bring what is kept of a collection up to date, or away when the collection is gone, durably."""

    def sweep(self) -> None:
        """Take away what is kept of collections that are gone, whoever deleted them."""

    def close(self) -> None:
        """Keep what is worth keeping, and let go of the files."""
