"""What ImageNet has no class for: everyday concepts (Water, Street, Crowd), and more kinds of things (Sunflower).

Small heads on the backbone's embedding, in files of their own (the cards `everyday` and `kinds`): one probability a
label.
"""

from typing import Final

from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.look import Look

EVERYDAY: Final = "everyday"
KINDS: Final = "kinds"


def heads(look: Look, name: str) -> list[tuple[str, float]]:
    """The labels of a model's heads with their probabilities 0..1. Raises ModelError where it cannot be had or run."""
    model = look.runtime.model(name)
    (confidences,) = model.run({"embedding": look.features.embeddings})
    labels = taxonomy().by_evidence
    names = model.metadata["names"].split(",")
    return [
        (labels[f"{model.card.name}:{label}"].name, float(value))
        for label, value in zip(names, confidences, strict=True)
    ]
