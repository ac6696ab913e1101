"""Image classifiers of one's own as a further source of labels: any ONNX file with a card of the task
`label-classification`.

The card's `labels` file names the classes in the order of the first output. A class means the label of the taxonomy
with its name or alias, whatever its case, with spaces for underscores, and with the first of several names that commas
separate ("tabby, tabby cat"). Its `preprocess` table says how the picture goes in and what else the classes mean:

    [preprocess]
    size = 224                      # pixels of the input's sides
    fit = "squeeze"                 # or "crop": the middle square
    layout = "NCHW"                 # or "NHWC"
    mean = [0.485, 0.456, 0.406]    # of RGB values 0..1; default 0
    std = [0.229, 0.224, 0.225]     # default 1
    activation = "softmax"          # of the output: softmax, sigmoid, or none where it holds probabilities already
    least = 0.05                    # probabilities below are not reported
    [preprocess.names]              # class -> label, where the names differ; "" for a class that means none
    "n02123045" = "Cat"

A class that means no label is left out; what was left out is logged when the model is first used.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Final, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openrek.vision.image import Picture
from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.runtime import Card, CardError, Model

log = logging.getLogger(__name__)

TASK: Final = "label-classification"

Three = tuple[float, float, float]
Floats = NDArray[np.float32]
Table = TypeVar("Table", bound=BaseModel)

_said: set[str] = set()  # models whose unknown classes were logged


class Square(BaseModel):
    """How a picture becomes the square input of a network: the keys that all adapters share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=16, le=2048)] = 224
    fit: Literal["squeeze", "crop"] = "squeeze"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: Three = (0.0, 0.0, 0.0)
    std: Three = (1.0, 1.0, 1.0)

    def input(self, picture: Picture) -> Floats:
        """(1, 3, size, size) or (1, size, size, 3) float32."""
        pixels = picture.pixels
        if self.fit == "crop":
            side = min(picture.width, picture.height)
            top, left = (picture.height - side) // 2, (picture.width - side) // 2
            pixels = pixels[top : top + side, left : left + side]
        shrinks = min(pixels.shape[:2]) > self.size
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        square = cv2.resize(pixels, (self.size, self.size), interpolation=interpolation)
        values = (square.astype(np.float32) / 255 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray((values.transpose(2, 0, 1) if self.layout == "NCHW" else values)[None])


class Preprocess(Square):
    """The `preprocess` table of a classifier's card, checked."""

    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    least: Annotated[float, Field(ge=0, le=1)] = 0.05
    names: dict[str, str] = {}


def classify(picture: Picture, model: Model) -> list[tuple[str, float]]:
    """(label, probability 0..1) of every class that means one. Raises CardError and ModelRunError."""
    how, meanings = _described(model.card)
    values = model.run({model.input_names[0]: how.input(picture)}, model.output_names[:1])[0].reshape(-1)
    if len(values) != len(meanings):
        raise CardError(
            f"The model {model.card.name!r} has {len(values)} outputs, and its labels file {len(meanings)} lines."
        )
    probabilities = activated(np.asarray(values, np.float32), how.activation)
    return [
        (name, float(probability))
        for name, probability in zip(meanings, probabilities, strict=True)
        if name and probability >= how.least
    ]


def _described(card: Card) -> tuple[Preprocess, tuple[str, ...]]:
    how = checked(Preprocess, card)
    classes = card.read_labels()
    if strangers := set(how.names) - set(classes):
        raise CardError(f"The model card {card.name!r} names {min(strangers)!r}, which is no line of its labels file.")
    meanings = tuple(label_of(how.names.get(name, name)) for name in classes)
    for name, label in how.names.items():
        if label and not label_of(label):
            raise CardError(f"The model card {card.name!r} maps {name!r} to {label!r}, which is no label.")
    unknown = [name for name, meaning in zip(classes, meanings, strict=True) if not meaning and name not in how.names]
    say_left_out(card.name, unknown, len(classes))
    return how, meanings


def say_left_out(model: str, unknown: Sequence[str], count: int) -> None:
    """Log, once a model, which of its `count` classes mean no label."""
    if unknown and model not in _said:
        _said.add(model)
        shown = ", ".join(unknown[:10]) + (" ..." if len(unknown) > 10 else "")
        log.warning("%s: %d of %d classes mean no label: %s", model, len(unknown), count, shown)


def label_of(name: str) -> str:
    """The label that a class of this name means, or "" for none."""
    plain = name.replace("_", " ").strip().casefold()
    return _spellings().get(plain) or _spellings().get(plain.partition(",")[0].strip(), "")


@cache
def _spellings() -> dict[str, str]:
    names = {alias.casefold(): label.name for label in taxonomy().values() for alias in label.aliases}
    return names | {name.casefold(): name for name in taxonomy()}


def checked(kind: type[Table], card: Card) -> Table:
    """The `preprocess` table of a card as this kind; raises CardError that names what is wrong."""
    try:
        return kind.model_validate(card.preprocess)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(["preprocess", *(str(part) for part in first["loc"])])
        raise CardError(f"The model card {card.name!r} is not valid: {where}: {first['msg']}.") from error


def activated(values: Floats, activation: str) -> Floats:
    """Probabilities of a network's outputs (C,)."""
    if activation == "softmax":
        odds = np.exp(values - values.max())
        return np.asarray(odds / odds.sum(), np.float32)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)
    return np.clip(values, 0, 1)
