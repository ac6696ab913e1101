"""The moderation taxonomy, version 7.0: three levels, exact names; and how the names of version 6 map into it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

VERSION: Final = "7.0"

_TREE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "Explicit": {
        "Explicit Nudity": (
            "Exposed Male Genitalia",
            "Exposed Female Genitalia",
            "Exposed Buttocks or Anus",
            "Exposed Female Nipple",
        ),
        "Explicit Sexual Activity": (),
        "Sex Toys": (),
    },
    "Non-Explicit Nudity of Intimate parts and Kissing": {
        "Non-Explicit Nudity": (
            "Bare Back",
            "Exposed Male Nipple",
            "Partially Exposed Buttocks",
            "Partially Exposed Female Breast",
            "Implied Nudity",
        ),
        "Obstructed Intimate Parts": ("Obstructed Female Nipple", "Obstructed Male Genitalia"),
        "Kissing on the Lips": (),
    },
    "Swimwear or Underwear": {"Female Swimwear or Underwear": (), "Male Swimwear or Underwear": ()},
    "Violence": {
        "Weapons": (),
        "Graphic Violence": (
            "Weapon Violence",
            "Physical Violence",
            "Self-Harm",
            "Blood & Gore",
            "Explosions and Blasts",
        ),
    },
    "Visually Disturbing": {"Death and Emaciation": ("Emaciated Bodies", "Corpses"), "Crashes": ("Air Crash",)},
    "Drugs & Tobacco": {"Products": ("Pills",), "Drugs & Tobacco Paraphernalia & Use": ("Smoking",)},
    "Alcohol": {"Alcohol Use": ("Drinking",), "Alcoholic Beverages": ()},
    "Rude Gestures": {"Middle Finger": ()},
    "Gambling": {},
    "Hate Symbols": {"Nazi Party": (), "White Supremacy": (), "Extremist": ()},
}

V6_TO_V7: Final[Mapping[str, tuple[str, ...]]] = {
    "Explicit Nudity": ("Explicit",),
    "Nudity": ("Explicit Nudity",),
    "Graphic Male Nudity": ("Exposed Male Genitalia",),
    "Graphic Female Nudity": ("Exposed Female Genitalia",),
    "Sexual Activity": ("Explicit Sexual Activity",),
    "Illustrated Explicit Nudity": ("Explicit",),
    "Adult Toys": ("Sex Toys",),
    "Suggestive": ("Non-Explicit Nudity of Intimate parts and Kissing", "Swimwear or Underwear"),
    "Female Swimwear Or Underwear": ("Female Swimwear or Underwear",),
    "Male Swimwear Or Underwear": ("Male Swimwear or Underwear",),
    "Partial Nudity": ("Implied Nudity", "Partially Exposed Buttocks", "Partially Exposed Female Breast"),
    "Barechested Male": ("Exposed Male Nipple",),
    "Revealing Clothes": (),
    "Sexual Situations": (),
    "Violence": ("Violence",),
    "Graphic Violence Or Gore": ("Blood & Gore",),
    "Physical Violence": ("Physical Violence",),
    "Weapon Violence": ("Weapon Violence",),
    "Weapons": ("Weapons",),
    "Self Injury": ("Self-Harm",),
    "Visually Disturbing": ("Visually Disturbing",),
    "Emaciated Bodies": ("Emaciated Bodies",),
    "Corpses": ("Corpses",),
    "Hanging": ("Self-Harm",),
    "Air Crash": ("Air Crash",),
    "Explosions And Blasts": ("Explosions and Blasts",),
    "Rude Gestures": ("Rude Gestures",),
    "Middle Finger": ("Middle Finger",),
    "Drugs": ("Drugs & Tobacco",),
    "Drug Products": ("Products",),
    "Drug Use": ("Drugs & Tobacco Paraphernalia & Use",),
    "Pills": ("Pills",),
    "Drug Paraphernalia": ("Drugs & Tobacco Paraphernalia & Use",),
    "Tobacco": ("Drugs & Tobacco",),
    "Tobacco Products": ("Products",),
    "Smoking": ("Smoking",),
    "Alcohol": ("Alcohol",),
    "Drinking": ("Drinking",),
    "Alcoholic Beverages": ("Alcoholic Beverages",),
    "Gambling": ("Gambling",),
    "Hate Symbols": ("Hate Symbols",),
    "Nazi Party": ("Nazi Party",),
    "White Supremacy": ("White Supremacy",),
    "Extremist": ("Extremist",),
}
"""Every name of versions 6.0 and 6.1 to its names here; empty where version 7 has none. "Illustrated Explicit Nudity"
is Explicit together with the content type Illustrated or Animated. Rows beyond the top levels are a reading of the two
lists, not a published table. Labels that came from people (adapters, stored review conditions) are brought over with
it; answers are always of version 7."""


@dataclass(frozen=True, slots=True)
class Node:
    """A name of the tree. parent: the name above it, "" at level 1. level: 1 to 3."""

    name: str
    parent: str
    level: int


def _nodes() -> Iterator[Node]:
    for first, seconds in _TREE.items():
        yield Node(first, "", 1)
        for second, thirds in seconds.items():
            yield Node(second, first, 2)
            for third in thirds:
                yield Node(third, second, 3)


NODES: Final[Mapping[str, Node]] = {node.name: node for node in _nodes()}
"""All names in the tree's order."""

LEAVES: Final = tuple(name for name in NODES if all(node.parent != name for node in NODES.values()))


def ancestors(name: str) -> tuple[str, ...]:
    """The names above one, the closest first. Raises KeyError for a name that the tree does not have."""
    parent = NODES[name].parent
    return (parent, *ancestors(parent)) if parent else ()
