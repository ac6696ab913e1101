"""The detector: YOLOX-Nano's form, its lower trunk shared by two branches.

YOLOX-Nano (Ge et al. 2021, arXiv:2107.08430; Apache-2.0) is a depthwise CSPDarknet, a path-aggregation neck and
decoupled heads at strides 8, 16 and 32. Here the layers up to stride 8 are shared, and from there two copies of the
rest go on: the branch `everyday` for COCO's 80 classes, and the branch `own` for the classes that this project's sets
add. Both start from YOLOX-Nano's weights (`start`), whose normalisation is folded into the convolutions; none is left
to train.
"""

import math
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.faces.backbone import depthwise
from training.objects.classes import COCO, OWN_BRANCH

STRIDES = (8, 16, 32)
WIDTHS = (64, 128, 256)
"""Channels of the maps at these strides."""

HEAD = 64


class Conv(nn.Module):
    """Convolution and SiLU, in the precision of what comes in."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        pad = (kernel - 1) // 2
        self.conv = nn.Conv2d(channels, out, kernel, stride, pad, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(plain(self.conv, x))


def plain(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution in the precision of `x`; depthwise gradients without the slow kernels of a processor."""
    assert conv.bias is not None
    weight, bias = conv.weight.to(x.dtype), conv.bias.to(x.dtype)
    if conv.groups > 1 and torch.is_grad_enabled() and weight.requires_grad and not x.is_cuda:
        return depthwise(x, weight, bias, conv.stride[0])
    return functional.conv2d(x, weight, bias, conv.stride, conv.padding, 1, conv.groups)


