"""The face network: one trunk, a head for everything that is said of a face."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from openrek.vision.faces.align import SIZE
from training.faces.augment import MIRRORED
from training.faces.backbone import FROZEN, EfficientNetLite0
from training.faces.sources import BINARY, EMOTIONS

AGES = 101
"""Classes 0..100 years; who is older counts as 100."""
POINTS = 68
CELLS = 28
"""Side of the landmark maps."""
MEAN, SCALE = 127.0, 128.0
"""Pictures 0..255 become (x - MEAN) / SCALE, as the backbone was trained."""


@dataclass
class Heads:
    """Raw outputs for N faces."""

    binary: Tensor
    """(N, 8) logits in the order of `BINARY`."""
    age: Tensor
    """(N, 101) logits over years."""
    emotion: Tensor
    """(N, 7) logits in the order of `EMOTIONS`."""
    maps: Tensor
    """(N, 68, 28 * 28) logits over the places of each point."""
    points: Tensor
    """(N, 68, 2) pixels of the crop, x and y."""


class LandmarkHead(nn.Module):
    """A small feature pyramid, one map a point, and the maps' mean place (integral regression, Sun et al. 2018)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.at_8 = nn.Conv2d(40, width, 1)
        self.at_16 = nn.Conv2d(112, width, 1)
        self.at_32 = nn.Conv2d(320, width, 1)
        self.mix = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.maps = nn.Conv2d(2 * width, POINTS * 4, 1)
        cells = (torch.arange(CELLS) + 0.5) * (SIZE / CELLS) - 0.5
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        self.register_buffer("grid", torch.stack([x, y], dim=-1).reshape(-1, 2), persistent=False)
        self.grid: Tensor

    def forward(self, at_8: Tensor, at_16: Tensor, at_32: Tensor) -> tuple[Tensor, Tensor]:
        coarse = functional.interpolate(self.at_32(at_32), size=at_16.shape[2:], mode="bilinear", align_corners=True)
        middle = functional.relu(self.at_16(at_16) + coarse)
        x = functional.relu(self.at_8(at_8) + functional.interpolate(middle, scale_factor=2.0, mode="nearest"))
        x = functional.relu(self.widen(self.mix(x)))
        maps = functional.pixel_shuffle(self.maps(x), 2).flatten(2)
        return maps, functional.softmax(maps, dim=-1) @ self.grid


class FaceNet(nn.Module):
    """Aligned crops (N, 3, 112, 112), 0..255 -> `Heads`."""

    def __init__(self, dropout: float = 0.2, frozen: int = FROZEN) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0(frozen)
        self.dropout = nn.Dropout(dropout)
        self.attributes = nn.Linear(1280, len(BINARY) + AGES + len(EMOTIONS))
        self.landmarks = LandmarkHead()
        self.precision = torch.float32
        """Of the trunk; training sets bfloat16."""

    def forward(self, crops: Tensor, pointed: Tensor | None = None) -> Heads:
        """`pointed`: the rows that landmarks are wanted for (all by default)."""
        x = ((crops.float() - MEAN) / SCALE).to(self.precision).contiguous(memory_format=torch.channels_last)
        at_8, at_16, at_32, top = self.trunk(x)
        pooled = top.float().mean((2, 3))
        flat = self.attributes(self.dropout(pooled))
        binary, age, emotion = flat.split([len(BINARY), AGES, len(EMOTIONS)], dim=1)
        levels = (at_8, at_16, at_32) if pointed is None else (at_8[pointed], at_16[pointed], at_32[pointed])
        maps, points = self.landmarks(*(level.float() for level in levels))
        return Heads(binary, age, emotion, maps, points)


def both_ways(net: FaceNet, crops: Tensor) -> Heads:
    """Mean of what the network says of crops (N, 3, 112, 112) and of their mirror images; `maps` are the crops' own."""
    one, two = net(crops), net(crops.flip(3))
    mirrored = two.points[:, torch.from_numpy(MIRRORED)]
    mirrored = torch.stack([SIZE - 1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)
    return Heads(
        (one.binary + two.binary) / 2,
        (one.age + two.age) / 2,
        (one.emotion + two.emotion) / 2,
        one.maps,
        (one.points + mirrored) / 2,
    )


def start(imagenet: Path) -> FaceNet:
    """A network to train: ImageNet trunk, fresh heads. Seed torch before."""
    net = FaceNet()
    net.trunk.load_imagenet(imagenet)
    return net


def load(checkpoint: Path) -> FaceNet:
    """A trained network, in evaluation mode and float32."""
    net = FaceNet()
    net.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
    return net.eval()
