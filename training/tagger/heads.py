"""What the recipes of heads on the tagger's embedding share: reading pictures, pooling regions, writing the file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from openrek.vision.backbone import STRIDE, fit, regions
from openrek.vision.runtime.session import Session

Floats = NDArray[np.float32]


def read(path: Path) -> NDArray[np.uint8]:
    """The picture's pixels (H, W, 3), RGB; ends the program where it cannot be read."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path} cannot be read; unpack images.zip of the data sets beside their labels.csv")
    return np.asarray(picture[..., ::-1], np.uint8)


def embed(pixels: NDArray[np.uint8], session: Session) -> Floats:
    """Embeddings (R, 1280) of a picture's regions, the whole first."""
    fitted = fit(pixels)
    rows, columns = (side // STRIDE for side in fitted.shape[:2])
    feeds: dict[str, NDArray[Any]] = {"pixels": fitted[None], "regions": regions(rows, columns)[None]}
    return np.asarray(session.run(feeds, ("embedding",))[0][0], np.float32)


def pooled(scores: Floats) -> float:
    """The whole picture, which comes first, and the best region count half each."""
    return float((scores[0] + scores.max()) / 2)


def write(weight: Floats, bias: Floats, names: Sequence[str], path: Path) -> None:
    """Linear heads as ONNX: `embedding` (R, 1280) of one picture -> `confidences` (K,), pooled as `pooled` does.

    weight (1280, K), bias (K,): log odds of a region.
    """
    constants = {
        "weight": weight.astype(np.float16),
        "bias": bias.astype(np.float32),
        "first": np.array([0], np.int64),
        "half": np.float32(0.5),
    }
    nodes = [
        helper.make_node("Cast", ["weight"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["embedding", "wide", "bias"], ["scores"]),
        helper.make_node("Gather", ["scores", "first"], ["whole"], axis=0),
        helper.make_node("ReduceMax", ["scores"], ["best"], axes=[0], keepdims=1),
        helper.make_node("Add", ["whole", "best"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["mean"]),
        helper.make_node("Sigmoid", ["mean"], ["likely"]),
        helper.make_node("Squeeze", ["likely", "first"], ["confidences"]),
    ]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["regions", weight.shape[0]])],
        [helper.make_tensor_value_info("confidences", TensorProto.FLOAT, [len(names)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, producer_name="openrek training/tagger")
    model.ir_version = 8
    helper.set_model_props(model, {"names": ",".join(names)})
    checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)
    print(f"{path.name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
