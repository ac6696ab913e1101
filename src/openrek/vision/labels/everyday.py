"""Everyday concepts: what scenes and photos of daily life show and ImageNet has no class for (Water, Street, Crowd).

Small heads on the backbone's embedding, in a file of their own (the card `everyday`), one probability a concept.
"""

from typing import Final

from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.look import Look

MODEL: Final = "everyday"


def everyday(look: Look) -> list[tuple[str, float]]:
    """The labels of the heads with their probabilities 0..1. Raises ModelError where a model cannot be had or run."""
    model = look.runtime.model(MODEL)
    (confidences,) = model.run({"embedding": look.features.embeddings})
    labels = taxonomy().by_evidence
    names = model.metadata["names"].split(",")
    return [(labels[f"{MODEL}:{name}"].name, float(value)) for name, value in zip(names, confidences, strict=True)]
