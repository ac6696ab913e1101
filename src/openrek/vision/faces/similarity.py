"""Similarity 0..100 of two faces: the cosine of their vectors on a scale of its own for each model.

The scale stands in the model's card as knots, pairs of cosine and similarity between which it is linear. It is placed
so that of the published pairs of different people in press photos at most one in a thousand reaches 80, and none 99; 95
is one in ten thousand of all pairs (see training/similarity). A model of one's own brings its own knots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.errors import CardError

HIGHEST: Final = 100.0

DECIMALS: Final = 4
"""Similarities are rounded to this: the last digits of a cosine depend on how it was summed up, and a similarity that
was answered must hold as the threshold of the next request."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """A strictly increasing, piecewise linear map from cosines -1..1 onto similarities 0..100."""

    cosines: NDArray[np.float64]
    similarities: NDArray[np.float64]

    @classmethod
    def through(cls, knots: Sequence[tuple[float, float]]) -> "Scale":
        """The scale through pairs (cosine, similarity); raises ValueError where they do not rise from (-1, 0) to
        (1, 100)."""
        table = np.array(knots, np.float64).reshape(-1, 2)
        if len(table) < 2 or (np.diff(table, axis=0) <= 0).any():
            raise ValueError("the knots of the similarity do not rise")
        if table[0].tolist() != [-1, 0] or table[-1].tolist() != [1, HIGHEST]:
            raise ValueError("the knots of the similarity do not reach from (-1, 0) to (1, 100)")
        return cls(table[:, 0], table[:, 1])

    def similarity(self, cosines: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Similarities 0..100, in the shape of `cosines`; a cosine that rounding has put beyond 1 is 100."""
        return np.asarray(np.round(np.interp(cosines, self.cosines, self.similarities), DECIMALS), np.float64)

    def cosine_for(self, similarity: float) -> float:
        """The inverse: the least cosine whose similarity, rounded, is this (0..100, of `DECIMALS` places)."""
        return float(np.interp(similarity - 0.5 * 10**-DECIMALS, self.similarities, self.cosines))


def scale_of(card: Card) -> Scale:
    """The scale of a model; raises CardError where its card has none, or one that does not rise."""
    if not card.similarity:
        raise CardError(f"The card {card.name!r} has no knots under `similarity`: faces cannot be compared with it.")
    try:
        return Scale.through(card.similarity)
    except ValueError as error:
        raise CardError(f"The card {card.name!r} is not valid: {error}.") from error


def similarity(cosines: NDArray[np.floating] | float, card: Card) -> NDArray[np.float64]:
    """Similarities 0..100 of cosines by a model's scale; see `Scale.similarity`."""
    return scale_of(card).similarity(cosines)


def cosine_for(similarity: float, card: Card) -> float:
    """The least cosine for a similarity 0..100 by a model's scale; see `Scale.cosine_for`."""
    return scale_of(card).cosine_for(similarity)
