"""A small network that tells open eyes from closed ones, on 32-pixel patches around one eye.

    python -m training.faces.eyes --data DATA --cache CACHE --out RUN

The labelled set shows sharp close-ups, the service sees a few dozen pixels cut out of a face. So the close-ups are
worn down, and eyes of the aligned faces join in: first those with marked lids and, weakly as open, those of the
attribute set; then, in a second training, eyes of all face sets that the first network is sure of (self-training).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from openrek.vision.faces.align import TEMPLATE
from training.faces.augment import recolour, wear
from training.faces.batches import Prepared
from training.faces.prepare import MARGIN
from training.faces.sources import BINARY, read_eyes
from training.faces.splits import TEST, TRAIN, difference_hash, groups, split

SIDE = 32
REACH = 0.78
"""Side of a patch in eye distances."""
ROOM = 1.4
"""How much more than that is kept around the eyes of faces, for moving."""


class EyeNet(nn.Module):
    """Patches (N, 3, 32, 32), 0..255 -> logits (N,) that the eye is open."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (96, 2)):
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers)
        self.top = nn.Linear(before, 1)

    def forward(self, patches: Tensor) -> Tensor:
        x = self.layers((patches.float() - 127) / 128).mean((2, 3))
        return torch.as_tensor(self.top(functional.dropout(x, 0.2, self.training))[:, 0])


@dataclass
class Eyes:
    """Patches (N, S, S, 3) with room around them, whether each is open (0..1) and how much it weighs."""

    patches: NDArray[np.uint8]
    opened: NDArray[np.float32]
    weight: NDArray[np.float32]


def close_ups(data: Path) -> tuple[Eyes, NDArray[np.uint8]]:
    """The labelled set, with the side of the split of each patch."""
    pictures, opened, names = read_eyes(data)
    hashes = np.stack([difference_hash(picture) for picture in pictures])
    sides = split(groups(hashes, names), names, test=0.25)
    return Eyes(pictures, opened.astype(np.float32), np.ones(len(names), np.float32)), sides


def lid_opening(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Height over width of both eyes (N, 2) by the 68 marked points (N, 68, 2) (Soukupová & Čech 2016)."""
    ratios = []
    for first in (36, 42):
        eye = points[:, first : first + 6]
        height = np.linalg.norm(eye[:, 1] - eye[:, 5], axis=1) + np.linalg.norm(eye[:, 2] - eye[:, 4], axis=1)
        ratios.append(height / 2 / np.linalg.norm(eye[:, 0] - eye[:, 3], axis=1))
    return np.stack(ratios, axis=1)


def patch(crop: NDArray[np.uint8], middle: NDArray[np.float32], reach: float, side: int) -> NDArray[np.uint8]:
    """The square of `reach` pixels around `middle`, at `side` pixels."""
    scale = side / reach
    matrix = np.array([[scale, 0, side / 2 - scale * middle[0]], [0, scale, side / 2 - scale * middle[1]]], np.float32)
    return np.asarray(cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def marked_eyes(data: Prepared, side: int) -> Eyes:
    """Eyes of the faces with marked lids: closed where the lids touch, open where they are clearly apart."""
    patches, opened = [], []
    numbers = data.members("landmarks", side)
    points = data.labels["landmarks"][numbers]
    ratios = lid_opening(points)
    for row, number in enumerate(numbers):
        for eye, first in enumerate((36, 42)):
            ratio = float(ratios[row, eye])
            if not 0.13 < ratio < 0.2:
                patches.append(_around(data.crops[number], points[row, first : first + 6].mean(axis=0)))
                opened.append(float(ratio >= 0.2))
    return Eyes(np.stack(patches), np.array(opened, np.float32), np.ones(len(opened), np.float32))


def attribute_eyes(data: Prepared, side: int, most: int = 3000) -> Eyes:
    """Eyes of the attribute set's faces without dark glasses, weakly taken as open: nearly all of them are."""
    numbers = data.members("face-attributes", side)
    bare = data.labels["binary"][numbers, BINARY.index("sunglasses")] == 0
    patches = [_around(data.crops[n], eye) for n in numbers[bare][:most] for eye in TEMPLATE[:2] + MARGIN]
    return Eyes(np.stack(patches), np.full(len(patches), 0.95, np.float32), np.full(len(patches), 0.3, np.float32))


@torch.no_grad()
def judged_eyes(data: Prepared, net: EyeNet, random: np.random.Generator, most: int = 4000) -> Eyes:
    """Eyes of unlabelled training faces of three sets with what `net` says of them, where it is sure of the face's
    two eyes.

    Open at a half of the weight; closed ones, which are few, at full weight.
    """
    patches, opened = [], []
    for name in ("face-attributes", "age-gender", "emotion"):
        numbers = data.members(name, TRAIN)
        shown = data.labels["trusted"][numbers] & (data.labels["binary"][numbers, BINARY.index("sunglasses")] != 1)
        for number in random.permutation(numbers[shown])[:most]:
            pair = np.stack([_around(data.crops[number], eye) for eye in TEMPLATE[:2] + MARGIN])
            chance = float(torch.sigmoid(net(middle_of(pair, 1 / ROOM))).mean())
            if chance < 0.06 or chance > 0.6:
                patches.append(pair)
                opened += [float(chance > 0.5)] * 2
    truth = np.array(opened, np.float32)
    return Eyes(np.concatenate(patches), truth, np.where(truth > 0.5, 0.5, 1.0).astype(np.float32))


def _around(crop: NDArray[np.uint8], middle: NDArray[np.float32]) -> NDArray[np.uint8]:
    return patch(np.asarray(crop), middle, float(TEMPLATE[1, 0] - TEMPLATE[0, 0]) * REACH * ROOM, 48)


def view(picture: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """One training view of a patch with room around it: moved, recoloured, often as small as a face's eye."""
    side = picture.shape[0]
    angle, reach = random.normal(0, 9), side * float(np.exp(random.normal(-0.2, 0.14)))
    middle = (side / 2 + random.normal(0, side * 0.05), side / 2 + random.normal(0, side * 0.05))
    matrix = cv2.getRotationMatrix2D(middle, angle, SIDE / reach)
    matrix[:, 2] += SIDE / 2 - np.array(middle)
    if random.random() < 0.7:
        small = int(random.uniform(9, 30))
        picture = cv2.resize(cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA), (side, side))
    crop = cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    if random.random() < 0.5:
        crop = crop[:, ::-1]
    return wear(recolour(np.ascontiguousarray(crop), random), random)


def batch_of(eyes: Eyes, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    chosen = random.integers(len(eyes.patches), size=size)
    crops = np.stack([view(eyes.patches[number], random) for number in chosen]).transpose(0, 3, 1, 2)
    return (
        torch.from_numpy(np.ascontiguousarray(crops)),
        torch.from_numpy(eyes.opened[chosen]),
        torch.from_numpy(eyes.weight[chosen]),
    )


def middle_of(pictures: NDArray[np.uint8], share: float) -> Tensor:
    """The patches as the network sees them in service."""
    crops = [
        patch(picture, np.full(2, len(picture) / 2, np.float32), len(picture) * share, SIDE) for picture in pictures
    ]
    return torch.from_numpy(np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2)))


