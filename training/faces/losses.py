"""One loss over all heads; a label that is not known takes no part."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from openrek.vision.faces.align import SIZE, TEMPLATE
from training.faces.batches import Batch
from training.faces.model import AGES, CELLS, FaceNet, Heads
from training.faces.sources import BINARY, EMOTIONS

EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Eye distance in an aligned crop, pixels."""
WEIGHTS = {
    **{"binary": 5.0, "age": 0.5, "years": 1.0, "emotion": 1.4, "maps": 0.25, "points": 8.0},
    **{"taught binary": 1.5, "taught age": 0.15, "taught emotion": 0.4, "taught points": 2.0},
}
_TIMES = {"male": 1.5, "smile": 2.0, "mouth_open": 1.5, "beard": 1.5, "sunglasses": 0.5, "occluded": 0.5}
"""How much more or less than the others an attribute's labels weigh: more where a goal is missed, less where it is
far exceeded."""
WRONG = 0.03
"""Share of binary labels that are taken to be wrong."""
SMILING = {"happy": 0.95, "angry": 0.05, "disgust": 0.05, "fear": 0.05, "sad": 0.05}
"""How likely a face smiles whose smile is not labelled and whose expression is; the other two say too little."""
_EYES = [BINARY.index(name) for name in ("eyeglasses", "sunglasses")]
_MOUTH = [BINARY.index(name) for name in ("smile", "mouth_open", "beard", "mustache")]
_OCCLUDED, _SMILE = BINARY.index("occluded"), BINARY.index("smile")


def binary_loss(logits: Tensor, target: Tensor, emotion: Tensor) -> Tensor:
    """Cross-entropy averaged over all known labels, by their weight; `target` (N, 8) and `emotion` (N,) -1 are
    unknown."""
    goal = target.float().clamp(WRONG, 1 - WRONG)
    known = (target >= 0).float()
    for name, chance in SMILING.items():
        felt = (emotion == EMOTIONS.index(name)) & (target[:, _SMILE] < 0)
        goal[felt, _SMILE], known[felt, _SMILE] = chance, 0.5
    each = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    weight = known * torch.tensor([_TIMES.get(name, 1.0) for name in BINARY], device=logits.device)
    # An attribute known for few faces of a batch must not weigh more than one known for many.
    return (each * weight).sum() / weight.sum().clamp(min=1)


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


def pointed(batch: Batch, taught: int) -> Tensor:
    """The rows that the landmark head is run on: the marked faces and a few (`taught`) others."""
    marked = batch.marked.nonzero()[:, 0]
    others = (~batch.marked & torch.isfinite(batch.landmarks).all(dim=2).any(dim=1)).nonzero()[:, 0]
    return torch.cat([marked, others[torch.randperm(len(others), device=others.device)[:taught]]])


@dataclass(frozen=True)
class Taught:
    """What a first network said of every face (N rows): probabilities; see `teach`."""

    binary: Tensor
    age: Tensor
    emotion: Tensor

    @classmethod
    def of(cls, columns: dict[str, NDArray[np.generic]], device: torch.device) -> "Taught":
        return cls(*(torch.from_numpy(columns[name]).to(device) for name in ("binary", "age", "emotion")))


def taught_losses(heads: Heads, batch: Batch, taught: Taught) -> dict[str, Tensor]:
    """Against what the first network said, for the labels that are unknown and can be seen."""
    goal = taught.binary[batch.number].float()
    eyes, mouth = batch.covered[:, :1], batch.covered[:, 1:]
    unseen = torch.zeros_like(goal, dtype=torch.bool)
    unseen[:, _EYES], unseen[:, _MOUTH] = eyes, mouth
    unseen[:, _OCCLUDED] = (eyes | mouth)[:, 0]
    open_ = ((batch.binary < 0) & ~unseen).float()
    each = functional.binary_cross_entropy_with_logits(heads.binary, goal, reduction="none")
    ageless = batch.age < 0
    age = -(taught.age[batch.number].float() * functional.log_softmax(heads.age, dim=1)).sum(dim=1)
    calm = (batch.emotion < 0) & ~(eyes | mouth)[:, 0] & (batch.binary[:, _OCCLUDED] != 1)
    felt = -(taught.emotion[batch.number].float() * functional.log_softmax(heads.emotion, dim=1)).sum(dim=1)
    return {
        "taught binary": (each * open_).sum() / open_.sum().clamp(min=1),
        "taught age": (age * ageless).sum() / ageless.sum().clamp(min=1),
        "taught emotion": (felt * calm).sum() / calm.sum().clamp(min=1),
    }


def losses(net: FaceNet, batch: Batch, taught: Taught | None = None) -> dict[str, Tensor]:
    """All parts, unweighted."""
    rows = pointed(batch, 10 if taught else 0)
    heads = net(batch.crops, rows)
    age, years = age_losses(heads.age, batch.age)
    known = batch.emotion >= 0
    emotion = functional.cross_entropy(heads.emotion[known], batch.emotion[known].long(), label_smoothing=0.1)
    marked = int(batch.marked.sum())
    maps, points = landmark_losses(heads.maps[:marked], heads.points[:marked], batch.landmarks[rows[:marked]])
    parts = {
        "binary": binary_loss(heads.binary, batch.binary, batch.emotion),
        "age": age,
        "years": years,
        "emotion": emotion,
        "maps": maps,
        "points": points,
    }
    if taught:
        parts |= taught_losses(heads, batch, taught)
        _, parts["taught points"] = landmark_losses(
            heads.maps[marked:], heads.points[marked:], batch.landmarks[rows[marked:]]
        )
    return parts


def total(parts: dict[str, Tensor]) -> Tensor:
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
