"""Write the trained detector as one ONNX file with half-precision weights.

    python -m training.objects.export --run RUN --out src/openrek/vision/models/objects.onnx

Normalisation is folded into the convolutions. Only classes that `evaluate` found worth reporting are in the file; their
names and calibration are its metadata.
"""

import argparse
import copy
import json
from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from training.faces.backbone import Block
from training.faces.export import _folded, halve
from training.objects.classes import INDEX, NAMES
from training.objects.network import STRIDES, Conv, Detector, Head


class _FoldedConv(nn.Module):
    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.depth = None
        if conv.depth is not None and conv.depth_norm is not None:
            self.depth = _folded(conv.depth, conv.depth_norm)
        self.conv = _folded(conv.conv, conv.norm)

    def forward(self, x: Tensor) -> Tensor:
        if self.depth is not None:
            x = functional.hardswish(self.depth(x))
        return functional.hardswish(self.conv(x))


class _FoldedHead(nn.Module):
    def __init__(self, head: Head, classes: list[int]) -> None:
        super().__init__()
        self.shared, self.class_tower, self.box_tower = (
            _FoldedConv(conv) for conv in (head.shared, head.class_tower, head.box_tower)
        )
        self.classes = nn.Conv2d(head.classes.in_channels, len(classes), 1)
        assert head.classes.bias is not None
        assert self.classes.bias is not None
        self.classes.weight.data = head.classes.weight.data[classes]
        self.classes.bias.data = head.classes.bias.data[classes]
        self.sides = copy.deepcopy(head.sides)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.shared(x)
        logits, sides = self.classes(self.class_tower(x)), self.sides(self.box_tower(x))
        return logits.flatten(2).transpose(1, 2), sides.flatten(2).transpose(1, 2)


class _FoldedBlock(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        if block.expands:
            steps += [_folded(block._expand_conv, block._bn0), nn.ReLU6()]
        steps += [_folded(block._depthwise_conv, block._bn1), nn.ReLU6(), _folded(block._project_conv, block._bn2)]
        self.steps, self.skips = nn.Sequential(*steps), block.skips

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.steps(x)
        return x + y if self.skips else y


class Service(nn.Module):
    """Pixels (1, H, W, 3) uint8 RGB -> scores (1, M, C) 0..1 and the boxes' reach (1, M, 4) in pixels."""

    def __init__(self, net: Detector, names: list[str]) -> None:
        super().__init__()
        classes = [INDEX[name] for name in names]
        self.stem = _folded(net.trunk._conv_stem, net.trunk._bn0)
        self.blocks = nn.ModuleList(_FoldedBlock(block) for block in net.trunk._blocks)  # type: ignore[arg-type]
        for part in ("lateral", "down", "reduce", "up"):
            setattr(self, part, nn.ModuleList(_FoldedConv(conv) for conv in getattr(net, part)))
        self.heads = nn.ModuleList(_FoldedHead(head, classes) for head in net.heads)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        x = functional.relu6(self.stem(x))
        taps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in (4, 10, 15):
                taps.append(x)
        fine, middle, coarse = (layer(map_) for layer, map_ in zip(self.lateral, taps, strict=True))
        middle_down = self.down[1](torch.cat([_double(coarse), middle], 1))
        fine_down = self.down[0](torch.cat([_double(middle_down), fine], 1))
        middle_up = self.up[0](torch.cat([self.reduce[0](fine_down), middle_down], 1))
        coarse_up = self.up[1](torch.cat([self.reduce[1](middle_up), coarse], 1))
        scores, reach = [], []
        for stride, head, map_ in zip(STRIDES, self.heads, (fine_down, middle_up, coarse_up), strict=True):
            logits, sides = head(map_)
            scores.append(logits)
            reach.append(sides.clamp(-4, 5).exp() * stride)
        return torch.cat(scores, 1).sigmoid(), torch.cat(reach, 1)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def load(run: Path) -> Detector:
    """The averaged network of a run."""
    net = Detector(len(NAMES))
    net.load_state_dict(torch.load(run / "last.pt", map_location="cpu", weights_only=True)["average"])
    return net.eval()


def export(net: Detector, names: list[str], metadata: dict[str, str], out: Path) -> None:
    """The detector for these classes as ONNX with free picture sides (multiples of 32)."""
    service = Service(net, names).eval()
    example = torch.randint(0, 256, (1, 320, 416, 3), dtype=torch.uint8)
    rows, columns = torch.export.Dim("rows", min=2, max=64), torch.export.Dim("columns", min=2, max=64)
    program = torch.onnx.export(
        service,
        (example,),
        input_names=["pixels"],
        output_names=["scores", "sides"],
        dynamic_shapes=({1: 32 * rows, 2: 32 * columns},),
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    assert program is not None
    model = halve(program.model_proto)
    helper.set_model_props(model, {"names": json.dumps(names), **metadata})
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    chosen = json.loads((asked.run / "chosen.json").read_text())
    metadata = {"calibration": json.dumps(chosen["calibration"])}
    export(load(asked.run), chosen["names"], metadata, asked.out)
