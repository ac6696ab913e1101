"""Train the detector on what `prepare` and `teachers` wrote.

    python -m training.objects.train --cache CACHE/taught --imagenet efficientnet-lite0.pth --out RUN --minutes 60

Keeps `RUN/last.pt` (to go on from after an interruption) and `RUN/log.jsonl`. The run is as long as --steps says; with
--minutes it ends there instead, its learning rate following the clock. Uses a GPU where there is one.
"""

import argparse
import copy
import json
import math
import random
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from training.objects import losses
from training.objects.batches import Recipe, stream
from training.objects.classes import NAMES
from training.objects.network import STRIDES, Detector, cells, start

REMEMBERED = 120
"""Batches whose maps are kept for another look: about 400 MB."""


@dataclass(frozen=True)
class Plan:
    """One run: `rate` is the highest learning rate, of which the trunk takes `trunk`; it rises for `warm` of the run
    and falls to zero by a half cosine. For the first `head_first` of the run the trunk is left alone, and neck and
    heads see each batch's maps about `echo` times: the trunk costs most of a step, the heads have most to learn."""

    steps: int = 3000
    minutes: float | None = None
    rate: float = 2.5e-3
    trunk: float = 0.25
    warm: float = 0.05
    head_first: float = 0.35
    echo: int = 3
    decay: float = 0.03
    average: int = 250
    seed: int = 20261
    keep_every: int = 150


def rate_at(plan: Plan, part: float) -> float:
    """The learning rate after this part (0..1) of the run."""
    if part < plan.warm:
        return plan.rate * (0.02 + 0.98 * part / plan.warm)
    return plan.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (part - plan.warm) / (1 - plan.warm))))


@torch.no_grad()
def follow(average: Detector, net: Detector, step: int, over: int) -> None:
    """Exponential moving average of the weights and statistics, over about `over` steps."""
    share = max(1 / over, 1 / (step / 4 + 1))
    for kept, value in zip(average.parameters(), net.parameters(), strict=True):
        if value.requires_grad:
            kept.lerp_(value, share)
    for kept, value in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(value)


def grid(side_y: int, side_x: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres (M, 2) and strides (M,) of all cells of an input of this size."""
    points = [cells(side_y // stride, side_x // stride, stride, device) for stride in STRIDES]
    strides = [torch.full((len(p),), float(stride), device=device) for p, stride in zip(points, STRIDES, strict=True)]
    return torch.cat(points), torch.cat(strides)


def run(cache: Path, imagenet: Path, out: Path, plan: Plan, recipe: Recipe, workers: int = 1, threads: int = 2) -> None:
    """Train to the end of the plan, from `out/last.pt` where there is one."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "last.pt"
    net = start(len(NAMES), imagenet, plan.seed).to(device).train()
    net.precision = torch.bfloat16
    average = copy.deepcopy(net)
    trunk = [value for value in net.trunk.parameters() if value.requires_grad]
    rest = [value for name, value in net.named_parameters() if value.requires_grad and not name.startswith("trunk")]
    flat = [value for value in rest if value.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": trunk, "weight_decay": plan.decay, "share": plan.trunk},
            {"params": [value for value in rest if value.ndim > 1], "weight_decay": plan.decay, "share": 1.0},
            {"params": flat, "weight_decay": 0.0, "share": 1.0},
        ],
        betas=(0.9, 0.98),
    )
    step, spent = 0, 0.0
    if kept.exists():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = int(state["step"]), float(state["spent"])
    batches = stream(cache, recipe, plan.seed + step, workers)
    sums: dict[str, Tensor] = {}
    began = last = time.monotonic() - spent
    last += spent
    seen = 0
    part = 0.0
    recent: deque[tuple[list[Tensor], list[losses.Target]]] = deque(maxlen=REMEMBERED)
    choice = random.Random(plan.seed)
    while part < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate_at(plan, part) * group["share"]
        if part < plan.head_first and step % plan.echo and recent:
            taps, targets = choice.choice(recent)
        else:
            pixels, targets = next(batches)
            targets = [losses.Target(*(value.to(device) for value in vars(target).values())) for target in targets]
            x = pixels.to(device).permute(0, 3, 1, 2).float()
            with torch.set_grad_enabled(part >= plan.head_first):
                taps = net.taps(x)
            if part < plan.head_first:
                recent.append((taps, targets))
            else:
                recent.clear()
        points, strides = grid(taps[0].shape[2] * STRIDES[0], taps[0].shape[3] * STRIDES[0], device)
        parts = losses.losses(*net.read(taps), points, strides, targets)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(trunk + rest, 10.0)
        optimiser.step()
        follow(average, net, step, plan.average)
        step, seen = step + 1, seen + len(targets)
        spent = time.monotonic() - began
        part = spent / (60 * plan.minutes) if plan.minutes else step / plan.steps
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
        if step % 25 == 0:
            line = {name: round(float(value) / 25, 4) for name, value in sums.items()}
            speed = round(seen / (time.monotonic() - last), 2)
            with open(out / "log.jsonl", "a") as log:
                log.write(
                    json.dumps({"step": step, "part": round(part, 4), "pictures_per_second": speed, **line}) + "\n"
                )
            sums, seen, last = {}, 0, time.monotonic()
        if step % plan.keep_every == 0 or part >= 1:
            whole = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**whole, "step": step, "spent": spent}, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--rate", type=float, default=Plan.rate)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--sides", type=int, nargs="+", default=list(Recipe.sides))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    plan = replace(Plan(), steps=asked.steps, minutes=asked.minutes, rate=asked.rate)
    recipe = replace(Recipe(), batch=asked.batch, sides=tuple(asked.sides))
    run(asked.cache, asked.imagenet, asked.out, plan, recipe, asked.workers, asked.threads)
