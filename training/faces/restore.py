"""Bring a shipped `face-attributes.onnx` back as a network that can be trained on.

    python -m training.faces.restore --model src/openrek/vision/models/face-attributes.onnx --cache CACHE \
        --imagenet efficientnet-lite0.pth --out RUN

`export` folded normalisation into the convolutions, calibration into the last layer and kept weights in half precision.
Here every normalisation is unfolded again: its statistics are measured on training views, its scale and shift chosen so
that the answers stay what they were, and each channel gets back the length of its ImageNet weights, since the
optimiser's steps are meant for that. Writes `RUN/last.pt` for `train --first` and `teach`.
"""

import argparse
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.faces.backbone import FROZEN, Block
from training.faces.batches import stream
from training.faces.model import MEAN, SCALE, FaceNet, start

VIEWS = 4
"""Batches of training views whose statistics are taken."""


def weights_of(model: onnx.ModelProto) -> dict[str, Tensor]:
    """The file's weights as float32 by the names they have in `export.Service`."""
    found = {}
    for weight in model.graph.initializer:
        values = torch.from_numpy(numpy_helper.to_array(weight).copy())
        found[weight.name.removesuffix(".half")] = values.float()
    return found


@torch.no_grad()
def unfold(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Tensor:
    """Give `conv` and `norm`, which hold ImageNet's weights, together the effect of a folded convolution, and return
    what that makes of `x` (N, C, H, W)."""
    length, now = conv.weight.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1)
    # Some channels say nothing, already in ImageNet's weights.
    longer = torch.where((length > 1e-4) & (now > 1e-4), length / now.clamp(min=1e-4), 1.0)
    conv.weight.copy_(weight * longer[:, None, None, None])
    y = functional.conv2d(x, conv.weight, None, conv.stride, conv.padding, 1, conv.groups)
    variance, mean = torch.var_mean(y, (0, 2, 3))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt() / longer)
    norm.bias.copy_(bias + mean / longer)
    return y / longer[:, None, None] + bias[:, None, None]


def _unfold_block(x: Tensor, block: Block, weights: dict[str, Tensor], name: str) -> Tensor:
    parts = [(block._depthwise_conv, block._bn1), (block._project_conv, block._bn2)]
    if block.expands:
        parts.insert(0, (block._expand_conv, block._bn0))
    y = x
    for number, (conv, norm) in enumerate(parts):
        place = f"{name}.{2 * number}"
        y = unfold(y, conv, norm, weights[f"{place}.weight"], weights[f"{place}.bias"])
        if conv is not block._project_conv:
            y = functional.relu6(y)
    return x + y if block.skips else y


@torch.no_grad()
def restore(weights: dict[str, Tensor], views: Tensor, net: FaceNet) -> FaceNet:
    """`net`, a network as training begins, with the effect of `weights`, named as in `export.Service`; `views` (N, 3,
    112, 112), 0..255, are training views to take statistics on."""
    trunk = net.eval().trunk
    # The first blocks were never trained: ImageNet's are theirs.
    x = (views.float() - MEAN) / SCALE
    x = functional.relu6(
        functional.conv2d(x, weights["trunk.stem.weight"], weights["trunk.stem.bias"], trunk._conv_stem.stride, 1)
    )
    for number, block in enumerate(trunk._blocks):
        assert isinstance(block, Block)
        x = block(x) if number < FROZEN else _unfold_block(x, block, weights, f"trunk.blocks.{number}")
    unfold(x, trunk._conv_head, trunk._bn1, weights["trunk.top.weight"], weights["trunk.top.bias"])
    heads = ("attributes", "age", "emotions")
    net.attributes.weight.copy_(torch.cat([weights[f"{name}.weight"] for name in heads]))
    net.attributes.bias.copy_(torch.cat([weights[f"{name}.bias"] for name in heads]))
    net.landmarks.load_state_dict({name: weights[f"landmarks.{name}"] for name in net.landmarks.state_dict()})
    return net


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    batches = stream(asked.cache, 1, 0)
    seen = torch.cat([next(batches).crops for _ in range(VIEWS)])
    asked.out.mkdir(parents=True, exist_ok=True)
    restored = restore(weights_of(onnx.load(asked.model)), seen, start(asked.imagenet))
    torch.save({"average": restored.state_dict()}, asked.out / "last.pt")
