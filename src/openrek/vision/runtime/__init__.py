"""The model runtime: cards, packs, files out of published packages and addresses, ONNX Runtime sessions."""

from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.errors import (
    CardError,
    ModelError,
    ModelRunError,
    ModelUnavailableError,
    UnknownModelError,
)
from openrek.vision.runtime.library import ModelLibrary, Progress
from openrek.vision.runtime.runtime import Model, Runtime

__all__ = [
    "Card",
    "CardError",
    "Catalogue",
    "Model",
    "ModelError",
    "ModelLibrary",
    "ModelRunError",
    "ModelUnavailableError",
    "Progress",
    "Runtime",
    "UnknownModelError",
]
