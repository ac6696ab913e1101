"""The head network: what is on a head, and where.

The first eleven blocks of EfficientNet-Lite0 (ImageNet weights to start from), a small layer over their last map, and
one linear layer.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.faces.backbone import EfficientNetLite0, convolve

SIDE = 96
CELLS = SIDE // 16
BLOCKS = 11
FROZEN = 5
"""The stem and this many blocks stay as they were on ImageNet: they are most of the work at this size."""
ANSWERS = ("present", "hat", "mask", "covers")
BOXES = ("head", "hat_box", "mask_box")
MEAN, SCALE = 127.0, 128.0


class HeadNet(nn.Module):
    """Crops (N, 3, SIDE, SIDE), 0..255 -> logits (N, 4) of ANSWERS and boxes (N, 3, 4) xyxy of BOXES in shares of the
    crop."""

    def __init__(self, width: int = 64, hidden: int = 160, dropout: float = 0.3) -> None:
        super().__init__()
        whole = EfficientNetLite0()
        self.stem, self.norm, self.blocks = whole._conv_stem, whole._bn0, whole._blocks[:BLOCKS]
        self.narrow = nn.Conv2d(112, width, 1)
        self.wide = nn.Linear(width * CELLS * CELLS, hidden)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(hidden + 112, len(ANSWERS) + 4 * len(BOXES))
        self.precision = torch.float32
        """Of the trunk; training sets bfloat16."""
        for module in (self.stem, self.norm, *self.blocks[:FROZEN]):
            module.requires_grad_(False)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        x = ((crops.float() - MEAN) / SCALE).to(self.precision).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            x = functional.relu6(convolve(x, self.stem, self.norm))
            for block in self.blocks[:FROZEN]:
                x = block(x)
        for block in self.blocks[FROZEN:]:
            x = block(x)
        x = x.float()
        places = functional.relu(self.narrow(x)).flatten(1)
        both = torch.cat([functional.relu(self.wide(self.dropout(places))), x.mean((2, 3))], dim=1)
        out = self.last(self.dropout(both))
        return out[:, : len(ANSWERS)], self.boxes(out[:, len(ANSWERS) :])

    @staticmethod
    def boxes(raw: Tensor) -> Tensor:
        """Centre and size, so that a box is never inside out."""
        raw = raw.reshape(-1, len(BOXES), 4)
        centre, half = raw[..., :2] * 0.25 + 0.5, torch.exp(raw[..., 2:].clamp(-3, 2)) * 0.2
        return torch.cat([centre - half, centre + half], dim=-1)

    def train(self, mode: bool = True) -> "HeadNet":
        """The frozen blocks keep their statistics in training too."""
        super().train(mode)
        for module in (self.norm, *self.blocks[:FROZEN]):
            module.eval()
        return self


def start(imagenet: Path) -> HeadNet:
    """A network to train. Seed torch before."""
    whole = EfficientNetLite0()
    whole.load_imagenet(imagenet)
    net = HeadNet()
    net.stem.load_state_dict(whole._conv_stem.state_dict())
    net.norm.load_state_dict(whole._bn0.state_dict())
    net.blocks.load_state_dict(whole._blocks[:BLOCKS].state_dict())
    return net


def load(path: Path) -> HeadNet:
    net = HeadNet()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()
