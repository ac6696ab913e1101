"""The forms in which detectors take a picture and give their boxes.

A card names its model's form in `[preprocess]`:

- `"dense"`: the detectors trained here. One input, (1, H, W, 3) uint8 RGB with sides in multiples of 32; outputs, per
  cell of the strides 8, 16 and 32, `scores` (1, N, C) and `sides` (1, N, 4): how many pixels the box reaches to the
  left, top, right and bottom of the cell's centre. A model of several heads answers all cells once for each.
- `"yolox"`: YOLOX exports without decoding (Ge et al. 2021, arXiv:2107.08430, `demo/ONNXRuntime` of its repository).
  One output (1, N, 5 + C): per cell of the strides 8, 16 and 32 the centre's offset and the sides' logarithms in
  strides, then objectness and class probabilities.
- `"detr-boxes"`: D-FINE and RT-DETR exports with their post-processor: inputs `images` and `orig_target_sizes` (width,
  height), outputs `labels`, `boxes` (xyxy in the size given) and `scores`, each (1, Q, ...).
- `"detr-queries"`: RF-DETR (`dets`, `labels`), LW-DETR and Transformers exports (`pred_boxes`, `logits`): boxes
  (1, Q, 4) as centre and size in shares of the input, class logits (1, Q, C).

Further keys of `[preprocess]`: `side` (input side or longest side), `fit` ("letterbox" or "stretch"), `fill`, `colours`
("RGB" or "BGR"), `scale`, `mean`, `std` (of the scaled channels), `overlap` (IoU from which two boxes of a class are
one; 1 keeps all). The card's `labels` file, or the model's metadata `names`, holds the class of each output channel;
"-" marks one that means nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openrek.vision.runtime import CardError, Model

Floats = NDArray[np.float32]
Form = Literal["dense", "yolox", "detr-boxes", "detr-queries"]

STRIDES = (8, 16, 32)
STRIDE = STRIDES[-1]


class Preprocess(BaseModel):
    """How a detector wants its picture, and how it answers; the keys of a card's `[preprocess]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Form
    side: int = Field(416, ge=32, le=4096)
    fit: Literal["letterbox", "stretch"] = "letterbox"
    fill: int = Field(114, ge=0, le=255)
    colours: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    enlarge: float = Field(8.0, ge=1, description="most a small picture is enlarged (dense form)")
    overlap: float = Field(0.6, gt=0, le=1)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Decoded answers: boxes (N, 4) xyxy in pixels of the fitted input, scores (N, C) 0..1."""

    boxes: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture brought to a detector's input: the pixels and how far each axis was stretched."""

    pixels: NDArray[np.uint8]
    x: float
    y: float


def preprocess_of(model: Model) -> Preprocess:
    """The card's description of the model's input and form; raises CardError where it has none or a wrong one."""
    try:
        return Preprocess.model_validate(model.card.preprocess)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in ("preprocess", *first["loc"]))
        raise CardError(f"The card {model.card.name!r} describes no detector: {where}: {first['msg']}.") from error


def names_of(model: Model) -> tuple[str, ...]:
    """The class of each score channel: from the model's metadata, else from the card's labels file."""
    names = json.loads(model.metadata["names"]) if "names" in model.metadata else model.card.read_labels()
    return tuple(str(name).strip().lower().replace(" ", "_") for name in names)


def fit(pixels: NDArray[np.uint8], how: Preprocess) -> Fitted:
    """Bring a picture (H, W, 3) to the detector's input size."""
    height, width = pixels.shape[:2]
    if how.fit == "stretch":
        size = (how.side, how.side)
    else:
        factor = how.side / max(height, width)
        if how.form == "dense":
            factor = min(factor, how.enlarge)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
    x, y = size[0] / width, size[1] / height
    shrinks = min(x, y) < 1
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rows, columns = (how.side, how.side) if how.form != "dense" else (_multiple(size[1]), _multiple(size[0]))
    canvas = np.full((rows, columns, 3), how.fill, np.uint8)
    canvas[: size[1], : size[0]] = small
    return Fitted(canvas, x, y)


def run(model: Model, fitted: Fitted, how: Preprocess) -> Found:
    """Run the detector on a fitted picture. Raises ModelRunError, or CardError where outputs are missing."""
    return _RUNNERS[how.form](model, fitted, how)


