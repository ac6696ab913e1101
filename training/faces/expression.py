"""A second opinion on expression, smile and open mouth: a small network on grey crops of 56 pixels.

The labelled expressions are 48 grey pixels wide and the labelled smiles 89, so 56 pixels hold what they show; plain
convolutions learn more from them than the trunk's separable ones, which see colour and four times the area for all the
other heads. `evaluate --second` fits how much each of the two is believed, `export_second` writes the file.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.faces.batches import Prepared
from training.faces.prepare import MARGIN, SIDE
from training.faces.sources import BINARY, EMOTIONS

SMALL = 56
SAID = ("smile", "mouth_open")
"""Binary attributes that it tells beside the expressions."""
COLUMNS = [BINARY.index(name) for name in SAID]
ROOM = SIDE // 2
_EDGE = MARGIN // 2


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
            pixels = np.zeros((len(data.crops), 2, ROOM, ROOM), np.uint8)
            for number, crop in enumerate(data.crops):
                luma = cv2.cvtColor(np.asarray(crop), cv2.COLOR_RGB2GRAY)
                pixels[number, 0] = cv2.resize(luma, (ROOM, ROOM), interpolation=cv2.INTER_AREA)
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
