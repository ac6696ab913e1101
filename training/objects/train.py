"""Train the detector on what `prepare` and `teachers` wrote.

    python -m training.objects.train --cache CACHE/taught --yolox yolox_nano.onnx --out RUN --minutes 60

Keeps `RUN/last.pt` (to go on from after an interruption) and `RUN/log.jsonl`. The run is as long as --steps says; with
--minutes it ends there instead, its learning rate following the clock. Uses a GPU where there is one.
"""

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from training.objects import losses
from training.objects.batches import Recipe, stream
from training.objects.network import Branch, Detector, corners_of, grid, start


@dataclass(frozen=True)
class Plan:
    """One run: `rate` is the highest learning rate of the branch `own`, of which its class layers take `classes` and
    the branch `everyday` takes `everyday`; it rises for `warm` of the run and falls to zero by a half cosine. Each
    `hold`th step teaches `everyday` too. The shared layers are left as they are."""

    steps: int = 4000
    minutes: float | None = None
    rate: float = 6e-4
    classes: float = 3.0
    everyday: float = 0.25
    hold: int = 4
    warm: float = 0.05
    decay: float = 0.02
    average: int = 250
    seed: int = 20261
    keep_every: int = 150


def rate_at(plan: Plan, part: float) -> float:
    """The learning rate after this part (0..1) of the run."""
    if part < plan.warm:
        return plan.rate * (0.02 + 0.98 * part / plan.warm)
    return plan.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (part - plan.warm) / (1 - plan.warm))))


@torch.no_grad()
def follow(average: Branch, net: Branch, step: int, over: int) -> None:
    """Exponential moving average of the weights, over about `over` steps."""
    share = max(1 / over, 1 / (step / 4 + 1))
    for kept, value in zip(average.parameters(), net.parameters(), strict=True):
        kept.lerp_(value, share)


def _groups(net: Detector, plan: Plan) -> list[dict[str, object]]:
    """The optimiser's groups: biases do not decay."""
    groups: list[dict[str, object]] = []
    for name, value in net.named_parameters():
        if name.startswith("lower"):
            value.requires_grad_(False)
            continue
        share = plan.everyday if name.startswith("everyday") else plan.classes if ".classes." in name else 1.0
        groups.append({"params": [value], "share": share, "weight_decay": plan.decay if value.ndim > 1 else 0.0})
    return groups


def run(cache: Path, yolox: Path, out: Path, plan: Plan, recipe: Recipe, workers: int = 1, threads: int = 2) -> None:
    """Train to the end of the plan, from `out/last.pt` where there is one."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "last.pt"
    net = start(yolox, plan.seed).to(device, memory_format=torch.channels_last)
    teacher = copy.deepcopy(net.everyday).requires_grad_(False)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(_groups(net, plan), betas=(0.9, 0.98))
    step, spent = 0, 0.0
    if kept.exists():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = int(state["step"]), float(state["spent"])
    batches = stream(cache, recipe, plan.seed + step, workers)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    last = time.monotonic()
    began = last - spent
    seen, part = 0, 0.0
    while part < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate_at(plan, part) * group["share"]
        pixels, own, hand = next(batches)
        points, strides = grid(pixels.shape[1], pixels.shape[2], device)
        with torch.no_grad():
            x = pixels.to(device).permute(0, 3, 1, 2).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
            fine = net.lower(x)
        logits, raw, _ = net.own(fine)
        boxes = corners_of(raw, points, strides)
        parts = losses.losses(logits.float(), boxes, points, strides, [target.to(device) for target in own])
        if step % plan.hold == 0:
            with torch.no_grad():
                wanted = teacher(fine)
            parts |= losses.held(net.everyday(fine), wanted, points, strides, [target.to(device) for target in hand])
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        for branch in (net.own, net.everyday):
            torch.nn.utils.clip_grad_norm_(branch.parameters(), 10.0)
        optimiser.step()
        follow(average.own, net.own, step, plan.average)
        if step % plan.hold == 0:
            follow(average.everyday, net.everyday, step // plan.hold, plan.average // plan.hold)
        step, seen = step + 1, seen + len(own)
        spent = time.monotonic() - began
        part = spent / (60 * plan.minutes) if plan.minutes else step / plan.steps
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
            counts[name] = counts.get(name, 0) + 1
        if step % 25 == 0:
            line = {name: round(float(value) / counts[name], 4) for name, value in sums.items()}
            speed = round(seen / (time.monotonic() - last), 2)
            with open(out / "log.jsonl", "a") as log:
                log.write(
                    json.dumps({"step": step, "part": round(part, 4), "pictures_per_second": speed, **line}) + "\n"
                )
            sums, counts, seen, last = {}, {}, 0, time.monotonic()
        if step % plan.keep_every == 0 or part >= 1:
            whole = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**whole, "step": step, "spent": spent}, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--yolox", type=Path, required=True)
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
    run(asked.cache, asked.yolox, asked.out, plan, recipe, asked.workers, asked.threads)
