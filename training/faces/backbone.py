"""EfficientNet-Lite0 as a plain PyTorch module that loads the published ImageNet weights and trains fast on a CPU.

Lite0 is EfficientNet-B0 without squeeze-and-excite and with ReLU6 (Tan & Le 2019; the "lite" variant of the
TensorFlow TPU repository). Parameter names follow the published state dict, so it loads without a renaming table.

What makes it fast without a GPU (measured on one Zen 5 core at 112 px, pictures a second: 73 as usually written, 170
like this):
- the first blocks are frozen;
- everything runs in bfloat16, except the two depthwise gradients whose bfloat16 kernels are slow (see `_Depthwise`).
"""

import functools
import itertools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# expansion, kernel, stride, channels out
BLOCKS = (
    (1, 3, 1, 16),
    (6, 3, 2, 24),
    (6, 3, 1, 24),
    (6, 5, 2, 40),
    (6, 5, 1, 40),
    (6, 3, 2, 80),
    (6, 3, 1, 80),
    (6, 3, 1, 80),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
    (6, 5, 2, 192),
    (6, 5, 1, 192),
    (6, 5, 1, 192),
    (6, 5, 1, 192),
    (6, 3, 1, 320),
)
TAPS = {8: 4, 16: 10, 32: 15}
"""Stride -> number of the last block whose output has it; 40, 112 and 320 channels."""


@functools.cache
def _offsets(rows: int, out: int, stride: int) -> Tensor:
    """For each pair of a cell of the input (rows x rows) and one of the output: which of the 25 weights joins them,
    as one-hot rows."""
    pairs = torch.zeros(rows, rows, out, out, 5, 5)
    for y, x in itertools.product(range(out), repeat=2):
        for i, j in itertools.product(range(5), repeat=2):
            row, column = y * stride + i - 2, x * stride + j - 2
            if 0 <= row < rows and 0 <= column < rows:
                pairs[row, column, y, x, i, j] = 1
    return pairs.reshape(-1, 25)


def _weight_gradient(gradient: Tensor, x: Tensor, stride: int) -> Tensor:
    """The weight gradient of a 5x5 depthwise convolution over a small map, as matrix products: first every input cell
    with every output cell, summed over the batch, then the pairs of one offset together."""
    channels, rows, out = x.shape[1], x.shape[2], gradient.shape[2]
    inputs = x.permute(1, 2, 3, 0).reshape(channels, rows * rows, -1).contiguous()
    outputs = gradient.permute(1, 0, 2, 3).reshape(channels, -1, out * out).contiguous()
    joined = torch.bmm(inputs, outputs).float().reshape(channels, -1)
    return (joined @ _offsets(rows, out, stride)).reshape(channels, 1, 5, 5)


FROZEN = 2
"""The stem and this many blocks stay as they were on ImageNet: edges and colours, a quarter of the work."""


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose gradients avoid the slow bfloat16 kernels.

    The input's gradient at stride s is that of stride 1 with the output's gradient spread out by s (the same numbers,
    some 20 times faster); the weight's gradient of a 5x5 kernel is taken in float32 (3 times faster), over small maps
    by matrix products.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.biased = stride, bias is not None
        return functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        kernel, stride = weight.shape[-1], ctx.stride
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        rest = ([kernel // 2] * 2, [1, 1], False, [0, 0], weight.shape[0])
        spread = gradient
        if stride > 1:
            spread = torch.zeros_like(x)
            spread[:, :, ::stride, ::stride] = gradient
        backward = torch.ops.aten.convolution_backward
        to_x = backward(spread, x, weight, [0], [1, 1], *rest, [True, False, False])[0]
        if kernel == 5 and gradient.shape[2] <= 7:
            to_weight = _weight_gradient(gradient, x, stride).to(weight.dtype)
        elif kernel == 5:
            to_weight = backward(
                gradient.float(), x.float(), weight.float(), [0], [stride] * 2, *rest, [False, True, False]
            )[1].to(weight.dtype)
        else:
            to_weight = backward(gradient, x, weight, [0], [stride] * 2, *rest, [False, True, False])[1]
        return to_x, to_weight, gradient.sum((0, 2, 3)) if ctx.biased else None, None


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """A depthwise convolution, padded by half its kernel, that trains fast on a processor."""
    return torch.as_tensor(_Depthwise.apply(x, weight.contiguous(memory_format=torch.channels_last), bias, stride))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.02)


def convolve(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Convolution and normalisation in the precision of `x`; where the statistics are not learnt, folded into one."""
    if norm.training:
        return norm(_convolve(x, conv.weight.to(x.dtype), None, conv))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = (conv.weight * scale[:, None, None, None]).to(x.dtype)
    return _convolve(x, weight, (norm.bias - norm.running_mean * scale).to(x.dtype), conv)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, conv: nn.Conv2d) -> Tensor:
    weight = weight.contiguous(memory_format=torch.channels_last)
    if conv.groups > 1 and torch.is_grad_enabled() and not x.is_cuda:
        return depthwise(x, weight, bias, conv.stride[0])
    return functional.conv2d(x, weight, bias, conv.stride, conv.padding, 1, conv.groups)


class Block(nn.Module):
    """Inverted residual: 1x1 expand, depthwise, 1x1 project."""

    def __init__(self, channels: int, expansion: int, kernel: int, stride: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self._bn2 = _norm(out)
        self.skips = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = functional.relu6(convolve(y, self._expand_conv, self._bn0))
        y = functional.relu6(convolve(y, self._depthwise_conv, self._bn1))
        y = convolve(y, self._project_conv, self._bn2)
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """Picture (N, 3, H, W), scaled to about -1..1 -> feature maps at strides 8, 16 and 32 and the top map (N, 1280,
    h, w) at 32.

    `frozen`: the stem and this many blocks (4 at most, since the map at stride 8 must be learnt) keep their weights.
    """

    def __init__(self, frozen: int = FROZEN) -> None:
        super().__init__()
        self.frozen = frozen
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = _norm(32)
        channels, blocks = 32, []
        for expansion, kernel, stride, out in BLOCKS:
            blocks.append(Block(channels, expansion, kernel, stride, out))
            channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        for module in (self._conv_stem, self._bn0, *blocks[:frozen]):
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.no_grad():
            x = functional.relu6(convolve(x, self._conv_stem, self._bn0))
            for block in self._blocks[: self.frozen]:
                x = block(x)
        maps = {}
        for number, block in enumerate(self._blocks[self.frozen :], self.frozen):
            x = block(x)
            maps[number] = x
        top = functional.relu6(convolve(x, self._conv_head, self._bn1))
        return maps[TAPS[8]], maps[TAPS[16]], maps[TAPS[32]], top

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """The frozen blocks keep their statistics in training too."""
        super().train(mode)
        for module in (self._bn0, *self._blocks[: self.frozen]):
            module.eval()
        return self

    def load_imagenet(self, path: Path) -> None:
        """Load the published ImageNet weights; the class layer is left out. Raises RuntimeError where a weight is
        missing."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, _ = self.load_state_dict(state, strict=False)
        if missing:
            raise RuntimeError(f"{path} lacks {len(missing)} weights, the first is {missing[0]}")
