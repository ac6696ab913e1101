"""A second opinion on expression, smile and open mouth: a small network on grey crops of 56 pixels.

    python -m training.faces.expression --cache CACHE --out RUN

The labelled expressions are 48 grey pixels wide and the labelled smiles 89, so 56 pixels hold what they show; plain
convolutions learn more from them than the trunk's separable ones, which see colour and four times the area for all the
other heads. `evaluate --second` fits how much each of the two is believed, `export_second` writes the file.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.faces.batches import Prepared
from training.faces.losses import SMILING, WRONG
from training.faces.prepare import MARGIN, SIDE
from training.faces.sources import BINARY, EMOTIONS, SETS
from training.faces.splits import TRAIN, TUNE

SMALL = 56
SAID = ("smile", "mouth_open")
"""Binary attributes that it tells beside the expressions."""
COLUMNS = [BINARY.index(name) for name in SAID]
_ROOM = SIDE // 2
_EDGE = MARGIN // 2
_SHARES = {"emotion": 72, "face-attributes": 36, "age-gender": 20}
STEPS, SETTLING = 8000, 2000
"""Steps on mixed and worn views; steps after them on plain ones, at a lower rate."""
_RARE = 2.0
"""How much more often a disgusted face is drawn."""


class Residual(nn.Module):
    """Two 3 x 3 convolutions at half the size, beside a shortcut."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.short = nn.Sequential(nn.Conv2d(before, width, 1, 2, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.layers(x) + self.short(x))


class ExpressionNet(nn.Module):
    """Grey crops (N, 1, 56, 56), 0..255 -> logits (N, 9): `EMOTIONS`, then `SAID`."""

    def __init__(self, dropout: float = 0.4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 24, 3, 1, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.blocks = nn.Sequential(Residual(24, 64), Residual(64, 128), Residual(128, 256))
        self.dropout = nn.Dropout(dropout)
        self.top = nn.Linear(256, len(EMOTIONS) + len(SAID))

    def forward(self, crops: Tensor) -> Tensor:
        x = self.blocks(self.stem(standard(crops).contiguous(memory_format=torch.channels_last)))
        return torch.as_tensor(self.top(self.dropout(x.float().mean((2, 3)))))


def standard(crops: Tensor) -> Tensor:
    """Each picture with mean 0 and standard deviation 1."""
    x = crops.float()
    middle = x.mean((2, 3), keepdim=True)
    spread = (x - middle).square().mean((2, 3), keepdim=True).sqrt()
    return torch.as_tensor((x - middle) / (spread + 4.0))


def grey(crops: Tensor) -> Tensor:
    """Colour crops (N, 3, 112, 112), 0..255 -> (N, 1, 56, 56): luma (BT.601), two by two."""
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return functional.avg_pool2d((crops.float() * weights).sum(1, keepdim=True), 2)


@dataclass
class Small:
    """All faces at half size with room around: (N, 2, 68, 68) uint8, grey, and 255 where the picture reaches."""

    pixels: NDArray[np.uint8]

    @classmethod
    def of(cls, data: Prepared, kept: Path) -> "Small":
        """Made once, in `kept`."""
        if not kept.exists():
            pixels = np.zeros((len(data.crops), 2, _ROOM, _ROOM), np.uint8)
            for number, crop in enumerate(data.crops):
                luma = cv2.cvtColor(np.asarray(crop), cv2.COLOR_RGB2GRAY)
                pixels[number, 0] = cv2.resize(luma, (_ROOM, _ROOM), interpolation=cv2.INTER_AREA)
                inside = np.zeros((SIDE, SIDE), np.uint8)
                cv2.fillPoly(inside, [data.labels["frame"][number].round().astype(np.int32)], 255)
                pixels[number, 1] = inside[::2, ::2]
            np.save(kept, pixels)
        return cls(np.load(kept))

    def plain(self, numbers: NDArray[np.int64]) -> Tensor:
        """(n, 1, 56, 56) as the service sees them: black beyond the picture."""
        inner = slice(_EDGE, _EDGE + SMALL)
        both = torch.from_numpy(self.pixels[numbers][:, :, inner, inner]).float()
        return both[:, :1] * both[:, 1:] / 255


def views(both: Tensor, worn: bool = True) -> Tensor:
    """(n, 2, 68, 68) uint8 -> (n, 1, 56, 56) float training views: moved, mirrored, relit; `worn`: some also blurred,
    noisy or partly hidden."""
    count = len(both)
    angle, scale = torch.randn(count) * 0.12, torch.exp(torch.randn(count) * 0.07)
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.randn(count, 2) * (1.4 * 2 / _ROOM)
    reach = SMALL / _ROOM / scale
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


def load(run: Path) -> ExpressionNet:
    """The trained network, in evaluation mode."""
    net = ExpressionNet()
    net.load_state_dict(torch.load(run / "expression.pt", map_location="cpu", weights_only=True)["average"])
    return net.eval()


@torch.no_grad()
def read(net: ExpressionNet, small: Small, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 9) logits, each the mean of the face's and its mirror image's."""
    net.eval()
    parts = []
    for start in range(0, len(numbers), 256):
        x = small.plain(numbers[start : start + 256])
        with torch.autocast("cpu", torch.bfloat16):
            parts.append((net(x) + net(x.flip(3))).float().numpy() / 2)
    return np.concatenate(parts).astype(np.float64)


def accuracy(said: NDArray[np.float64], data: Prepared, numbers: NDArray[np.int64]) -> dict[str, float]:
    """Shares that are right among the labelled of these faces."""
    felt = data.labels["emotion"][numbers]
    binary = data.labels["binary"][numbers][:, COLUMNS]
    found = {"emotion": float((said[:, : len(EMOTIONS)].argmax(1) == felt)[felt >= 0].mean())}
    for n, name in enumerate(SAID):
        known = binary[:, n] >= 0
        found[name] = float(((said[known, len(EMOTIONS) + n] > 0) == (binary[known, n] == 1)).mean())
    return found


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
    decayed = [value for value in net.parameters() if value.ndim > 1]
    others = [value for value in net.parameters() if value.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}])
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
        step, total = step + 1, total + float(value)
        with torch.no_grad():
            slow = max(1 / 500, 1 / step)
            for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(now, slow)
            for mean, now in zip(average.buffers(), net.buffers(), strict=True):
                mean.copy_(now)
        if step % 250 == 0 or step == steps + SETTLING:
            line = {"step": step, "loss": round(total / 250, 4), "seconds": round(time.monotonic() - began)}
            line |= {name: round(found, 4) for name, found in accuracy(read(average, small, tune), data, tune).items()}
            with open(out / "expression.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            whole = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**whole, "step": step}, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)
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
