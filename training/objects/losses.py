"""What the detector is taught: task-aligned assignment and a quality-weighted score.

Each box teaches the cells within it that score and fit best (task-aligned assignment: Feng et al. 2021,
arXiv:2108.07755); their score is taught to be the fit (varifocal loss: Zhang et al. 2021, arXiv:2008.13367), times the
teachers' certainty where the box was not drawn by hand. Boxes learn by generalised IoU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.objects.network import corners_of

Raw = tuple[Tensor, Tensor, Tensor]
"""A branch's answer: class logits (N, M, C), raw boxes (N, M, 4), objectness logits (N, M, 1)."""

NEAREST = 10  # cells taught by one box
FIT = 5.0  # how much more the fit counts than the score
CENTRE = 1.25  # a cell within so many strides of a small box's centre may learn it too
BOX_WEIGHT = 2.0


@dataclass(frozen=True, eq=False)
class Target:
    """What a branch learns of one picture: boxes (G, 4), primary class (G,), weight of each class for each box (G, C);
    ignored boxes (I, 4) of classes (I,); known (C,): the classes for which what is not boxed is absent."""

    boxes: Tensor
    classes: Tensor
    weights: Tensor
    ignored: Tensor
    ignored_classes: Tensor
    known: Tensor

    def to(self, device: torch.device) -> "Target":
        return Target(*(value.to(device) for value in vars(self).values()))


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of all pairs: (N, 4), (M, 4) -> (N, M)."""
    shared = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp(
        min=0
    )
    inter = shared.prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return inter / (area_a[:, None] + area_b[None] - inter + 1e-6)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of boxes one by one: (N, 4), (N, 4) -> (N,)."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter + 1e-6
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1) + 1e-6
    return inter / union - (hull - union) / hull


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, points: Tensor, strides: Tensor, target: Target
) -> tuple[Tensor, Tensor, Tensor]:
    """The cells that learn a box: their numbers (P,), which box (P,), and the quality 0..1 they are taught (P,)."""
    empty = torch.zeros(0, dtype=torch.long)
    if not len(target.boxes):
        return empty, empty, torch.zeros(0)
    centre = (target.boxes[:, :2] + target.boxes[:, 2:]) / 2
    offsets = torch.cat([points[None] - target.boxes[:, None, :2], target.boxes[:, None, 2:] - points[None]], 2)
    inside = offsets.amin(2) > 0
    near = (points[None] - centre[:, None]).abs().amax(2) < CENTRE * strides[None]
    small = (target.boxes[:, 2:] - target.boxes[:, :2]).amin(1) < 24
    allowed = inside | (near & small[:, None])
    fit = pair_iou(target.boxes, boxes)
    score = scores[:, target.classes].T
    worth = torch.where(allowed, score * fit**FIT, torch.zeros(()))
    top, cell = worth.topk(min(NEAREST, worth.shape[1]), 1)
    chosen = torch.zeros_like(worth, dtype=torch.bool).scatter_(1, cell, top > 1e-9)
    # a box that fits nowhere yet teaches the cell nearest to its centre
    lost = ~chosen.any(1)
    if lost.any():
        reach = (points[None] - centre[lost][:, None]).abs().amax(2) / strides[None]
        size = (target.boxes[lost][:, 2:] - target.boxes[lost][:, :2]).amax(1)
        level = (strides[None] * 5 - size[:, None]).abs()
        chosen[lost.nonzero()[:, 0], (reach + level).argmin(1)] = True
    # a cell wanted by several boxes learns the one it fits best
    owner = torch.where(chosen, fit + 1e-4, torch.full((), -1.0)).max(0)
    learns = owner.values >= 0
    number, box = learns.nonzero()[:, 0], owner.indices[learns]
    chosen = torch.zeros_like(chosen)
    chosen[box, number] = True
    worth, fit = worth * chosen, fit * chosen
    quality = worth / (worth.amax(1, keepdim=True) + 1e-9) * fit.amax(1, keepdim=True)
    return number, box, torch.maximum(quality[box, number], torch.full((), 0.05))


def losses(logits: Tensor, boxes: Tensor, points: Tensor, strides: Tensor, targets: list[Target]) -> dict[str, Tensor]:
    """Score and box losses of a batch: logits (N, M, C), boxes (N, M, 4), points (M, 2), strides (M,)."""
    taught = torch.zeros_like(logits)
    counts = torch.ones_like(logits)
    found, wanted, weights = [], [], []
    scores = logits.detach().sigmoid()
    for number, target in enumerate(targets):
        counts[number, :, ~target.known] = 0
        if len(target.ignored):
            centre_in = (
                torch.cat(
                    [points[:, None] - target.ignored[None, :, :2], target.ignored[None, :, 2:] - points[:, None]], 2
                )
            ).amin(2) > 0
            cell, box = centre_in.nonzero().T
            counts[number, cell, target.ignored_classes[box]] = 0
        cell, box, quality = assign(scores[number], boxes[number].detach(), points, strides, target)
        if not len(cell):
            continue
        values = quality[:, None] * target.weights[box]
        taught[number, cell] = values
        counts[number, cell] = torch.maximum(counts[number, cell], (values > 0).float())
        found.append(boxes[number, cell])
        wanted.append(target.boxes[box])
        weights.append(quality * target.weights[box].amax(1))
    total = torch.cat(weights).sum().clamp(min=1.0) if weights else torch.ones(())
    focus = torch.where(taught > 0, taught, 0.75 * scores.pow(2)) * counts
    score_loss = (functional.binary_cross_entropy_with_logits(logits, taught, reduction="none") * focus).sum() / total
    box_loss = torch.zeros(())
    if weights:
        box_loss = ((1 - giou(torch.cat(found), torch.cat(wanted))) * torch.cat(weights)).sum() / total
    return {"score": score_loss, "box": BOX_WEIGHT * box_loss}


def held(answer: Raw, teacher: Raw, points: Tensor, strides: Tensor, targets: list[Target]) -> dict[str, Tensor]:
    """Losses that hold a branch with objectness to its teacher's answers, corrected by boxes drawn by hand.

    The cells that find a drawn box best are taught that box and class. Of a class that is drawn wherever it is to be
    seen, what the teacher finds elsewhere is taught to be nothing. All other cells are taught what the teacher answers.
    """
    logits, raw, sure = answer
    with torch.no_grad():
        sure_wanted = teacher[2].float().sigmoid()[..., 0]
        class_wanted = teacher[0].float().sigmoid()
        boxes_wanted = corners_of(teacher[1], points, strides)
        boxes = corners_of(raw, points, strides)
        scores = logits.float().sigmoid() * sure.float().sigmoid()
        for number, target in enumerate(targets):
            cell, box, quality = assign(scores[number], boxes[number], points, strides, target)
            if target.known.any():
                lies = class_wanted[number][:, target.known].amax(1) > 0.5
                near = torch.cat([target.boxes, target.ignored])
                if len(near):
                    lies &= pair_iou(boxes_wanted[number], near).amax(1) < 0.3
                sure_wanted[number] = torch.where(lies, 0.0, sure_wanted[number])
            if len(cell):
                sure_wanted[number, cell] = quality
                class_wanted[number, cell] = functional.one_hot(target.classes[box], class_wanted.shape[2]).float()
                boxes_wanted[number, cell] = target.boxes[box]
        total = sure_wanted.sum().clamp(min=1.0)
        there = (sure_wanted > 0.1).nonzero(as_tuple=True)
    bce = functional.binary_cross_entropy_with_logits
    sure_loss = bce(sure.float()[..., 0], sure_wanted, reduction="sum") / total
    weight = sure_wanted[there]
    class_loss = (bce(logits[there].float(), class_wanted[there], reduction="none").sum(1) * weight).sum() / total
    fit = giou(corners_of(raw, points, strides)[there], boxes_wanted[there])
    box_loss = ((1 - fit) * weight).sum() / total
    return {"held_sure": sure_loss, "held_class": class_loss, "held_box": BOX_WEIGHT * box_loss}
