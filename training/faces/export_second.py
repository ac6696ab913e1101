"""Write the second opinion on expressions as an ONNX file that joins it with the first.

    python -m training.faces.export_second --run EXPRESSION --first TRUNK --out face-expressions.onnx

The file takes the crops and what `face-attributes.onnx` says of them, so that who asks for landmarks or ages alone does
not pay for it. TRUNK holds the calibration that is in that file, EXPRESSION the one of both together.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openrek.vision.faces.align import SIZE
from training.faces.export import finish, folded, halve
from training.faces.expression import SAID, ExpressionNet, Residual, grey, load, standard
from training.faces.sources import BINARY, EMOTIONS

INPUTS = ("crops", "attributes", "emotions")
OUTPUTS = ("joined_attributes", "joined_emotions")
_LEAST = 1e-6


class _Expression(nn.Module):
    """`ExpressionNet` with folded convolutions: grey crops (N, 1, 56, 56) -> logits (N, 9)."""

    def __init__(self, net: ExpressionNet) -> None:
        super().__init__()
        self.stem, self.top = _folded_steps(net.stem), copy.deepcopy(net.top)
        blocks = [block for block in net.blocks if isinstance(block, Residual)]
        self.layers = nn.ModuleList(_folded_steps(block.layers) for block in blocks)
        self.shorts = nn.ModuleList(_folded_steps(block.short) for block in blocks)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.stem(standard(crops))
        for layers, short in zip(self.layers, self.shorts, strict=True):
            x = nn.functional.relu(layers(x) + short(x))
        return torch.as_tensor(self.top(x.mean((2, 3))))


def _folded_steps(steps: nn.Sequential) -> nn.Sequential:
    """The same steps with each normalisation in the convolution before it."""
    found: list[nn.Module] = []
    for step in steps:
        if isinstance(step, nn.BatchNorm2d):
            conv = found.pop()
            assert isinstance(conv, nn.Conv2d)
            found.append(folded(conv, step))
        else:
            found.append(step)
    return nn.Sequential(*found)


class Joined(nn.Module):
    """Crops (N, 112, 112, 3) uint8 RGB, and of the same faces the first network's probabilities, attributes (N, 8) and
    emotions (N, 7) -> both as the two networks say together."""

    def __init__(self, net: ExpressionNet, first: dict[str, Any], both: dict[str, Any]) -> None:
        super().__init__()
        self.net = _Expression(net)
        slope, shift = (torch.tensor(both[name]) for name in ("slope", "shift"))
        share = torch.zeros(len(BINARY))
        said = torch.zeros(len(EMOTIONS) + len(SAID), len(BINARY))
        for number, name in enumerate(SAID):
            column = BINARY.index(name)
            share[column] = both["second"][name]
            said[len(EMOTIONS) + number, column] = share[column] * slope[column]
        heard = share > 0
        # the first network's logits, out of what its own calibration made of them; what it tells alone stays as it is
        scale = torch.where(heard, slope * (1 - share) / torch.tensor(first["slope"]), 1.0)
        move = torch.where(heard, shift - scale * torch.tensor(first["shift"]), 0.0)
        felt, whole = both["second"]["emotion"], both["temperature"]
        self.emotion_scale = (1 - felt) * first["temperature"] / whole
        self.emotion_said = felt / whole
        for name, value in (("scale", scale), ("move", move), ("said", said)):
            self.register_buffer(name, value)

    def forward(self, crops: Tensor, attributes: Tensor, emotions: Tensor) -> tuple[Tensor, Tensor]:
        small = grey(crops.permute(0, 3, 1, 2))
        opinion = self.net(torch.cat([small, small.flip(3)])).reshape(2, -1, len(EMOTIONS) + len(SAID)).mean(0)
        chance = attributes.clamp(_LEAST, 1 - _LEAST)
        odds = (chance / (1 - chance)).log() * self.scale + self.move + opinion @ self.said
        felt = emotions.clamp(min=_LEAST).log() * self.emotion_scale + opinion[:, : len(EMOTIONS)] * self.emotion_said
        return torch.sigmoid(odds), torch.softmax(felt, dim=1)


def export(run: Path, first: Path, out: Path) -> None:
    """The network kept in `run`, joined with the calibrated answers of the one in `first`."""
    told, both = (json.loads((folder / "calibration.json").read_text()) for folder in (first, run))
    module = Joined(load(run), told, both).eval()
    crops = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    example = (crops, torch.rand(2, len(BINARY)), torch.full((2, len(EMOTIONS)), 1 / len(EMOTIONS)))
    faces = torch.export.Dim("faces", min=1, max=1024)
    program = torch.onnx.export(
        module,
        example,
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_shapes=({0: faces}, {0: faces}, {0: faces}),
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    assert program is not None
    finish(halve(program.model_proto), {"attributes": ",".join(BINARY), "emotions": ",".join(EMOTIONS)}, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--first", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    export(asked.run, asked.first, asked.out)
