"""Write the trained detector as one ONNX file with half-precision weights.

    python -m training.objects.export --run RUN --out src/openrek/vision/models/objects.onnx

Only classes that `evaluate` found worth reporting are in the file; their names and calibration are its metadata.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from training.faces.export import halve
from training.objects.classes import COCO, OWN_BRANCH, PERSON_SHARE
from training.objects.network import STRIDES, Detector, sides_of


class Service(nn.Module):
    """Pixels (1, H, W, 3) uint8 RGB -> scores (1, 2 M, C) 0..1 and the boxes' reach (1, 2 M, 4) in pixels: the cells of
    the branch `everyday`, then those of `own`. A class that a branch does not tell has the score 0 there."""

    def __init__(self, net: Detector, everyday: Sequence[str], own: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.names = [*everyday, *(name for name in own if name not in everyday)]
        shared = [name for name in everyday if name in own]
        if list(everyday[len(everyday) - len(shared) :]) != shared or list(own[: len(shared)]) != shared:
            raise ValueError("classes of both branches come last among the everyday ones and first among the own")
        self.before, self.after = len(everyday) - len(shared), len(own) - len(shared)
        self.register_buffer("share", torch.tensor([PERSON_SHARE if name == "person" else 1.0 for name in own]))
        _keep(net.everyday, [COCO.index(name) for name in everyday])
        _keep(net.own, [OWN_BRANCH.index(name) for name in own])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.net.lower(pixels.permute(0, 3, 1, 2).float())
        logits, raw, sure = self.net.everyday(fine)
        own_logits, own_raw, _ = self.net.own(fine)
        rows, columns = pixels.shape[1], pixels.shape[2]
        strides = torch.cat(
            [torch.full(((rows // stride) * (columns // stride),), float(stride)) for stride in STRIDES]
        )
        scores = nn.functional.pad(logits.sigmoid() * sure.sigmoid(), (0, self.after))
        own_scores = nn.functional.pad(own_logits.sigmoid() * self.share, (self.before, 0))
        sides = [sides_of(boxes, strides) for boxes in (raw, own_raw)]
        return torch.cat([scores, own_scores], 1), torch.cat(sides, 1)


def _keep(branch: nn.Module, classes: list[int]) -> None:
    """Leave only these classes in a branch."""
    for level in branch.levels:
        old = level.classes
        level.classes = nn.Conv2d(old.in_channels, len(classes), 1)
        level.classes.weight.data, level.classes.bias.data = old.weight.data[classes], old.bias.data[classes]


def load(run: Path) -> Detector:
    """The averaged network of a run."""
    net = Detector()
    net.load_state_dict(torch.load(run / "last.pt", map_location="cpu", weights_only=True)["average"])
    return net.eval()


def export(net: Detector, everyday: Sequence[str], own: Sequence[str], metadata: dict[str, str], out: Path) -> None:
    """The detector for these classes of its branches as ONNX with free picture sides (multiples of 32)."""
    service = Service(net, everyday, own).eval()
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
    helper.set_model_props(model, {"names": json.dumps(service.names), **metadata})
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
    export(load(asked.run), chosen["everyday"], chosen["own"], metadata, asked.out)
