"""The heads that this project trained on the shared backbone: one confidence each for a picture.

One small network reads the backbone's regions, the surest boxes of the object detector of the pack base and the
picture's surface; see training/moderation/README.md.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.backbone import fit
from openrek.vision.look import Look
from openrek.vision.moderation.statistics import surface
from openrek.vision.objects import Objects

MODEL: Final = "moderation"

LABELS: Final[Mapping[str, str]] = {
    "pistol": "Weapons",
    "knife": "Weapons",
    "long_gun": "Weapons",
    "smoking": "Smoking",
    "fire": "Explosions and Blasts",
    "playing_card": "Gambling",
    "slot_machine": "Gambling",
    "alcohol": "Alcoholic Beverages",
    "pills": "Pills",
    "syringe": "Drugs & Tobacco Paraphernalia & Use",
    "female_swimwear": "Female Swimwear or Underwear",
    "male_swimwear": "Male Swimwear or Underwear",
}
"""What a head's evidence is evidence of. Fire: nothing at hand tells a blast from a blaze, so an open fire counts as
"Explosions and Blasts" and the documents say so."""

CONTENT_TYPES: Final[Mapping[str, str]] = {"animated": "Animated", "illustrated": "Illustrated"}


def read_heads(look: Look) -> dict[str, float]:
    """Probability 0..1 by head. Raises ModelError where a model cannot be had or run."""
    model = look.runtime.model(MODEL)
    seen = look.features
    feeds = {
        "logits": seen.logits,
        "embeddings": seen.embeddings,
        "objects": best_of(look.base_objects, json.loads(model.metadata["objects"])),
        "surface": surface(fit(look.picture.pixels)),
    }
    (confidences,) = model.run(feeds, ("confidences",))
    return dict(zip(json.loads(model.metadata["heads"]), map(float, confidences), strict=True))


def best_of(found: Objects, names: Sequence[str]) -> NDArray[np.float32]:
    """(len(names),) the probability 0..1 of the surest object of each class; 0 where there is none, or where the
    detector does not know the class."""
    return np.array([found.of(name).scores.max(initial=0.0) for name in names], np.float32)
