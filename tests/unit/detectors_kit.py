"""Tiny detectors in the forms of real ones, which find bright squares: made for tests with onnx.helper."""

import json
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
STRIDES = (8, 16, 32)
CELLS = sum((SIDE // stride) ** 2 for stride in STRIDES)

Value = np.typing.NDArray[np.generic]
Values = dict[str, tuple[int, list[int | str]]]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Values,
    outputs: Values,
    constants: dict[str, Value],
    metadata: dict[str, str] | None = None,
) -> bytes:
    made = helper.make_model(
        helper.make_graph(
            list(nodes),
            "tiny",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 8
    helper.set_model_props(made, metadata or {})
    onnx.checker.check_model(made)
    return made.SerializeToString()


def _brightness(source: str, constants: dict[str, Value]) -> list[onnx.NodeProto]:
    """Nodes that give the mean brightness 0..1 of each cell of stride 8 as `cells` (1, N, 1): 0 below 0.9. `source` is
    (1, 3, H, W), 0..255."""
    constants["white"] = np.float32(255.0)
    constants["bright"] = np.float32(0.9)
    constants["rows"] = np.array([1, -1, 1], np.int64)
    return [
        helper.make_node("ReduceMean", [source], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Div", ["pooled", "white"], ["share"]),
        helper.make_node("Greater", ["share", "bright"], ["is_bright"]),
        helper.make_node("Cast", ["is_bright"], ["flag"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["share", "flag"], ["bright_share"]),
        helper.make_node("Reshape", ["bright_share", "rows"], ["cells"]),
    ]


def yolox(classes: int = 3, kind: int = 1) -> bytes:
    """YOLOX's output for 64 pixels: a box of 16 x 8 pixels about each bright cell of stride 8, of class `kind`."""
    fine = (SIDE // 8) ** 2
    boxes = np.tile(np.float32([0.5, 0.5, np.log(2.0), 0.0]), (CELLS, 1))[None]
    kinds = np.zeros((1, CELLS, classes), np.float32)
    kinds[..., kind] = 0.9
    constants: dict[str, Value] = {
        "boxes": boxes,
        "kinds": kinds,
        "rest": np.zeros((1, CELLS - fine, 1), np.float32),
    }
    nodes = [
        *_brightness("images", constants),
        helper.make_node("Concat", ["cells", "rest"], ["objectness"], axis=1),
        helper.make_node("Concat", ["boxes", "objectness", "kinds"], ["output"], axis=2),
    ]
    return model(
        nodes,
        {"images": (TensorProto.FLOAT, [1, 3, SIDE, SIDE])},
        {"output": (TensorProto.FLOAT, [1, "n", "c"])},
        constants,
    )


def dense(names: Sequence[str], calibration: dict[str, list[list[float]]] | None = None) -> bytes:
    """The form of the detectors trained here, for inputs of 64 x 32 pixels: a box of 8 pixels about each bright cell,
    of the first class with the cell's brightness and of the second with half of it."""
    height, width = 32, 64
    fine = (height // 8) * (width // 8)
    every = sum((height // stride) * (width // stride) for stride in STRIDES)
    share = np.zeros((1, 1, len(names)), np.float32)
    share[..., :2] = [1.0, 0.5]
    constants: dict[str, Value] = {
        "share_of": share,
        "rest": np.zeros((1, every - fine, 1), np.float32),
        "reach": np.full((1, every, 4), 4.0, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["image"], perm=[0, 3, 1, 2]),
        *_brightness("image", constants),
        helper.make_node("Concat", ["cells", "rest"], ["objectness"], axis=1),
        helper.make_node("Mul", ["objectness", "share_of"], ["scores"]),
    ]
    return model(
        [*nodes, helper.make_node("Identity", ["reach"], ["sides"])],
        {"pixels": (TensorProto.UINT8, [1, "h", "w", 3])},
        {"scores": (TensorProto.FLOAT, [1, "n", "c"]), "sides": (TensorProto.FLOAT, [1, "n", 4])},
        constants,
        {"names": json.dumps(list(names)), "calibration": json.dumps(calibration or {})},
    )


def detr_boxes() -> bytes:
    """D-FINE's and RT-DETR's answer: two boxes in the size that was asked for, and one of a class nobody named."""
    shares = np.float32([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.25], [0.0, 0.0, 1.0, 1.0]])[None]
    constants: dict[str, Value] = {
        "shares": shares,
        "labels_of": np.array([[2, 0, 7]], np.int64),
        "scores_of": np.float32([[0.6, 0.8, 0.9]]),
        "twice": np.array([1, 2], np.int64),
        "middle": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["size"], to=TensorProto.FLOAT),
        helper.make_node("Tile", ["size", "twice"], ["sides"]),
        helper.make_node("Unsqueeze", ["sides", "middle"], ["row"]),
        helper.make_node("Mul", ["shares", "row"], ["boxes"]),
        helper.make_node("Identity", ["labels_of"], ["labels"]),
        helper.make_node("Identity", ["scores_of"], ["scores"]),
    ]
    inputs: Values = {
        "images": (TensorProto.FLOAT, [1, 3, SIDE, SIDE]),
        "orig_target_sizes": (TensorProto.INT64, [1, 2]),
    }
    outputs: Values = {
        "labels": (TensorProto.INT64, [1, "q"]),
        "boxes": (TensorProto.FLOAT, [1, "q", 4]),
        "scores": (TensorProto.FLOAT, [1, "q"]),
    }
    return model(nodes, inputs, outputs, constants)


def detr_queries(boxes: str, logits: str, *, bias: float = 0.0) -> bytes:
    """RF-DETR's (`dets`, `labels`) or Transformers' (`pred_boxes`, `logits`) answer: two queries; the mean of the
    normalised input is added to the logit of the first query's class 1."""
    constants: dict[str, Value] = {
        "boxes_of": np.float32([[[0.5, 0.5, 0.5, 1.0], [0.25, 0.25, 0.5, 0.5]]]),
        "logits_of": np.float32([[[-9.0, bias, -9.0], [3.0, -9.0, 2.0]]]),
        "place": np.float32([[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]),
        "one": np.array([1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean_value"], keepdims=0),
        helper.make_node("Reshape", ["mean_value", "one"], ["cell"]),
        helper.make_node("Mul", ["cell", "place"], ["extra"]),
        helper.make_node("Add", ["logits_of", "extra"], [logits]),
        helper.make_node("Identity", ["boxes_of"], [boxes]),
    ]
    outputs: Values = {boxes: (TensorProto.FLOAT, [1, "q", 4]), logits: (TensorProto.FLOAT, [1, "q", "c"])}
    return model(nodes, {"input": (TensorProto.FLOAT, [1, 3, SIDE, SIDE])}, outputs, constants)
