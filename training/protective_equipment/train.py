"""Train the head network.

    python -m training.protective_equipment.train --heads HEADS.npz --imagenet efficientnet-lite0.pth --out RUN

Each batch takes every source in a fixed share, hats and bare heads of construction photos alike. Each of `RUNS` keeps
the averaged weights of its last steps, and `RUN/net.pt` is their mean (model soup, Wortsman et al. 2022). About 35
minutes on two cores; a GPU is used where there is one.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.faces.splits import TRAIN
from training.protective_equipment.augment import changed
from training.protective_equipment.hats import covered, donors, recoloured
from training.protective_equipment.network import ANSWERS, HeadNet, start
from training.protective_equipment.samples import Head, read

SHARES = {
    "hat": 0.19,
    "hat put on": 0.04,
    "helmet": 0.03,
    "bare": 0.13,
    "mask": 0.14,
    "wrong mask": 0.04,
    "no mask": 0.09,
    "mask crops": 0.06,
    "smoking-boxes": 0.05,
    "street-boxes": 0.02,
    "hats of other kinds": 0.10,
    "other hats seen": 0.04,
    "face-attributes": 0.05,
    "age-gender": 0.02,
    "nothing": 0.03,
    "no head seen": 0.01,
}
"""Of a batch; they need not sum to 1."""
RUNS = ((3000, SHARES), (5000, SHARES | {"hat put on": 0.06, "hats of other kinds": 0.12}))
"""Steps and shares of each run. Where they find as many hats, their mean takes fewer caps and bare heads for hats."""
RECOLOURED = 0.3
"""Share of the hard hats that get another colour."""
BATCH = 48
SEED = 20261


def shelves(heads: list[Head]) -> dict[str, list[Head]]:
    """The heads of SHARES' kinds, of the training side, and those whose hats are put on others."""
    own = [head for head in heads if head.side == TRAIN]

    def of(source: str, **answers: int) -> list[Head]:
        return [
            head
            for head in own
            if head.source == source and all(getattr(head, name) == value for name, value in answers.items())
        ]

    celeb = of("face-attributes")
    bare, hats = of("ppe-boxes", hat=0), of("ppe-boxes", hat=1)
    return {
        "to be moved": donors(hats),
        "hat": hats,
        "hat put on": [*bare, *celeb[len(celeb) // 4 :], *of("face-mask-boxes"), *of("smoking-boxes")],
        "helmet": of("seen", hat=1),
        "bare": bare,
        "mask": of("face-mask-boxes", covers=1),
        "wrong mask": of("face-mask-boxes", covers=0),
        "no mask": of("face-mask-boxes", mask=0),
        "mask crops": of("face-mask-crops"),
        "smoking-boxes": of("smoking-boxes"),
        "street-boxes": of("street-boxes"),
        "hats of other kinds": celeb[: len(celeb) // 6],
        "other hats seen": of("seen", hat=0, present=1),
        "face-attributes": celeb,
        "age-gender": of("age-gender"),
        "nothing": of("nothing"),
        "no head seen": of("seen", present=0),
    }


def batch(
    kinds: dict[str, list[Head]], shares: dict[str, float], generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops (N, 3, S, S), answers (N, 4) and boxes (N, 3, 4)."""
    names = generator.choice(list(shares), BATCH, p=np.array(list(shares.values())) / sum(shares.values()))
    crops, answers, boxes = [], [], []
    for name in names:
        shelf = kinds[name]
        head = shelf[int(generator.integers(len(shelf)))]
        if name == "hat put on":
            head = covered(head, kinds["to be moved"], generator)
        elif name == "hat" and generator.random() < RECOLOURED:
            head = recoloured(head, generator)
        pixels, places = changed(head, generator)
        if not head.present:
            places[:] = np.nan
        crops.append(pixels.transpose(2, 0, 1))
        answers.append([getattr(head, answer) for answer in ANSWERS])
        boxes.append(places)
    return torch.from_numpy(np.stack(crops)), torch.tensor(answers).float(), torch.from_numpy(np.stack(boxes))


def loss(logits: Tensor, found: Tensor, answers: Tensor, boxes: Tensor) -> Tensor:
    """Binary cross entropy of what is known, and GIoU with an L1 part of the boxes that are there."""
    known = answers >= 0
    entropy = functional.binary_cross_entropy_with_logits(logits, answers.clamp(min=0), reduction="none")
    weight = torch.tensor([0.5, 1.0, 1.0, 0.6], device=logits.device)
    total = (entropy * known * weight).sum() / len(logits)
    there = ~torch.isnan(boxes).any(dim=-1)
    a, b = found[there], boxes[there]
    if len(a):
        total = total + (1.2 * (1 - giou(a, b)).sum() + 2.0 * (a - b).abs().mean(dim=-1).sum()) / len(logits)
    return total


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of pairs (N, 4) (Rezatofighi et al. 2019)."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return shared / union - (around - union) / around


def run(heads: Path, imagenet: Path, out: Path, threads: int) -> None:
    """All of RUNS, and the mean of what they come to."""
    torch.set_num_threads(threads)
    kinds = shelves(read(heads))
    print({name: len(shelf) for name, shelf in kinds.items()}, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    each = [train(kinds, shares, imagenet, out / f"net-{n}.pt", steps) for n, (steps, shares) in enumerate(RUNS, 1)]
    torch.save(mean([net.state_dict() for net in each]), out / "net.pt")


def mean(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean weights of networks that began as the same one; what is counted in whole numbers as the first has it."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def train(kinds: dict[str, list[Head]], shares: dict[str, float], imagenet: Path, out: Path, steps: int) -> HeadNet:
    """One run to the end of its plan; the averaged network, kept as `out` from time to time."""
    torch.manual_seed(SEED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = start(imagenet).to(device).train()
    net.precision = torch.bfloat16
    average = copy.deepcopy(net)
    trunk = [value for value in net.blocks.parameters() if value.requires_grad]
    fresh = [*net.narrow.parameters(), *net.wide.parameters(), *net.last.parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": trunk, "base": 6e-4}, {"params": fresh, "base": 1.5e-3}], weight_decay=0.03
    )
    generator = np.random.default_rng(SEED)
    sums, began = 0.0, time.monotonic()
    for step in range(steps):
        rise = min(1.0, (step + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * rise * 0.5 * (1 + math.cos(math.pi * step / steps))
        crops, answers, boxes = (part.to(device) for part in batch(kinds, shares, generator))
        logits, found = net(crops)
        value = loss(logits, found, answers, boxes)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_([*trunk, *fresh], 5.0)
        optimiser.step()
        _follow(average, net, step)
        sums += float(value.detach())
        if (step + 1) % 50 == 0:
            speed = 50 * BATCH / (time.monotonic() - began)
            print(f"step {step + 1} loss {sums / 50:.3f} heads/s {speed:.0f}", flush=True)
            sums, began = 0.0, time.monotonic()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            torch.save(average.state_dict(), out)
    return average


@torch.no_grad()
def _follow(average: HeadNet, net: HeadNet, step: int) -> None:
    """Exponential moving average over about the last 300 steps."""
    share = max(1 / 300, 1 / (step + 1))
    for kept, value in zip(average.parameters(), net.parameters(), strict=True):
        kept.lerp_(value, share)
    for kept, value in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    run(asked.heads, asked.imagenet, asked.out, asked.threads)
