"""What the tagging backbone names by itself: alcohol, swimwear and syringes as ImageNet shows them.

The heads for these learnt from pictures of 64 pixels and are seldom sure of a photo of ordinary size; the backbone's
own classes are, on the things that they know.
"""

from collections.abc import Mapping
from typing import Final

from openrek.vision.backbone import MODEL
from openrek.vision.labels.tagger import read_tags
from openrek.vision.look import Look
from openrek.vision.odds import log_odds, logistic

NAMED: Final[Mapping[str, str]] = {
    "Alcohol": "Alcoholic Beverages",
    "Syringe": "Drugs & Tobacco Paraphernalia & Use",
}
"""Labels that are believed as they are. Of 947 pictures of five origins three are so called Alcohol at 60 %: two with
wine and a can of beer."""

SWIMWEAR: Final = "Swimwear or Underwear"
WORN: Final[Mapping[str, str]] = {
    "female_swimwear": "Female Swimwear or Underwear",
    "male_swimwear": "Male Swimwear or Underwear",
}
BY_HEADS: Final = (0.8, 0.6, 0.5)
"""Bias, and weights of the log odds of the label Swimwear and of the surer head; see `swimwear`."""


def evidence(look: Look, read: Mapping[str, float]) -> list[tuple[str, float]]:
    """(name of the taxonomy, probability 0..1). read: the heads' answers. Raises ModelError."""
    tags = {tag.label.name: tag.confidence for tag in read_tags(look.features, look.runtime.model(MODEL).metadata)}
    found = [(name, tags[label]) for label, name in NAMED.items() if label in tags]
    return found + swimwear(tags.get("Swimwear", 0.0), {head: read[head] for head in WORN})


def swimwear(tag: float, heads: Mapping[str, float]) -> list[tuple[str, float]]:
    """Swimwear that the label and the heads agree on, each of which takes bare shoulders for it; whose it is say the
    heads. Nothing where the label says less than 30 %: then the heads stand alone."""
    best = max(heads.values())
    if tag < 0.3:
        return []
    bias, by_tag, by_heads = BY_HEADS
    likely = logistic(bias + by_tag * log_odds(tag) + by_heads * log_odds(best))
    whole = sum(heads.values())
    return [(SWIMWEAR, likely), *((WORN[head], likely * value / whole) for head, value in heads.items() if whole > 0)]
