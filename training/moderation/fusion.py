"""How much a box of the object detector adds to a head's score.

    fused score = score + weight * (log-odds of the best box - log-odds of LEAST, at least 0)

One weight a head, of a logistic regression on pictures held back from both. A box only ever adds: where the detector
was not asked, or knows no such class, the head stands alone.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST: Final = 0.05
"""The least probability that the detector reports."""

MOST: Final = 0.98
"""More than this adds no more: calibrated on a few hundred pictures, the detector cannot know better."""


def raised(best: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities 0..1 as log-odds above those of LEAST; 0 for what was not found."""
    bounded = np.clip(best, LEAST, MOST)
    return np.asarray(np.log(bounded / (1 - bounded)) - np.log(LEAST / (1 - LEAST)), np.float32)


def logistic(
    positive: NDArray[np.floating], negative: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Coefficients (columns,) of a logistic regression of positive (P, columns) against negative (N, columns), by
    Newton's method; both sides weigh alike, `weights` (N,) sum to 1."""
    values = np.concatenate([positive, negative]).astype(np.float64)
    values = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    weight = np.concatenate([np.full(len(positive), 1 / len(positive)), weights])
    found = np.zeros(values.shape[1])
    calm = 1e-4 * np.eye(len(found))  # keeps what is told apart without a mistake finite
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(values @ found, -30, 30)))
        slope = values.T @ (weight * (chance - truth)) + calm @ found
        curve = (values * (weight * chance * (1 - chance))[:, None]).T @ values + calm
        step = np.linalg.solve(curve, slope)
        found -= step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return found[:-1]


def weight_of(scores: NDArray[np.float32], boxes: NDArray[np.float32], truths: NDArray[np.int8]) -> float:
    """What a head's box adds, at least 0: scores (N,), boxes (N,) from `raised`, truths (N,) 1, 0 or -1 (not known)."""
    columns = np.stack([scores, boxes], axis=1)
    negative = columns[truths == 0]
    slope, box = logistic(columns[truths == 1], negative, np.full(len(negative), 1 / len(negative)))
    return float(max(box, 0.0) / max(slope, 1e-6))
