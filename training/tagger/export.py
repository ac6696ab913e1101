"""Export EfficientNet-Lite2 with its ImageNet weights to one small ONNX file.

    python -m training.tagger.export

fetches the published weights (pinned in efficientnet-lite2.toml) and writes src/openrek/vision/models/tagger.onnx.

The architecture (Tan and Le, "EfficientNet", 2019; the Lite changes: no squeeze-and-excitation, ReLU6, stem and head
not scaled) is written here node by node, so the graph holds nothing that inference does not need: batch norms are
folded into the convolutions, and the input is plain RGB bytes (0..255), normalised inside the graph.

Inputs: `pixels` (N, H, W, 3) uint8; `regions` (N, R, P): R weightings of the P = ceil(H/32) * ceil(W/32) cells of the
last map, each summing to 1. A region is a part of the picture to be named by itself; the whole picture is 1/P
everywhere. All regions share one pass of the convolutions.
Outputs: `logits` (N, R, 1000) and `embedding` (N, R, 1280) of each region, `features` (N, C, H/32, W/32) before the
head. Metadata: `calibration`, as calibrate.py wrote it.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from platformdirs import user_cache_path

from openrek.vision.runtime.cards import read_card
from openrek.vision.runtime.catalogue import CARDS as MODELS
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.library import ModelLibrary

HERE = Path(__file__).parent

BATCH_NORM_EPSILON = 1e-3
OPSET = 17

# expansion, channels, repeats, stride, kernel of the seven stages of EfficientNet-B0
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


@dataclass(frozen=True)
class Variant:
    """Width and depth factors and the input side of one EfficientNet-Lite."""

    width: float
    depth: float
    side: int

    def channels(self, base: int) -> int:
        scaled = base * self.width
        rounded = max(8, int(scaled + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * scaled else rounded


VARIANTS = {0: Variant(1.0, 1.0, 224), 1: Variant(1.0, 1.1, 240), 2: Variant(1.1, 1.2, 260)}


class Graph:
    """Collects nodes and weights. Weights are stored small and widened by nodes that the runtime folds at load."""

    def __init__(self, state: Mapping[str, NDArray[np.float32]], storage: str) -> None:
        self.state, self.storage = state, storage
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.count = 0

    def add(self, op: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        self.count += 1
        output = name or f"{op.lower()}_{self.count}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, value: NDArray[np.generic], name: str) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, value: NDArray[np.float32], name: str) -> str:
        """A weight of (out, ...) in the chosen storage; a bias (one dimension) always stays float32."""
        if self.storage == "fp32" or value.ndim == 1:
            return self.constant(value, name)
        if self.storage == "fp16":
            return self.add("Cast", self.constant(value.astype(np.float16), name), to=TensorProto.FLOAT)
        axes = tuple(range(1, value.ndim))
        scale = np.maximum(np.abs(value).max(axis=axes, keepdims=True), 1e-12) / 127
        whole = self.constant(np.rint(value / scale).astype(np.int8), name)
        step = self.constant(scale.astype(np.float32), f"{name}_scale")
        return self.add("Mul", self.add("Cast", whole, to=TensorProto.FLOAT), step)

    def conv(self, x: str, conv: str, norm: str, *, stride: int = 1, groups: int = 1, relu: bool = True) -> str:
        """Convolution with TensorFlow's SAME padding, its batch norm folded in, and ReLU6."""
        kernel = self.state[f"{conv}.weight"]
        factor = self.state[f"{norm}.weight"] / np.sqrt(self.state[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
        bias = self.state[f"{norm}.bias"] - self.state[f"{norm}.running_mean"] * factor
        w = self.weight(kernel * factor.reshape(-1, 1, 1, 1), f"{conv}.weight")
        b = self.weight(bias.astype(np.float32), f"{conv}.bias")
        side = int(kernel.shape[2])
        x = self.add(
            "Conv", x, w, b, kernel_shape=[side, side], strides=[stride, stride], group=groups, auto_pad="SAME_UPPER"
        )
        return self.add("Clip", x, "zero", "six") if relu else x


def build(state: Mapping[str, NDArray[np.float32]], variant: Variant, storage: str) -> onnx.ModelProto:
    graph = Graph(state, storage)
    graph.constant(np.float32(0), "zero")
    graph.constant(np.float32(6), "six")
    graph.constant(np.float32(127), "mean")
    graph.constant(np.float32(1 / 128), "scale")

    x = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Mul", graph.add("Sub", x, "mean"), "scale")
    x = graph.conv(x, "_conv_stem", "_bn0", stride=2)

    index, channels = 0, 32
    for stage, (expansion, base, repeats, stride, _kernel) in enumerate(STAGES):
        width = variant.channels(base)
        # the first and the last stage keep one block in every Lite variant
        depth = repeats if stage in (0, len(STAGES) - 1) else math.ceil(repeats * variant.depth)
        for block in range(depth):
            name, step = f"_blocks.{index}", stride if block == 0 else 1
            y = x if expansion == 1 else graph.conv(x, f"{name}._expand_conv", f"{name}._bn0")
            y = graph.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=step, groups=channels * expansion)
            y = graph.conv(y, f"{name}._project_conv", f"{name}._bn2", relu=False)
            x = graph.add("Add", y, x) if step == 1 and channels == width else y
            index, channels = index + 1, width

    features = graph.add("Identity", x, name="features")
    x = graph.conv(x, "_conv_head", "_bn1")
    # (N, 1280, h, w) -> (N, P, 1280); a region's embedding is a weighted mean over the P cells
    cells = graph.add("Reshape", x, graph.constant(np.array([0, 0, -1], np.int64), "cells"))
    cells = graph.add("Transpose", cells, perm=[0, 2, 1])
    embedding = graph.add("MatMul", "regions", cells, name="embedding")
    weight = graph.add("Transpose", graph.weight(state["_fc.weight"], "_fc.weight"), perm=[1, 0])
    bias = graph.weight(state["_fc.bias"], "_fc.bias")
    graph.add("Add", graph.add("MatMul", embedding, weight), bias, name="logits")

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite",
            [
                helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3]),
                helper.make_tensor_value_info("regions", TensorProto.FLOAT, ["n", "r", "p"]),
            ],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "r", 1000]),
                helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", "r", 1280]),
                helper.make_tensor_value_info(features, TensorProto.FLOAT, ["n", channels, "h32", "w32"]),
            ],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="openrek training/tagger",
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float tensors of a published state dict."""
    import torch  # for this file format only

    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.numpy() for name, value in tensors.items() if value.is_floating_point()}


def obtain_weights(cache: Path) -> Path:
    """The published weights of Lite2, fetched into the cache and verified."""
    return ModelLibrary(Catalogue(), cache).obtain(read_card(HERE / "efficientnet-lite2.toml"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", type=int, choices=sorted(VARIANTS), default=2)
    parser.add_argument("--weights", type=Path, help="state dict; default: the published one of Lite2, fetched")
    parser.add_argument("--storage", choices=("fp32", "fp16", "int8"), default="int8")
    parser.add_argument("--out", type=Path, default=MODELS / "tagger.onnx")
    parser.add_argument("--cache", type=Path, default=user_cache_path("openrek"))
    options = parser.parse_args()
    if options.weights is None and options.variant != 2:
        parser.error("name the --weights of this variant")
    state = read_weights(options.weights or obtain_weights(options.cache))
    model = build(state, VARIANTS[options.variant], options.storage)
    calibration = json.loads((HERE / "calibration.json").read_text())["knots"]
    helper.set_model_props(model, {"calibration": json.dumps(calibration)})
    content = model.SerializeToString(deterministic=True)
    options.out.write_bytes(content)
    print(f"{options.out.name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
