"""The detector: EfficientNet-Lite0, a small path-aggregation neck, and one anchor-free head for each of three strides.

The form follows YOLOX and PP-YOLOE (one box and one score for each class at each cell; Ge et al. 2021, Xu et al. 2022,
arXiv:2203.16250) with depthwise convolutions as in PicoDet (Yu et al. 2021, arXiv:2111.00902). The trunk's statistics
stay those of ImageNet.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.faces.backbone import EfficientNetLite0, convolve

STRIDES = (8, 16, 32)
TRUNK = (40, 112, 320)


class Conv(nn.Module):
    """Convolution, normalisation, hard swish; or a depthwise one followed by a pointwise one."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, depthwise: bool = False) -> None:
        super().__init__()
        self.depth = self.depth_norm = None
        if depthwise:
            self.depth = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
            self.depth_norm = nn.BatchNorm2d(channels, momentum=0.03)
            kernel = stride = 1
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        if self.depth is not None and self.depth_norm is not None:
            x = functional.hardswish(convolve(x, self.depth, self.depth_norm))
        return functional.hardswish(convolve(x, self.conv, self.norm))


class Head(nn.Module):
    """Class logits and box sides for one stride."""

    def __init__(self, width: int, classes: int, kernel: int) -> None:
        super().__init__()
        self.shared = Conv(width, width, kernel, depthwise=True)
        self.class_tower = Conv(width, width, kernel, depthwise=True)
        self.box_tower = Conv(width, width, kernel, depthwise=True)
        self.classes = nn.Conv2d(width, classes, 1)
        self.sides = nn.Conv2d(width, 4, 1)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.bias, -math.log((1 - 0.01) / 0.01))
        nn.init.normal_(self.sides.weight, std=0.01)
        nn.init.constant_(self.sides.bias, math.log(2.5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, H*W, C) and the logarithms of the sides' distances in strides (N, H*W, 4)."""
        x = self.shared(x)
        logits = _plain(self.classes, self.class_tower(x))
        sides = _plain(self.sides, self.box_tower(x))
        return logits.flatten(2).transpose(1, 2), sides.flatten(2).transpose(1, 2)


def _plain(conv: nn.Conv2d, x: Tensor) -> Tensor:
    assert conv.bias is not None
    return functional.conv2d(x, conv.weight.to(x.dtype), conv.bias.to(x.dtype))


class Detector(nn.Module):
    """Pixels (N, 3, H, W) 0..255 RGB, sides in multiples of 32 -> logits (N, M, C), boxes (N, M, 4) xyxy in pixels, for
    all cells: stride 8 first, row by row."""

    precision = torch.float32

    def __init__(self, classes: int, width: int = 96) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        del self.trunk._conv_head, self.trunk._bn1
        self.lateral = nn.ModuleList(Conv(channels, width) for channels in TRUNK)
        self.down = nn.ModuleList(Conv(2 * width, width, kernel, depthwise=True) for kernel in (3, 5))
        self.reduce = nn.ModuleList(Conv(width, width, kernel, 2, depthwise=True) for kernel in (3, 5))
        self.up = nn.ModuleList(Conv(2 * width, width, 5, depthwise=True) for _ in range(2))
        self.heads = nn.ModuleList(Head(width, classes, kernel) for kernel in (3, 5, 5))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.taps(pixels))

    def read(self, taps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What neck and heads make of the trunk's maps."""
        fine, middle, coarse = (layer(map_) for layer, map_ in zip(self.lateral, taps, strict=True))
        middle_down = self.down[1](torch.cat([_double(coarse), middle], 1))
        fine_down = self.down[0](torch.cat([_double(middle_down), fine], 1))
        middle_up = self.up[0](torch.cat([self.reduce[0](fine_down), middle_down], 1))
        coarse_up = self.up[1](torch.cat([self.reduce[1](middle_up), coarse], 1))
        logits, boxes = [], []
        for stride, head, map_ in zip(STRIDES, self.heads, (fine_down, middle_up, coarse_up), strict=True):
            scores, sides = head(map_)
            reach = sides.float().clamp(-4, 5).exp() * stride
            points = cells(map_.shape[2], map_.shape[3], stride, map_.device)
            boxes.append(torch.cat([points - reach[..., :2], points + reach[..., 2:]], 2))
            logits.append(scores)
        return torch.cat(logits, 1).float(), torch.cat(boxes, 1)

    def taps(self, pixels: Tensor) -> list[Tensor]:
        """The trunk's maps at the three strides."""
        x = ((pixels - 127.0) / 128.0).to(self.precision).contiguous(memory_format=torch.channels_last)
        trunk, taps = self.trunk, []
        with torch.no_grad():
            x = functional.relu6(convolve(x, trunk._conv_stem, trunk._bn0))
        for number, block in enumerate(trunk._blocks):
            with torch.set_grad_enabled(number >= FROZEN and torch.is_grad_enabled()):
                x = block(x)
            if number in (4, 10, 15):
                taps.append(x)
        return taps

    def train(self, mode: bool = True) -> "Detector":
        """The trunk keeps its statistics in training too."""
        super().train(mode)
        for module in self.trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


FROZEN = 5
"""The stem and this many blocks of the trunk are not trained."""


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def cells(rows: int, columns: int, stride: int, device: torch.device) -> Tensor:
    """Centres (rows * columns, 2) of the cells, in pixels."""
    y = (torch.arange(rows, device=device) + 0.5) * stride
    x = (torch.arange(columns, device=device) + 0.5) * stride
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], 1)


def start(classes: int, imagenet: Path, seed: int) -> Detector:
    """A detector whose trunk has the ImageNet weights; raises RuntimeError where one is missing."""
    torch.manual_seed(seed)
    net = Detector(classes)
    state = torch.load(imagenet, map_location="cpu", weights_only=True)
    missing, _ = net.trunk.load_state_dict(state, strict=False)
    if missing:
        raise RuntimeError(f"{imagenet} lacks {len(missing)} weights, the first is {missing[0]}")
    for block in [net.trunk._conv_stem, net.trunk._bn0, *net.trunk._blocks[:FROZEN]]:
        block.requires_grad_(False)
    for module in net.trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return net