def pair(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution."""
    return nn.Sequential(Conv(channels, channels, 3, stride, channels), Conv(channels, out))


class Bottleneck(nn.Module):
    def __init__(self, width: int, skips: bool) -> None:
        super().__init__()
        self.steps = nn.Sequential(Conv(width, width), pair(width, width))
        self.skips = skips

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.steps(x)
        return x + y if self.skips else y


class Partial(nn.Module):
    """Cross-stage partial layer: half of the channels go through bottlenecks, half around them."""

    def __init__(self, channels: int, out: int, depth: int = 1, skips: bool = True) -> None:
        super().__init__()
        self.through, self.around = Conv(channels, out // 2), Conv(channels, out // 2)
        self.steps = nn.Sequential(*(Bottleneck(out // 2, skips) for _ in range(depth)))
        self.join = Conv(out, out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.join(torch.cat([self.steps(self.through(x)), self.around(x)], 1)))


class Pyramid(nn.Module):
    """Spatial pyramid pooling over 5, 9 and 13 cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow, self.join = Conv(channels, channels // 2), Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(x)
        # 9 and 13 cells are 5 cells over 5 and over 9
        pools = [x]
        for _ in range(3):
            pools.append(functional.max_pool2d(pools[-1], 5, 1, 2))
        return torch.as_tensor(self.join(torch.cat(pools, 1)))


class Level(nn.Module):
    """The head of one stride: class logits, the box and, where the branch has it, an objectness.

    The box is YOLOX's: the centre's offset from the cell's origin and the logarithms of the sides, in strides.
    """

    def __init__(self, channels: int, classes: int, objectness: bool) -> None:
        super().__init__()
        self.stem = Conv(channels, HEAD)
        self.class_tower = nn.Sequential(pair(HEAD, HEAD), pair(HEAD, HEAD))
        self.classes = nn.Conv2d(HEAD, classes, 1)
        self.box_tower = nn.Sequential(pair(HEAD, HEAD), pair(HEAD, HEAD))
        self.box = nn.Conv2d(HEAD, 4, 1)
        self.objectness = nn.Conv2d(HEAD, 1, 1) if objectness else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Class logits (N, cells, C), box (N, cells, 4) and objectness logits (N, cells, 1) or None."""
        x = self.stem(x)
        boxes = self.box_tower(x)
        sure = None if self.objectness is None else rows(plain(self.objectness, boxes))
        return rows(plain(self.classes, self.class_tower(x))), rows(plain(self.box, boxes)), sure


def rows(map_: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H * W, C)."""
    return map_.flatten(2).transpose(1, 2)


class Branch(nn.Module):
    """From the map at stride 8 to classes and boxes: the upper trunk, the neck and the heads."""

    def __init__(self, classes: int, objectness: bool) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.trunk_16 = nn.Sequential(pair(fine, middle, 2), Partial(middle, middle, 3))
        self.trunk_32 = nn.Sequential(pair(middle, coarse, 2), Pyramid(coarse), Partial(coarse, coarse, 1, skips=False))
        self.lateral_32 = Conv(coarse, middle)
        self.down_16 = Partial(2 * middle, middle, skips=False)
        self.lateral_16 = Conv(middle, fine)
        self.down_8 = Partial(2 * fine, fine, skips=False)
        self.reduce_8 = pair(fine, fine, 2)
        self.up_16 = Partial(2 * fine, middle, skips=False)
        self.reduce_16 = pair(middle, middle, 2)
        self.up_32 = Partial(2 * middle, coarse, skips=False)
        self.levels = nn.ModuleList(Level(width, classes, objectness) for width in WIDTHS)

    def forward(self, fine: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Class logits (N, M, C), raw boxes (N, M, 4) and objectness logits (N, M, 1) or None, stride 8 first."""
        middle = self.trunk_16(fine)
        lateral_32 = self.lateral_32(self.trunk_32(middle))
        lateral_16 = self.lateral_16(self.down_16(torch.cat([_double(lateral_32), middle], 1)))
        down_8 = self.down_8(torch.cat([_double(lateral_16), fine], 1))
        up_16 = self.up_16(torch.cat([self.reduce_8(down_8), lateral_16], 1))
        up_32 = self.up_32(torch.cat([self.reduce_16(up_16), lateral_32], 1))
        logits, boxes, sure = zip(
            *(level(map_) for level, map_ in zip(self.levels, (down_8, up_16, up_32), strict=True)), strict=True
        )
        return torch.cat(logits, 1), torch.cat(boxes, 1), None if sure[0] is None else torch.cat(sure, 1)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Lower(nn.Module):
    """Pixels (N, 3, H, W) 0..255 RGB, sides in multiples of 32 -> the map at stride 8, 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        # YOLOX's focus layer and the 3x3 convolution behind it are one 6x6 convolution of stride 2
        self.stem = Conv(3, 16, 6, 2)
        self.trunk_4 = nn.Sequential(pair(16, 32, 2), Partial(32, 32))
        self.trunk_8 = nn.Sequential(pair(32, 64, 2), Partial(64, 64, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.as_tensor(self.trunk_8(self.trunk_4(self.stem(pixels))))


class Detector(nn.Module):
    """The shared layers and the two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = Lower()
        self.everyday = Branch(len(COCO), objectness=True)
        self.own = Branch(len(OWN_BRANCH), objectness=False)


def sides_of(raw: Tensor, strides: Tensor) -> Tensor:
    """How far boxes (N, M, 4) reach to the left, top, right and bottom of their cells' centres, in pixels."""
    shift = raw[..., :2] - 0.5
    half = raw[..., 2:].clamp(-6, 5).exp() / 2
    return torch.cat([half - shift, half + shift], -1) * strides[..., None]


def corners_of(raw: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Boxes (N, M, 4) xyxy in pixels of raw ones; points (M, 2), strides (M,)."""
    sides = sides_of(raw.float(), strides)
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)


def grid(height: int, width: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Centres (M, 2) in pixels and strides (M,) of all cells of an input of this size, stride 8 first, row by row."""
    points, strides = [], []
    for stride in STRIDES:
        y = (torch.arange(height // stride, device=device) + 0.5) * stride
        x = (torch.arange(width // stride, device=device) + 0.5) * stride
        points.append(torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))], 1))
        strides.append(torch.full((len(x) * len(y),), float(stride), device=device))
    return torch.cat(points), torch.cat(strides)


def start(yolox: Path, seed: int) -> Detector:
    """A detector with YOLOX-Nano's weights in both branches; raises RuntimeError where the file is another network.

    The classes of the branch `own` begin anew.
    """
    net = Detector()
    weights = _convolutions(yolox)
    # modules come in the order in which they run
    places = [*_convs(net.lower), *_convs(net.everyday)]
    if len(places) != len(weights):
        raise RuntimeError(f"{yolox} has {len(weights)} convolutions, YOLOX-Nano {len(places)}")
    for number, (conv, (weight, bias)) in enumerate(zip(places, weights, strict=True)):
        value = torch.from_numpy(_unfocused(weight) if number == 0 else weight.copy())
        if value.shape != conv.weight.shape:
            raise RuntimeError(f"{yolox}: convolution {number} is {tuple(value.shape)}, not {tuple(conv.weight.shape)}")
        assert conv.bias is not None
        conv.weight.data, conv.bias.data = value, torch.from_numpy(bias.copy())
    state = net.everyday.state_dict()
    net.own.load_state_dict(
        {name: value for name, value in state.items() if ".classes." not in name and ".objectness." not in name},
        strict=False,
    )
    random = torch.Generator().manual_seed(seed)
    for level in net.own.levels:
        nn.init.normal_(level.classes.weight, std=0.01, generator=random)
        nn.init.constant_(level.classes.bias, -math.log((1 - 0.01) / 0.01))
    return net


def _convs(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _convolutions(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weight and bias of each convolution of an ONNX file, in the order in which they run."""
    graph = onnx.load(path).graph
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    return [(values[node.input[1]], values[node.input[2]]) for node in graph.node if node.op_type == "Conv"]


def _unfocused(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 3x3 convolution over the focus layer's 12 channels of BGR (top left, bottom left, top right, bottom right
    pixel of each square) as a 6x6 convolution of RGB."""
    whole = np.zeros((len(weight), 3, 6, 6), np.float32)
    for number, (y, x) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        whole[:, :, y::2, x::2] = weight[:, 3 * number : 3 * number + 3]
    return np.ascontiguousarray(whole[:, ::-1])