def join(parts: list[Eyes]) -> Eyes:
    return Eyes(
        np.concatenate([part.patches for part in parts]),
        np.concatenate([part.opened for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def select(eyes: Eyes, chosen: NDArray[np.bool_]) -> Eyes:
    return Eyes(eyes.patches[chosen], eyes.opened[chosen], eyes.weight[chosen])


def fit(sources: list[tuple[Eyes, int]], steps: int, random: np.random.Generator) -> EyeNet:
    """A network trained on batches that take so many views of each source."""
    net = EyeNet().train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        parts = [batch_of(eyes, count, random) for eyes, count in sources]
        crops, opened, weight = (torch.cat(columns) for columns in zip(*parts, strict=True))
        loss = functional.binary_cross_entropy_with_logits(net(crops), opened * 0.96 + 0.02, weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def run(data: Path, cache: Path, out: Path, steps: int = 2500, seed: int = 7) -> dict[str, float]:
    """Train twice, the second time also on what the first network is sure of; measure on the test sides.

    Writes `out/eyes.pt` and `out/eyes.json`.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    faces = Prepared(cache)
    close, sides = close_ups(data)
    labelled = select(close, sides == TRAIN)
    marked = marked_eyes(faces, TRAIN)
    shut = select(marked, marked.opened < 0.5)
    weak = attribute_eyes(faces, TRAIN)
    first = fit([(labelled, 40), (join([marked, weak]), 20), (shut, 6)], steps, random)
    judged = judged_eyes(faces, first, random)
    closed = select(judged, judged.opened < 0.5)
    net = fit([(labelled, 32), (marked, 8), (shut, 5), (judged, 16), (closed, 8)], steps, random)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), out / "eyes.pt")
    told = measure(net, select(close, sides == TEST), marked_eyes(faces, TEST), attribute_eyes(faces, TEST))
    told["judged_open"], told["judged_closed"] = float((judged.opened > 0.5).sum()), float(len(closed.opened))
    (out / "eyes.json").write_text(json.dumps(told, indent=1))
    return told


@torch.no_grad()
def measure(net: EyeNet, close: Eyes, marked: Eyes, weak: Eyes) -> dict[str, float]:
    """Accuracy on close-ups, sharp and shrunk to 12 pixels, and on the marked eyes of faces."""
    small = [cv2.resize(cv2.resize(p, (12, 12), interpolation=cv2.INTER_AREA), (64, 64)) for p in close.patches]
    told = {"close_ups": float(len(close.opened)), "marked_eyes": float(len(marked.opened))}
    sets = {
        "sharp": (close.patches, close.opened, 0.85),
        "shrunk": (np.stack(small), close.opened, 0.85),
        "faces": (marked.patches, marked.opened, 1 / ROOM),
    }
    for name, (patches, opened, share) in sets.items():
        said = (net(middle_of(patches, share)) > 0).numpy()
        truth = opened > 0.5
        told[f"{name}_accuracy"] = float((said == truth).mean())
        told[f"{name}_open_recall"] = float(said[truth].mean())
        told[f"{name}_closed_recall"] = float((~said)[~truth].mean()) if (~truth).any() else float("nan")
    told["attribute_faces_said_closed"] = float((net(middle_of(weak.patches, 1 / ROOM)) <= 0).float().mean())
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2500)
    asked = parser.parse_args()
    print(json.dumps(run(asked.data, asked.cache, asked.out, asked.steps), indent=1))