def _multiple(side: int) -> int:
    return max(1, -(-side // STRIDE)) * STRIDE


def _tensor(fitted: Fitted, how: Preprocess) -> Floats:
    """(1, 3, H, W) float32, scaled and normalised."""
    pixels = fitted.pixels if how.colours == "RGB" else fitted.pixels[..., ::-1]
    values: Floats = pixels.astype(np.float32) * np.float32(how.scale)
    if any(how.mean) or how.std != (1.0, 1.0, 1.0):
        values = np.divide(values - np.array(how.mean, np.float32), np.array(how.std, np.float32))
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)


def _dense(model: Model, fitted: Fitted, how: Preprocess) -> Found:
    scores, sides = _outputs(model, {model.input_names[0]: fitted.pixels[None]}, ("scores", "sides"))
    return Found(decode_sides(sides[0], fitted.pixels.shape[0], fitted.pixels.shape[1]), scores[0])


def decode_sides(sides: Floats, height: int, width: int) -> Floats:
    """Boxes (N, 4) xyxy of the distances (N, 4) of their sides from the cells' centres, all in pixels; raises CardError
    where N is not that of an input of this size, or a multiple of it."""
    origins, strides = _grid(height, width)
    heads = max(1, len(sides) // len(origins))
    _check(len(sides), heads * len(origins), height, width)
    centre = np.tile((origins + np.float32(0.5)) * strides, (heads, 1))
    return np.hstack([centre - sides[:, :2], centre + sides[:, 2:]])


def _yolox(model: Model, fitted: Fitted, how: Preprocess) -> Found:
    (raw,) = model.run({model.input_names[0]: _tensor(fitted, how)}, model.output_names[:1])
    return decode_yolox(raw[0], fitted.pixels.shape[0], fitted.pixels.shape[1])


def decode_yolox(raw: Floats, height: int, width: int) -> Found:
    """Raw YOLOX cells (N, 5 + C) of an input of this size; raises CardError where N is not that of its grids."""
    origins, strides = _grid(height, width)
    if len(raw) != len(origins):
        raise CardError(
            f"A YOLOX model answers {len(raw)} cells where an input of {width} x {height} has {len(origins)}."
        )
    centre = (raw[:, :2] + origins) * strides
    half = np.exp(np.minimum(raw[:, 2:4], 20.0)) * strides / 2
    boxes = np.hstack([centre - half, centre + half]).astype(np.float32)
    return Found(boxes, raw[:, 5:] * raw[:, 4:5])


def _check(cells: int, expected: int, height: int, width: int) -> None:
    if cells != expected:
        raise CardError(f"The model answers {cells} cells; a {width} x {height} input has {expected}.")


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Cell origins (N, 2) in cells and strides (N, 1), fine to coarse, row by row."""
    origins, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = np.divmod(np.arange(rows * columns), columns)
        origins.append(np.stack([x, y], axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(origins).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _detr_boxes(model: Model, fitted: Fitted, how: Preprocess) -> Found:
    height, width = fitted.pixels.shape[:2]
    feeds: dict[str, NDArray[Any]] = {
        "images": _tensor(fitted, how),
        "orig_target_sizes": np.array([[width, height]], np.int64),
    }
    labels, boxes, scores = _outputs(model, feeds, ("labels", "boxes", "scores"))
    return Found(boxes[0].astype(np.float32), one_hot(labels[0], scores[0], len(names_of(model))))


def one_hot(labels: NDArray[Any], scores: NDArray[Any], count: int) -> Floats:
    """(Q,) labels and scores as (Q, count) scores; labels beyond `count` are nothing."""
    table = np.zeros((len(labels), count), np.float32)
    known = np.nonzero((labels >= 0) & (labels < count))[0]
    table[known, labels[known].astype(np.intp)] = scores[known]
    return table


def _detr_queries(model: Model, fitted: Fitted, how: Preprocess) -> Found:
    height, width = fitted.pixels.shape[:2]
    pair = ("dets", "labels") if "dets" in model.output_names else ("pred_boxes", "logits")
    boxes, logits = _outputs(model, {model.input_names[0]: _tensor(fitted, how)}, pair)
    return decode_queries(boxes[0], logits[0], height, width)


def decode_queries(boxes: Floats, logits: Floats, height: int, width: int) -> Found:
    """DETR queries: boxes (Q, 4) centre and size in shares of the input; logits (Q, C), one sigmoid per class."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    sides = np.array([width, height, width, height], np.float32)
    scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    return Found((np.hstack([centre - half, centre + half]) * sides).astype(np.float32), scores.astype(np.float32))


def _outputs(model: Model, feeds: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> list[NDArray[Any]]:
    missing = [name for name in names if name not in model.output_names]
    if missing:
        raise CardError(
            f"The model {model.card.name!r} has no output {missing[0]!r}; it answers {', '.join(model.output_names)}."
        )
    return model.run(feeds, names)


_RUNNERS: dict[Form, Callable[[Model, Fitted, Preprocess], Found]] = {
    "dense": _dense,
    "yolox": _yolox,
    "detr-boxes": _detr_boxes,
    "detr-queries": _detr_queries,
}
