"""How good tags are: pairs of (confidence or score, truth) from labelled photos, and what is read off them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openrek.vision.labels.taxonomy import Taxonomy
from training.tagger.photos import Photo

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """values (N,) 0..1 that the tagger gave, truth (N,) whether the photo shows the label; every label of a photo that
    can be judged is one pair."""

    values: Floats
    truth: NDArray[np.bool_]
    photos: int

    def precision(self, least: float) -> float:
        """Share of true ones among the labels given at `least` or more."""
        return float(self.truth[self.values >= least].mean())

    def recall(self, least: float) -> float:
        """Share of the true labels, ancestors included, that are given at `least` or more."""
        return float((self.truth & (self.values >= least)).sum() / self.truth.sum())

    def calibration_error(self, least: float = 0.1, bins: int = 10) -> float:
        """Expected calibration error over the labels given at `least` or more: the mean gap of stated and true share
        over equally wide bins, weighted by their size (Naeini et al. 2015)."""
        given = self.values >= least
        place = np.minimum((self.values * bins).astype(int), bins - 1)
        gaps = [
            abs(self.values[chosen].mean() - self.truth[chosen].mean()) * chosen.sum()
            for chosen in (given & (place == number) for number in range(bins))
            if chosen.any()
        ]
        return float(sum(gaps) / given.sum())

    def reliability(self, bins: int = 10) -> list[tuple[float, int, float, float]]:
        """(lower edge, count, mean value, share of true ones) of each bin that holds any."""
        place = np.minimum((self.values * bins).astype(int), bins - 1)
        return [
            (number / bins, int(chosen.sum()), float(self.values[chosen].mean()), float(self.truth[chosen].mean()))
            for number in range(bins)
            if (chosen := place == number).any()
        ]


def pairs(answers: Iterable[tuple[Photo, Mapping[str, float]]], table: Taxonomy, seen: frozenset[str]) -> Pairs:
    """Judge answers (label -> value) for photos. seen: the labels that the tagger can give.

    A label below a true one (the kind of dog in a photo said to show a dog) cannot be judged and is left out.
    """
    values: list[float] = []
    truth: list[bool] = []
    photos = 0
    for photo, answer in answers:
        photos += 1
        shown = photo.labels.union(*(table[name].ancestors for name in photo.labels))
        for name in seen if photo.known is None else seen & photo.known:
            if name in shown or not photo.labels.intersection(table[name].ancestors):
                values.append(answer.get(name, 0.0))
                truth.append(name in shown)
    return Pairs(np.array(values), np.array(truth, np.bool_), photos)


def named(answers: Iterable[tuple[Photo, Mapping[str, float]]], table: Taxonomy, least: float) -> float:
    """Share of single-object photos whose label, or one of its direct parents, is given at `least` or more."""
    hits = [
        any(answer.get(name, 0.0) >= least for label in photo.labels for name in (label, *table[label].parents))
        for photo, answer in answers
    ]
    return sum(hits) / len(hits)
