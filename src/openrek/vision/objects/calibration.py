"""From a detector's raw scores to probabilities.

A detector's score orders its boxes but is no probability: a small one trained for a short while says 0.4 where it is
right nine times of ten. The knots (raw score, probability) of each class are fitted on pictures held back (isotonic
regression, see training/objects) and travel in the model's metadata as JSON, `{"person": [[0.1, 0.05], ...]}`.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Knots = Mapping[str, Sequence[Sequence[float]]]


class Calibration:
    """Monotone maps of scores, one for each class; classes without one keep their scores."""

    def __init__(self, knots: Knots, names: Sequence[str]) -> None:
        self._curves = {
            index: np.asarray(knots[name], np.float64).T for index, name in enumerate(names) if knots.get(name)
        }

    @classmethod
    def of(cls, metadata: Mapping[str, str], names: Sequence[str]) -> "Calibration":
        """The calibration in a model's metadata, or none."""
        return cls(json.loads(metadata.get("calibration", "{}")), names)

    def __call__(self, scores: Floats, classes: NDArray[np.int64]) -> Floats:
        """Probabilities (N,) of raw scores (N,) of these classes."""
        result = np.array(scores, np.float64)
        for index in np.unique(classes):
            if (curve := self._curves.get(int(index))) is not None:
                members = classes == index
                result[members] = np.interp(result[members], curve[0], curve[1])
        return np.clip(result, 0, 1).astype(np.float32)
