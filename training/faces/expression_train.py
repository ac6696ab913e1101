"""Train the second opinion on expressions (`training.faces.expression`).

    python -m training.faces.expression_train --cache CACHE --out RUN

Keeps `RUN/expression.pt` (to go on from after an interruption) and `RUN/expression.jsonl`.
"""

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.faces.batches import Prepared
from training.faces.expression import COLUMNS, ROOM, SMALL, ExpressionNet, Small, accuracy, read
from training.faces.losses import SMILING, WRONG
from training.faces.sources import BINARY, EMOTIONS, SETS
from training.faces.splits import TRAIN, TUNE
from training.faces.train import follow, keep, log, optimiser_for

_SHARES = {"emotion": 72, "face-attributes": 36, "age-gender": 20}
STEPS, SETTLING = 8000, 2000
"""Steps on mixed and worn views; steps after them on plain ones, at a lower rate."""
_RARE = 2.0
"""How much more often a disgusted face is drawn."""


def views(both: Tensor, worn: bool = True) -> Tensor:
    """(n, 2, 68, 68) uint8 -> (n, 1, 56, 56) float training views: moved, mirrored, relit; `worn`: some also blurred,
    noisy or partly hidden."""
    count = len(both)
    angle, scale = torch.randn(count) * 0.12, torch.exp(torch.randn(count) * 0.07)
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.randn(count, 2) * (1.4 * 2 / ROOM)
    reach = SMALL / ROOM / scale
    cos, sin = reach * angle.cos(), reach * angle.sin()
    turn = torch.stack([torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1)
    grid = functional.affine_grid(
        torch.cat([turn, shift[:, :, None]], 2), [count, 2, SMALL, SMALL], align_corners=False
    )
    moved = functional.grid_sample(both.float(), grid, padding_mode="reflection", align_corners=False)
    x, inside = moved[:, :1], moved[:, 1:] / 255
    black = (torch.rand(count, 1, 1, 1) < 0.6).float()
    x = x * (1 - black * (1 - inside))
    x = 255 * (x.clamp(0, 255) / 255) ** torch.exp(torch.randn(count, 1, 1, 1) * 0.25)
    if not worn:
        return x
    share = torch.rand(count)
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.where((share < 0.1)[:, None, None, None], blurred, x)
    side = int(torch.randint(24, 46, (1,)))
    small = functional.interpolate(
        functional.interpolate(x, (side, side), mode="area"), (SMALL, SMALL), mode="bilinear"
    )
    x = torch.where((share > 0.92)[:, None, None, None], small, x)
    x = x + torch.randn_like(x) * (torch.rand(count, 1, 1, 1) * 8)
    for row in torch.nonzero(torch.rand(count) < 0.2)[:, 0].tolist():
        high, wide = (int(torch.randint(8, 24, (1,))) for _ in range(2))
        top, left = int(torch.randint(0, SMALL - high, (1,))), int(torch.randint(0, SMALL - wide, (1,)))
        x[row, :, top : top + high, left : left + wide] = float(torch.rand(1)) * 255
    return x


@dataclass
class Targets:
    """What each of n faces shows: probabilities, and how much they weigh."""

    emotion: Tensor
    emotion_weight: Tensor
    binary: Tensor
    binary_weight: Tensor

    @classmethod
    def of(cls, data: Prepared) -> "Targets":
        """Labels where they are, else what the trunk taught (`teach`), at a part of the weight."""
        labels, taught = data.labels, data.taught
        felt = torch.from_numpy(labels["emotion"].astype(np.int64))
        known = felt >= 0
        if not taught:
            taught = {"emotion": np.zeros((len(felt), len(EMOTIONS))), "binary": np.full(labels["binary"].shape, 0.5)}
        emotion = torch.from_numpy(taught["emotion"].astype(np.float32))
        hot = functional.one_hot(felt.clamp(min=0), len(EMOTIONS)).float() * 0.9 + 0.1 / len(EMOTIONS)
        emotion[known] = hot[known]
        said = torch.from_numpy(labels["binary"][:, COLUMNS].astype(np.float32))
        binary = torch.from_numpy(taught["binary"][:, COLUMNS].astype(np.float32))
        weight = torch.full_like(binary, 0.3 if data.taught else 0.0)
        for name, chance in SMILING.items():
            rows = felt == EMOTIONS.index(name)
            binary[rows, 0], weight[rows, 0] = chance, 0.4
        labelled = said >= 0
        binary[labelled] = said[labelled].clamp(WRONG, 1 - WRONG)
        weight[labelled] = 1.0
        # a hidden face shows neither
        seen = torch.from_numpy(labels["binary"][:, BINARY.index("occluded")] != 1).float()
        return cls(emotion, torch.where(known, 1.0, 0.25) * seen, binary, weight * seen[:, None])

    def rows(self, numbers: NDArray[np.int64]) -> "Targets":
        chosen = torch.from_numpy(numbers)
        return Targets(*(value[chosen] for value in vars(self).values()))

    def mixed(self, other: Tensor, share: Tensor) -> "Targets":
        """Each with another row, `share` (n,) of its own."""
        return Targets(
            *(
                value * (s := share.reshape(-1, *[1] * (value.ndim - 1))) + value[other] * (1 - s)
                for value in vars(self).values()
            )
        )


def loss(logits: Tensor, goal: Targets) -> Tensor:
    kinds = len(EMOTIONS)
    felt = -(goal.emotion * functional.log_softmax(logits[:, :kinds], dim=1)).sum(1)
    said = functional.binary_cross_entropy_with_logits(logits[:, kinds:], goal.binary, reduction="none")
    return (felt * goal.emotion_weight).sum() / goal.emotion_weight.sum() + 1.5 * (
        said * goal.binary_weight
    ).sum() / goal.binary_weight.sum()


def batches(data: Prepared, seed: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of faces, the sets in fixed shares; endless."""
    random = np.random.default_rng(seed)
    pools = {name: data.members(name, TRAIN) for name in _SHARES}
    emotion = data.labels["emotion"]
    chances = {name: np.where(emotion[pool] == EMOTIONS.index("disgust"), _RARE, 1.0) for name, pool in pools.items()}
    while True:
        yield np.concatenate(
            [random.choice(pools[n], share, p=chances[n] / chances[n].sum()) for n, share in _SHARES.items()]
        )


def rate_at(step: int, steps: int) -> float:
    """The learning rate: up for 3 % of the steps, down by a half cosine; then once more down from a quarter of it."""
    if step >= steps:
        return 5e-4 * 0.5 * (1 + math.cos(math.pi * (step - steps) / SETTLING))
    part = step / steps
    return 2e-3 * (part / 0.03 if part < 0.03 else 0.5 * (1 + math.cos(math.pi * (part - 0.03) / 0.97)))


def train(cache: Path, out: Path, steps: int = STEPS, seed: int = 7, threads: int = 2) -> None:
    """Train to the end, from `out/expression.pt` where there is one; logs to `out/expression.jsonl`."""
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "expression.pt"
    torch.manual_seed(seed)
    data = Prepared(cache)
    small, goals = Small.of(data, cache / "small.npy"), Targets.of(data)
    net = ExpressionNet().to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(net)
    optimiser = optimiser_for(net, 0.05, (0.9, 0.999))
    step = 0
    if kept.exists():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    tune = np.flatnonzero((data.labels["split"] == TUNE) & (data.labels["source"] < SETS.index("face-mask-crops")))
    began, total = time.monotonic(), 0.0
    for numbers in batches(data, seed + step):
        if step >= steps + SETTLING:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, steps)
        goal = goals.rows(numbers)
        x = views(torch.from_numpy(small.pixels[numbers]), worn=step < steps)
        if step < steps and torch.rand(1) < 0.5:  # mixup (Zhang et al. 2018): a tenth of the labels are wrong
            other = torch.randperm(len(x))
            share = torch.from_numpy(np.random.default_rng(step).beta(0.4, 0.4, len(x))).float()
            x = x * share[:, None, None, None] + x[other] * (1 - share)[:, None, None, None]
            goal = goal.mixed(other, share)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
        value = loss(logits.float(), goal)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        follow(average, net, step)
        step, total = step + 1, total + float(value.detach())
        if step % 250 == 0 or step == steps + SETTLING:
            line: dict[str, float] = {
                "step": step,
                "loss": round(total / 250, 4),
                "seconds": round(time.monotonic() - began),
            }
            line |= {name: round(found, 4) for name, found in accuracy(read(average, small, tune), data, tune).items()}
            log(out / "expression.jsonl", line)
            keep(kept, net, average, optimiser, step)
            net.train()
            total = 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    train(asked.cache, asked.out, asked.steps, threads=asked.threads)
