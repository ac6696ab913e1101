"""dlib's face recognition network as ONNX.

dlib (Davis King, dlib.net) publishes a residual network of 29 convolutions that maps a face of 150 x 150 pixels to 128
numbers (`dlib_face_recognition_resnet_model_v1.dat`). The file is dlib's own serialisation of the C++ network: integers
as a byte of sign and length followed by the value, strings with their length, tensors with their dimensions and raw
floats, layers from the input to the output. Only the weights are in it; the network's plan is code, here and there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openrek.vision.runtime.errors import CardError

Floats = NDArray[np.float32]

MEAN = np.array([122.782, 117.001, 104.298], np.float32)  # of the training pictures' red, green and blue
DIVISOR = 256.0
SIDE = 150
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Filters, residual blocks, and whether the first block halves the resolution, from the input to the output."""


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """weight (filters, inputs, rows, columns), bias (filters,): the following affine layer is folded in."""

    weight: Floats
    bias: Floats


def dlib_resnet(source: Path) -> bytes:
    """Read the published weights and write the network as an ONNX file.

    Input `image`: (batch, 3, 150, 150) RGB, 0..255. Output `embedding`: (batch, 128).
    Raises CardError where the file is not the one expected.
    """
    try:
        convolutions, dense = read_weights(source.read_bytes())
    except (struct.error, IndexError, ValueError) as error:
        raise CardError(f"{source.name} is not dlib's face recognition network: {error}.") from error
    return build(convolutions, dense)


# --- reading ----------------------------------------------------------------------------------------------------------


class Reader:
    """Walks dlib's serialisation."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def integer(self) -> int:
        control = self._data[self._at]
        length = control & 0x0F
        if length > 8:
            raise ValueError(f"no integer at byte {self._at}")
        value = int.from_bytes(self._data[self._at + 1 : self._at + 1 + length], "little")
        self._at += 1 + length
        return -value if control & 0x80 else value

    def tensor(self) -> Floats:
        """Version 2: four dimensions, then little-endian floats."""
        if (version := self.integer()) != 2:
            raise ValueError(f"tensor of version {version} at byte {self._at}")
        shape = [self.integer() for _ in range(4)]
        count = int(np.prod(shape))
        values = np.frombuffer(self._data, "<f4", count, self._at)
        self._at += 4 * count
        return values.reshape(shape).astype(np.float32)

    def find(self, *names: str) -> str | None:
        """Go behind the next of these layer names; None where no more follows. Weights are stepped over as tensors, so
        a name that their bytes happen to spell is not mistaken for a layer."""
        places = []
        for name in names:
            place = self._data.find(bytes([1, len(name)]) + name.encode(), self._at)
            if place >= 0:
                places.append((place, name))
        if not places:
            return None
        place, name = min(places)
        self._at = place + 2 + len(name)
        return name


def read_weights(data: bytes) -> tuple[list[Convolution], Floats]:
    """The 29 convolutions from the input to the output, and the last layer's weights (256, 128)."""
    reader = Reader(data)
    convolutions: list[Convolution] = []
    inputs, waiting, dense = 3, None, None
    while (name := reader.find("con_4", "affine_", "fc_2")) is not None:
        if name == "con_4":
            waiting = reader.tensor().ravel()
        elif name == "affine_":
            gamma, beta = reader.tensor().ravel().reshape(2, -1).astype(np.float64)
            if waiting is None:
                raise ValueError("an affine layer without a convolution before it")
            filters = len(gamma)
            weight, bias = waiting[:-filters].astype(np.float64), waiting[-filters:]
            side = round((len(weight) / filters / inputs) ** 0.5)
            weight = weight.reshape(filters, inputs, side, side) * gamma[:, None, None, None]
            convolutions.append(Convolution(weight.astype(np.float32), (bias * gamma + beta).astype(np.float32)))
            inputs, waiting = filters, None
        else:
            outputs, width = reader.integer(), reader.integer()
            dense = reader.tensor().reshape(width, outputs)
    expected = 1 + sum(2 * blocks for _, blocks, _ in LEVELS)
    if dense is None or len(convolutions) != expected:
        raise ValueError(f"{len(convolutions)} convolutions, not {expected}")
    return convolutions, dense


# --- writing ----------------------------------------------------------------------------------------------------------


class Graph:
    """An ONNX graph in the making: nodes with one output each, named in order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolution(self, x: str, layer: Convolution, stride: int, padding: int) -> str:
        weight, bias = self.constant(layer.weight), self.constant(layer.bias)
        return self.add("Conv", x, weight, bias, strides=[stride] * 2, pads=[padding] * 4)


def build(convolutions: list[Convolution], dense: Floats) -> bytes:
    from onnx import TensorProto, checker, helper

    graph = Graph()
    layers: Iterator[Convolution] = iter(convolutions)
    x = graph.convolution("image", _take_raw_pixels(next(layers)), stride=2, padding=0)
    x = graph.add("Relu", x)
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    side, channels = 35, 32
    for filters, blocks, halved in LEVELS:
        for block in range(blocks):
            down = halved and block == 0
            y = graph.convolution(x, next(layers), stride=2 if down else 1, padding=0 if down else 1)
            y = graph.convolution(graph.add("Relu", y), next(layers), stride=1, padding=1)
            if down:
                x = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
                pooled, strided = side // 2, (side - 3) // 2 + 1
                # where the shapes differ, dlib adds zeros: channels behind, pixels to the right and below
                x = _pad(graph, x, channels=filters - channels, pixels=0)
                y = _pad(graph, y, channels=0, pixels=pooled - strided)
                side, channels = pooled, filters
            x = graph.add("Relu", graph.add("Add", y, x))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    graph.add("MatMul", x, graph.constant(dense), output="embedding")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "dlib_face_recognition_resnet_model_v1",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dense.shape[1]])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="openrek",
    )
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _take_raw_pixels(layer: Convolution) -> Convolution:
    """The first layer with (pixel - mean) / divisor folded in; exact, as it has no padding."""
    weight = layer.weight.astype(np.float64) / DIVISOR
    bias = layer.bias - (weight * MEAN[:, None, None]).sum(axis=(1, 2, 3))
    return Convolution(weight.astype(np.float32), bias.astype(np.float32))


def _pad(graph: Graph, x: str, *, channels: int, pixels: int) -> str:
    if not channels and not pixels:
        return x
    return graph.add("Pad", x, graph.constant(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)))
