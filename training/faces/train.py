"""Train the face network on what `prepare` wrote.

    python -m training.faces.train --cache CACHE --imagenet efficientnet-lite0.pth --out RUN --steps 9000

Keeps `RUN/last.pt` (to go on from after an interruption) and `RUN/log.jsonl`. Uses a GPU where there is one.
"""

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.faces import losses
from training.faces.backbone import FROZEN
from training.faces.batches import Prepared, stream
from training.faces.model import FaceNet, start


@dataclass(frozen=True)
class Plan:
    """One run. `rate` is the highest learning rate, reached after `warm` of the steps and followed by a half cosine
    to zero."""

    steps: int = 9000
    rate: float = 8e-4
    warm: float = 0.06
    decay: float = 0.03
    seed: int = 20260
    frozen: int = FROZEN
    """Blocks of the trunk that are not trained; when going on, 4 makes a step a quarter cheaper."""
    worn: float = 1.0
    """Share of views that may be worn down: less towards the end lets the network settle on faces as they are."""
    keep_every: int = 250


def rate_at(plan: Plan, step: int) -> float:
    part = step / plan.steps
    if part < plan.warm:
        return plan.rate * (part / plan.warm)
    return plan.rate * 0.5 * (1 + math.cos(math.pi * (part - plan.warm) / (1 - plan.warm)))


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, step: int) -> None:
    """Exponential moving average of the weights, over about the last 500 steps."""
    share = max(1 / 500, 1 / (step + 1))
    for kept, value in zip(average.parameters(), net.parameters(), strict=True):
        if value.requires_grad:
            kept.lerp_(value, share)
    for kept, value in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(value)


def optimiser_for(net: nn.Module, decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW on what is trained; biases and normalisation do not decay."""
    learnt = [value for value in net.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in learnt if value.ndim > 1], "weight_decay": decay},
        {"params": [value for value in learnt if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=betas)


def keep(path: Path, net: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """What training goes on from, in place at once or not at all."""
    whole = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**whole, "step": step}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _begin(net: FaceNet, path: Path) -> FaceNet:
    """Start from the averaged weights of an earlier run."""
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["average"])
    return net


def _fresh(imagenet: Path, seed: int) -> FaceNet:
    torch.manual_seed(seed)
    return start(imagenet)


def run(
    cache: Path, imagenet: Path, out: Path, plan: Plan, workers: int = 1, threads: int = 2, first: Path | None = None
) -> None:
    """Train to the end of the plan, from `out/last.pt` where there is one.

    `first`: the `last.pt` of an earlier run to begin from; what it taught (`teach`) then stands in for unknown labels.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "last.pt"
    state = torch.load(kept, map_location="cpu", weights_only=True) if kept.exists() else None
    if state:
        net = FaceNet(frozen=plan.frozen)
        net.load_state_dict(state["net"])
    else:
        net = _begin(FaceNet(frozen=plan.frozen), first) if first else _fresh(imagenet, plan.seed)
    taught = losses.Taught.of(Prepared(cache).taught, device) if first else None
    net = net.to(device).train()
    net.precision = torch.bfloat16
    average = copy.deepcopy(net)
    learnt = [value for value in net.parameters() if value.requires_grad]
    optimiser = optimiser_for(net, plan.decay, (0.9, 0.99))
    step = 0
    if state:
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    batches = stream(cache, plan.seed + step, workers, plan.worn)
    sums: dict[str, Tensor] = {}
    began = time.monotonic()
    since = 0
    while step < plan.steps:
        batch = next(batches).to(device)
        for group in optimiser.param_groups:
            group["lr"] = rate_at(plan, step)
        parts = losses.losses(net, batch, taught)
        optimiser.zero_grad(set_to_none=True)
        losses.total(parts).backward()
        torch.nn.utils.clip_grad_norm_(learnt, 5.0)
        optimiser.step()
        follow(average, net, step)
        step, since = step + 1, since + len(batch.number)
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
        if step % 50 == 0:
            line = {name: round(float(value) / 50, 4) for name, value in sums.items()}
            speed = round(since / (time.monotonic() - began), 1)
            log(out / "log.jsonl", {"step": step, "faces_per_second": speed, **line})
            sums, since, began = {}, 0, time.monotonic()
        if step % plan.keep_every == 0 or step == plan.steps:
            keep(kept, net, average, optimiser, step)


def log(path: Path, line: dict[str, float]) -> None:
    """One more line."""
    with open(path, "a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--rate", type=float, default=Plan.rate)
    parser.add_argument("--frozen", type=int, default=Plan.frozen)
    parser.add_argument("--worn", type=float, default=Plan.worn)
    parser.add_argument("--first", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    plan = Plan(steps=asked.steps, rate=asked.rate, frozen=asked.frozen, worn=asked.worn)
    run(asked.cache, asked.imagenet, asked.out, plan, asked.workers, asked.threads, asked.first)
