"""Zero-shot labels: a CLIP or SigLIP pair of encoders of one's own, over the whole taxonomy.

Two cards, one for each ONNX file. The image encoder's has the task `label-zero-shot`:

    [preprocess]
    size = 224                      # and fit, layout, mean, std as for classifiers
    text = "my-clip-text"           # the card of the text encoder
    prompt = "a photo of a {}"      # {} becomes the label in lower case
    activation = "softmax"          # CLIP: over all labels; "sigmoid" for SigLIP: each label by itself
    scale = 100.0                   # of the cosines, as published with the weights
    bias = 0.0
    least = 0.05                    # probabilities below are not reported
    knots = [[0, 0], [0.3, 0.6], [1, 1]]  # where measured: probability -> share that is right

the text encoder's the task `label-text-encoder`:

    [preprocess]
    tokenizer = "tokenizer.json"    # beside the card, as the library `tokenizers` reads it
    length = 77                     # tokens of a text, cut or filled up with `pad`
    pad = 0

The first output of both is an embedding (N, D). Texts go in as int64 (N, length) to the first input, and a mask of the
same shape to an input named `attention_mask`. Embeddings of the taxonomy's texts are made once and kept on disk.

Radford et al., "Learning transferable visual models from natural language supervision" (2021); Zhai et al., "Sigmoid
loss for language image pre-training" (2023).
"""

import hashlib
import importlib
import json
import secrets
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from openrek.vision.image import Picture
from openrek.vision.labels.classifiers import Square, activated, checked
from openrek.vision.labels.taxonomy import Taxonomy
from openrek.vision.runtime import Card, CardError, Model, ModelUnavailableError, Runtime

TASK: Final = "label-zero-shot"
TEXT_TASK: Final = "label-text-encoder"
FOLDER: Final = "text-embeddings"

_BATCH: Final = 64

Floats = NDArray[np.float32]


class Preprocess(Square):
    """The `preprocess` table of an image encoder's card, checked."""

    text: str
    prompt: Annotated[str, Field(pattern=r"\{\}")] = "a photo of a {}"
    activation: Literal["softmax", "sigmoid"] = "softmax"
    scale: float = 100.0
    bias: float = 0.0
    least: Annotated[float, Field(ge=0, le=1)] = 0.05
    knots: tuple[tuple[float, float], ...] = ()


class TextPreprocess(BaseModel):
    """The `preprocess` table of a text encoder's card, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str
    length: Annotated[int, Field(ge=1, le=512)] = 77
    pad: Annotated[int, Field(ge=0)] = 0


def zero_shot(picture: Picture, model: Model, runtime: Runtime, table: Taxonomy) -> list[tuple[str, float]]:
    """(label, probability 0..1) over the whole taxonomy. Raises CardError, ModelUnavailableError, ModelRunError."""
    how = checked(Preprocess, model.card)
    texts = text_embeddings(how, runtime, table)
    (image,) = model.run({model.input_names[0]: how.input(picture)}, model.output_names[:1])
    if image.shape != (1, texts.shape[1]):
        raise CardError(
            f"The encoders {model.card.name!r} and {how.text!r} do not belong together: their embeddings have "
            f"{image.size} and {texts.shape[1]} numbers."
        )
    cosines = texts @ normalised(image)[0]
    scores = activated(how.scale * cosines + how.bias, how.activation)
    if how.activation == "softmax":
        scores = table.with_descendants(scores)  # an ancestor is as likely as all its kinds together
    if how.knots:
        knots = np.asarray(how.knots, np.float64)
        scores = np.asarray(np.interp(scores, knots[:, 0], knots[:, 1]), np.float32)
    return [(name, float(score)) for name, score in zip(table, scores, strict=True) if score >= how.least]


def text_encoder(card: Card) -> str:
    """The name of the text encoder that belongs to an image encoder; raises CardError."""
    return checked(Preprocess, card).text


def text_embeddings(how: Preprocess, runtime: Runtime, table: Taxonomy) -> Floats:
    """(L, D) of unit length, for the labels in the taxonomy's order: read from the cache, or made and kept there."""
    prompts = [how.prompt.replace("{}", name.lower()) for name in table]
    encoder = runtime.catalogue[how.text]
    key = hashlib.sha256(json.dumps([encoder.sha256, encoder.preprocess, prompts]).encode()).hexdigest()[:24]
    path = runtime.library.cache.root / FOLDER / f"{encoder.name}-{key}.npy"
    try:
        kept = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        kept = None
    if kept is None or kept.ndim != 2 or len(kept) != len(prompts):
        kept = _encoded(prompts, runtime.model(how.text))
        _keep(kept, path)
    return np.asarray(kept, np.float32)


def _encoded(prompts: list[str], model: Model) -> Floats:
    how = checked(TextPreprocess, model.card)
    tokenizer = _tokenizer(model.card.folder / how.tokenizer)
    tokenizer.enable_truncation(max_length=how.length)
    parts = []
    for start in range(0, len(prompts), _BATCH):
        tokens = np.full((len(prompts[start : start + _BATCH]), how.length), how.pad, np.int64)
        mask = np.zeros_like(tokens)
        for row, text in enumerate(tokenizer.encode_batch(prompts[start : start + _BATCH])):
            count = min(len(text.ids), how.length)
            tokens[row, :count], mask[row, :count] = text.ids[:count], 1
        feeds = {model.input_names[0]: tokens}
        if "attention_mask" in model.input_names[1:]:
            feeds["attention_mask"] = mask
        parts.append(np.asarray(model.run(feeds, model.output_names[:1])[0], np.float32))
    return normalised(np.concatenate(parts))


def _tokenizer(path: Path) -> Any:
    try:
        tokenizers = importlib.import_module("tokenizers")
    except ImportError as error:
        raise ModelUnavailableError(
            "Zero-shot labels need the package tokenizers, which is not installed: pip install 'openrek[zero-shot]'."
        ) from error
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise CardError(f"The tokenizer {path} cannot be read: {error}.") from error


def _keep(values: Floats, path: Path) -> None:
    """Written beside and moved into place, so that no reader meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            np.save(file, values.astype(np.float16))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def normalised(vectors: Floats) -> Floats:
    """Rows (N, D) of unit length."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
