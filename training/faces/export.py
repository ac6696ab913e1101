"""Write the trained network as one ONNX file with half-precision weights.

    python -m training.faces.export --run RUN --out src/openrek/vision/models/face-attributes.onnx

Normalisation is folded into the convolutions and calibration into the last layer, so the file gives probabilities; each
crop is read together with its mirror image.
Outputs are computed apart: a session that is asked for one of them runs only what that one needs.
"""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from openrek.vision.faces.align import SIZE
from openrek.vision.faces.attributes import LANDMARKS_30
from training.faces import points30
from training.faces.augment import MIRRORED
from training.faces.backbone import Block, EfficientNetLite0
from training.faces.eyes import SIDE, EyeNet
from training.faces.model import MEAN, SCALE, FaceNet, load
from training.faces.sources import BINARY, EMOTIONS

OUTPUTS = ("attributes", "age", "emotions", "landmarks")


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that does both."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    both = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        groups=conv.groups,
    )
    both.weight.data = conv.weight.data * scale.data[:, None, None, None]
    assert both.bias is not None
    both.bias.data = (norm.bias - norm.running_mean * scale).data
    return both


class _Trunk(nn.Module):
    """`EfficientNetLite0` with folded convolutions."""

    def __init__(self, trunk: EfficientNetLite0) -> None:
        super().__init__()
        self.stem = folded(trunk._conv_stem, trunk._bn0)
        self.top = folded(trunk._conv_head, trunk._bn1)
        self.blocks = nn.ModuleList()
        self.skips = []
        for block in trunk._blocks:
            assert isinstance(block, Block)
            steps: list[nn.Module] = []
            if block.expands:
                steps += [folded(block._expand_conv, block._bn0), nn.ReLU6()]
            steps += [folded(block._depthwise_conv, block._bn1), nn.ReLU6(), folded(block._project_conv, block._bn2)]
            self.blocks.append(nn.Sequential(*steps))
            self.skips.append(block.skips)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = nn.functional.relu6(self.stem(x))
        maps = []
        for block, skips in zip(self.blocks, self.skips, strict=True):
            x = x + block(x) if skips else block(x)
            maps.append(x)
        return maps[4], maps[10], maps[15], nn.functional.relu6(self.top(x))


class Service(nn.Module):
    """Crops (N, 112, 112, 3) uint8 RGB -> what the service reads, as probabilities and crop pixels."""

    def __init__(self, net: FaceNet, calibration: dict[str, list[float]]) -> None:
        super().__init__()
        self.trunk = _Trunk(net.trunk)
        weight, bias = net.attributes.weight.data, net.attributes.bias.data
        count, kinds = len(BINARY), len(EMOTIONS)
        slope, shift = torch.tensor(calibration["slope"]), torch.tensor(calibration["shift"])
        self.attributes, self.age, self.emotions = nn.Linear(1280, count), nn.Linear(1280, 101), nn.Linear(1280, kinds)
        self.attributes.weight.data = weight[:count] * slope[:, None]
        self.attributes.bias.data = bias[:count] * slope + shift
        self.age.weight.data, self.age.bias.data = weight[count:-kinds], bias[count:-kinds]
        temperature = float(calibration["temperature"])
        self.emotions.weight.data, self.emotions.bias.data = weight[-kinds:] / temperature, bias[-kinds:] / temperature
        self.landmarks = copy.deepcopy(net.landmarks)
        self.register_buffer("mirrored", torch.from_numpy(MIRRORED))
        self.register_buffer("choice", torch.from_numpy(points30.matrix()).float())

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = (crops.permute(0, 3, 1, 2).float() - MEAN) / SCALE
        at_8, at_16, at_32, top = self.trunk(torch.cat([x, x.flip(3)]))
        # The heads are linear, so the mean of the features gives the mean of the logits.
        pooled = top.mean((2, 3)).reshape(2, -1, top.shape[1]).mean(0)
        both = self.landmarks(at_8, at_16, at_32)[1].reshape(2, -1, len(self.mirrored), 2)
        points, mirrored = both[0], both[1, :, self.mirrored]
        back = torch.stack([SIZE - 1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)
        points = (points + back) / 2
        return (
            torch.sigmoid(self.attributes(pooled)),
            torch.softmax(self.age(pooled), dim=1),
            torch.softmax(self.emotions(pooled), dim=1),
            torch.matmul(self.choice, points),
        )


def halve(model: onnx.ModelProto, least: int = 256) -> onnx.ModelProto:
    """Keep float32 weights of `least` numbers or more as float16 with a Cast behind; ONNX Runtime folds the casts
    when it loads. What the exporter wrote beside is dropped (`bare`)."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= least:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bare(model)


def bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop which line of which file on the exporter's machine each node came from."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def to_onnx(module: nn.Module, example: Tensor, outputs: tuple[str, ...], axis: str, path: Path) -> onnx.ModelProto:
    """Export with a free batch size and named outputs."""
    program = torch.onnx.export(
        module.eval(),
        (example,),
        input_names=["crops"],
        output_names=list(outputs),
        dynamic_shapes=({0: torch.export.Dim(axis, min=1, max=1024)},),
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.save(model, path)
    return model


def finish(model: onnx.ModelProto, metadata: dict[str, str], out: Path) -> None:
    helper.set_model_props(model, metadata)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, out)


class EyeService(nn.Module):
    """Patches (N, 32, 32, 3) uint8 RGB -> logits (N,) that the eye is open."""

    def __init__(self, net: EyeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        return torch.as_tensor(self.net(crops.permute(0, 3, 1, 2)))


def export_eyes(run: Path, out: Path) -> None:
    """The network of `training.faces.eyes` as ONNX."""
    net = EyeNet()
    net.load_state_dict(torch.load(run / "eyes.pt", map_location="cpu", weights_only=True))
    example = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    finish(halve(to_onnx(EyeService(net.eval()), example, ("open",), "eyes", run / "full.onnx")), {}, out)


def export(run: Path, out: Path) -> None:
    """The face network and its calibration as ONNX."""
    net = load(run / "last.pt")
    calibration = json.loads((run / "calibration.json").read_text())
    service = Service(net, calibration).eval()
    example = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    model = halve(to_onnx(service, example, OUTPUTS, "faces", run / "full.onnx"))
    values = {
        "attributes": ",".join(BINARY),
        "emotions": ",".join(EMOTIONS),
        "landmarks": ",".join(LANDMARKS_30),
        "age_levels": ",".join(str(level) for level in calibration["levels"]),
    }
    finish(model, values, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    export(asked.run, asked.out)
