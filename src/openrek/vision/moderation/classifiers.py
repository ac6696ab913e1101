"""Image classifiers of one's own for moderation: any ONNX file with a card of the task `moderation-classification`.

The card's `labels` file names the classes in the order of the only output. Its `preprocess` table says how the picture
goes in and what the classes mean:

    [preprocess]
    size = 224                      # pixels of the square that the picture is squeezed into
    layout = "NCHW"                 # or "NHWC"
    mean = [0.485, 0.456, 0.406]    # of RGB values 0..1; default 0
    std = [0.229, 0.224, 0.225]     # default 1
    activation = "softmax"          # of the output: softmax, sigmoid, or none where it holds probabilities already
    [preprocess.moderation]         # class -> a name of the moderation taxonomy; classes left out mean nothing unsafe
    hentai = "Explicit"
    porn = "Explicit"
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from openrek.vision.image import Picture
from openrek.vision.moderation.taxonomy import NODES
from openrek.vision.runtime import Card, CardError, Model

TASK: Final = "moderation-classification"

Three = tuple[float, float, float]
Floats = NDArray[np.float32]


class Preprocess(BaseModel):
    """The `preprocess` table of a card, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=16, le=2048)] = 224
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: Three = (0.0, 0.0, 0.0)
    std: Three = (1.0, 1.0, 1.0)
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    moderation: Annotated[dict[str, str], Field(min_length=1)]

    @field_validator("moderation")
    @classmethod
    def _names_of_the_taxonomy(cls, value: dict[str, str]) -> dict[str, str]:
        for label in value.values():
            if label not in NODES:
                raise ValueError(f"{label!r} is not a name of the moderation taxonomy")
        return value


def cards(catalogue: Iterable[Card]) -> tuple[Card, ...]:
    """The cards of moderation classifiers."""
    return tuple(card for card in catalogue if card.task == TASK)


def preprocess_of(card: Card) -> Preprocess:
    """Raises CardError where the card does not describe a moderation classifier."""
    try:
        return Preprocess.model_validate(card.preprocess)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(["preprocess", *(str(part) for part in first["loc"])])
        raise CardError(f"The model card {card.name!r} is not valid: {where}: {first['msg']}.") from error


def labels_of(card: Card) -> frozenset[str]:
    """The names of the taxonomy that a classifier can give."""
    return frozenset(preprocess_of(card).moderation.values())


def classify(picture: Picture, model: Model) -> list[tuple[str, float]]:
    """(name of the taxonomy, probability 0..1) for every class that means one. Raises ModelError."""
    how = preprocess_of(model.card)
    classes = model.card.read_labels()
    values = model.run({model.input_names[0]: fit(picture, how)}, model.output_names[:1])[0].reshape(-1)
    if len(values) != len(classes):
        raise CardError(
            f"The model {model.card.name!r} has {len(values)} outputs, and its labels file {len(classes)} lines."
        )
    unknown = set(how.moderation) - set(classes)
    if unknown:
        raise CardError(f"The model card {model.card.name!r} gives a meaning to {min(unknown)!r}, which is no class.")
    probabilities = _activated(values.astype(np.float32), how.activation)
    return [
        (how.moderation[name], float(probability))
        for name, probability in zip(classes, probabilities, strict=True)
        if name in how.moderation
    ]


def fit(picture: Picture, how: Preprocess) -> Floats:
    """The input of a classifier: (1, 3, size, size) or (1, size, size, 3) float32."""
    shrinks = min(picture.width, picture.height) > how.size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    square = cv2.resize(picture.pixels, (how.size, how.size), interpolation=interpolation)
    values = (square.astype(np.float32) / 255 - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
    return np.ascontiguousarray((values.transpose(2, 0, 1) if how.layout == "NCHW" else values)[None])


def _activated(values: Floats, activation: str) -> Floats:
    if activation == "softmax":
        odds = np.exp(values - values.max())
        return np.asarray(odds / odds.sum(), np.float32)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)
    return np.clip(values, 0, 1)
