"""One loss over all heads; a label that is not known takes no part."""

import torch
from torch import Tensor
from torch.nn import functional

from openrek.vision.faces.align import SIZE, TEMPLATE
from training.faces.batches import Batch
from training.faces.model import AGES, CELLS, FaceNet

EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Eye distance in an aligned crop, pixels."""
WEIGHTS = {"binary": 3.0, "age": 0.5, "years": 1.0, "emotion": 1.2, "maps": 0.25, "points": 6.0}


def binary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy averaged over the known labels of each attribute, then over attributes; `target` -1 is unknown."""
    known = (target >= 0).float()
    each = functional.binary_cross_entropy_with_logits(logits, target.clamp(min=0).float(), reduction="none")
    # An attribute known for few faces of a batch must not weigh more than one known for many.
    return (each * known).sum() / known.sum().clamp(min=1)


def age_losses(logits: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
    """Against a bell of 2 to 5 years around the age (ages in the sets are partly estimated), and the mean's error in
    decades."""
    known = age >= 0
    if not known.any():
        return logits.sum() * 0, logits.sum() * 0
    logits, true = logits[known], age[known].float().clamp(max=AGES - 1)
    years = torch.arange(AGES, device=logits.device, dtype=torch.float32)
    width = 1.0 + 0.05 * true
    bell = torch.softmax(-0.5 * ((years - true[:, None]) / width[:, None]) ** 2, dim=1)
    log = functional.log_softmax(logits, dim=1)
    distribution = (bell * (bell.clamp(min=1e-9).log() - log)).sum(dim=1).mean()
    return distribution, functional.smooth_l1_loss((log.exp() @ years) / 10, true / 10, beta=0.3)


def landmark_losses(maps: Tensor, points: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """The maps against bells around the true places, and the distance in eye distances. Points outside the crop are
    left out."""
    known = torch.isfinite(true).all(dim=2) & (true > -4).all(dim=2) & (true < SIZE + 4).all(dim=2)
    if not known.any():
        return points.sum() * 0, points.sum() * 0
    cells = (torch.arange(CELLS, device=maps.device) + 0.5) * (SIZE / CELLS) - 0.5
    width = SIZE / CELLS
    goal = true[known]
    across = torch.softmax(-0.5 * ((cells - goal[:, :1]) / width) ** 2, dim=1)
    down = torch.softmax(-0.5 * ((cells - goal[:, 1:]) / width) ** 2, dim=1)
    bell = (down[:, :, None] * across[:, None, :]).flatten(1)
    heat = -(bell * functional.log_softmax(maps[known], dim=1)).sum(dim=1).mean()
    return heat, (points[known] - goal).norm(dim=1).mean() / EYES


def pointed(batch: Batch) -> Tensor:
    """The rows whose landmarks are known; the landmark head is run on these alone."""
    return torch.isfinite(batch.landmarks).all(dim=2).any(dim=1).nonzero()[:, 0]


def losses(net: FaceNet, batch: Batch) -> dict[str, Tensor]:
    """All parts, unweighted."""
    rows = pointed(batch)
    heads = net(batch.crops, rows)
    age, years = age_losses(heads.age, batch.age)
    known = batch.emotion >= 0
    emotion = functional.cross_entropy(heads.emotion[known], batch.emotion[known].long(), label_smoothing=0.1)
    maps, points = landmark_losses(heads.maps, heads.points, batch.landmarks[rows])
    return {
        "binary": binary_loss(heads.binary, batch.binary),
        "age": age,
        "years": years,
        "emotion": emotion,
        "maps": maps,
        "points": points,
    }


def total(parts: dict[str, Tensor]) -> Tensor:
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
