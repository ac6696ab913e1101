"""The network of the heads: a small perceptron on every region, the best regions counting most for the picture."""

from typing import Final

import torch
from torch import Tensor, nn

# fmt: off
CLASSES: Final = (
    413, 763, 764, 471, 657, 744, 456, 597, 465, 499, 596, 777, 847,  # rifles, revolver, cannon, ... cleaver, tank
    626, 644, 860,                                                    # lighter, matchstick, tobacco shop
    440, 441, 907, 966, 503, 512, 572, 737, 898,                      # bottles and glasses
    720, 845, 570, 691, 643,                                          # pill bottle, syringe, masks
    445, 459, 638, 639, 842, 433, 655, 775, 601, 689,                 # swimwear, bra, skirts
    980, 470, 862, 556, 827, 555,                                     # volcano, candle, torch, fire screen, stove
    800, 917, 921, 922, 611, 918,                                     # slot machine, comics, printed things
)
# fmt: on
"""ImageNet's classes that are, or are taken for, what the heads look for: their log-probabilities are inputs."""

EMBEDDING: Final = 1280
HIDDEN: Final = 64
SHARPNESS: Final = 2.0
"""Of the soft maximum over the regions: 0 would be their mean, infinity the best alone."""


class Heads(nn.Module):
    """embeddings (B, R, 1280) and logits of the backbone (B, R, 1000) -> (B, R, heads) region logits."""

    def __init__(self, heads: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("classes", torch.tensor(CLASSES))
        width = EMBEDDING + len(CLASSES)
        self.drop = nn.Dropout(0.4)
        self.hidden = nn.Linear(width, HIDDEN)
        self.out = nn.Linear(HIDDEN, heads)
        self.straight = nn.Linear(width, heads, bias=False)
        nn.init.zeros_(self.straight.weight)

    def forward(self, embeddings: Tensor, log_probabilities: Tensor) -> Tensor:
        """log_probabilities: (B, R, classes of CLASSES), from `known_classes`."""
        values = torch.cat([(embeddings - self.mean) / self.std, log_probabilities / 4 + 2], dim=-1)
        values = self.drop(values)
        result: Tensor = self.out(nn.functional.gelu(self.hidden(values))) + self.straight(values)
        return result


def known_classes(logits: Tensor) -> Tensor:
    """(..., 1000) logits -> (..., C) log-probabilities of CLASSES, at least -15."""
    return torch.log_softmax(logits, dim=-1)[..., list(CLASSES)].clamp(min=-15)


def pooled(regions: Tensor, present: Tensor | None = None) -> Tensor:
    """(B, R, heads) -> (B, heads): a soft maximum over the regions. present: (B, R), False for padding."""
    if present is None:
        count = torch.full((1, 1), regions.shape[1], dtype=regions.dtype)
        values = regions
    else:
        count = present.sum(dim=1, keepdim=True).to(regions.dtype)
        values = regions.masked_fill(~present[..., None], -1e4)
    return torch.logsumexp(values * SHARPNESS, dim=1) / SHARPNESS - torch.log(count) / SHARPNESS
