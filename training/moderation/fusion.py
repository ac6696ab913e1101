"""How much a box of the object detector adds to a head's score.

    fused score = score + weight * (log-odds of the best box - log-odds of LEAST, at least 0)

One weight a head, of a logistic regression on pictures held back from both. A box only ever adds: where the detector
was not asked, or knows no such class, the head stands alone.
"""

from typing import Final

import numpy as np
import torch
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
    positive: NDArray[np.float32], negative: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coefficients (columns,) of a logistic regression of positive (P, columns) against negative (N, columns), which
    weigh alike; `weights` (N,) sum to 1. No coefficient is below zero: more evidence never speaks against."""
    values = torch.from_numpy(np.concatenate([positive, negative])).double()
    truth = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))]).double()
    weight = torch.cat([torch.full((len(positive),), 1 / len(positive)).double(), torch.from_numpy(weights)])
    roots = torch.full((values.shape[1],), 0.5, dtype=torch.double, requires_grad=True)
    bias = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([roots, bias], max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = values @ roots**2 + bias
        found = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="sum")
        found.backward()
        return found

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray((roots.detach() ** 2).numpy(), np.float64)


def weight_of(scores: NDArray[np.float32], boxes: NDArray[np.float32], truths: NDArray[np.int8]) -> float:
    """What a head's box adds: scores (N,), boxes (N,) from `raised`, truths (N,) 1, 0 or -1 (not known)."""
    columns = np.stack([scores, boxes], axis=1)
    negative = columns[truths == 0]
    slope, box = logistic(columns[truths == 1], negative, np.full(len(negative), 1 / len(negative)))
    return float(box / max(slope, 1e-6))
