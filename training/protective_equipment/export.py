"""Write the head network as one ONNX file with half-precision weights.

    python -m training.protective_equipment.export --run RUN --out src/openrek/vision/models/ppe-heads.onnx

Normalisation is folded into the convolutions and calibration into the last layer, so the file gives probabilities.
"""

import argparse
import json
from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from training.faces.backbone import Block
from training.faces.export import folded, halve, to_onnx
from training.protective_equipment.network import ANSWERS, BOXES, MEAN, SCALE, SIDE, HeadNet, load


class Service(nn.Module):
    """Crops (N, 96, 96, 3) uint8 RGB -> probabilities (N, 4) and boxes (N, 3, 4) in shares of the crop."""

    def __init__(self, net: HeadNet, calibration: dict[str, list[float]]) -> None:
        super().__init__()
        self.stem = folded(net.stem, net.norm)
        self.blocks, self.skips = nn.ModuleList(), []
        for block in net.blocks:
            assert isinstance(block, Block)
            steps: list[nn.Module] = []
            if block.expands:
                steps += [folded(block._expand_conv, block._bn0), nn.ReLU6()]
            steps += [folded(block._depthwise_conv, block._bn1), nn.ReLU6(), folded(block._project_conv, block._bn2)]
            self.blocks.append(nn.Sequential(*steps))
            self.skips.append(block.skips)
        self.narrow, self.wide, self.last = net.narrow, net.wide, net.last
        self.register_buffer("slope", torch.tensor(calibration["slope"]))
        self.register_buffer("shift", torch.tensor(calibration["shift"]))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        x = (crops.permute(0, 3, 1, 2).float() - MEAN) / SCALE
        x = functional.relu6(self.stem(x))
        for block, skips in zip(self.blocks, self.skips, strict=True):
            x = x + block(x) if skips else block(x)
        places = functional.relu(self.narrow(x)).flatten(1)
        out = self.last(torch.cat([functional.relu(self.wide(places)), x.mean((2, 3))], dim=1))
        answers = torch.sigmoid(out[:, : len(ANSWERS)] * self.slope + self.shift)
        return answers, HeadNet.boxes(out[:, len(ANSWERS) :])


def export(run: Path, out: Path) -> None:
    net = load(run / "net.pt")
    service = Service(net, json.loads((run / "calibration.json").read_text())).eval()
    example = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    model = halve(to_onnx(service, example, ("answers", "boxes"), "heads", run / "full.onnx"))
    helper.set_model_props(model, {"answers": ",".join(ANSWERS), "boxes": ",".join(BOXES)})
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    export(asked.run, asked.out)
