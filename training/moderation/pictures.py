"""The labelled pictures that the heads learn from, in one form: pixels, what is in them and where.

Every set of `SETS` is a folder with images.zip and labels.csv. What a set says of a head is a claim of its labels only:
where a set says nothing (a soldier's photo and weapons), the head does not learn from it.
"""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.objects import samples as boxed
from training.objects.classes import NAMES

HEADS: Final = (
    "pistol", "knife", "long_gun", "smoking", "fire", "playing_card", "alcohol", "pills", "syringe",
    "female_swimwear", "male_swimwear",
)  # fmt: skip

Box = tuple[float, float, float, float]
WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture. key: its source and name. shown: (head, box as ratios of the sides); unknown: heads that the set
    says nothing of; all other heads are not in the picture."""

    key: str
    pixels: NDArray[np.uint8]
    shown: tuple[tuple[str, Box], ...] = ()
    unknown: frozenset[str] = field(default_factory=frozenset)

    @property
    def source(self) -> str:
        return self.key.partition("/")[0]


_WEAPONS = frozenset({"pistol", "knife", "long_gun"})
_PEOPLE_DOING_THINGS = frozenset({"smoking", "alcohol", "female_swimwear", "male_swimwear"})
_OBJECTS = {
    "beer_bottle": "alcohol", "pill_bottle": "pills", "syringe": "syringe", "bikini": "female_swimwear",
    "swimming_trunks": "male_swimwear",
}  # fmt: skip

# what may be in a set's pictures without being labelled
UNKNOWN: Final[Mapping[str, frozenset[str]]] = {
    "weapon-boxes": frozenset({"smoking", "alcohol", "female_swimwear", "male_swimwear"}),
    "smoking-boxes": frozenset({"alcohol", "female_swimwear", "male_swimwear", "pistol"}),
    "fire-boxes": frozenset(),
    "playing-cards": frozenset({"alcohol"}),
    "moderation-objects": frozenset(),
    "street-boxes": frozenset({"alcohol", "female_swimwear", "male_swimwear"}),
    "faces": frozenset({"female_swimwear", "male_swimwear"}),  # of portraits perhaps one in fifty smokes
}

SETS: Final = (
    "weapon-boxes", "smoking-boxes", "fire-boxes", "playing-cards", "moderation-objects", "street-boxes",
    "objects-101", "ppe-boxes", "face-mask-boxes", "age-gender",
)  # fmt: skip
_AT_MOST: Final = {
    "scenes": 500, "landmarks": 300, "ppe-boxes": 400, "age-gender": 500, "moderation-objects": 1600,
}  # fmt: skip


def read(data: Path, name: str) -> Iterator[Sample]:
    """The samples of one set, in the order of its labels.csv (large sets evenly thinned)."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (data / name / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["image"]].append(row)
    images = list(rows)
    most = _AT_MOST.get(name, len(images))
    if len(images) > most:
        images = [images[i * len(images) // most] for i in range(most)]
    with zipfile.ZipFile(data / name / "images.zip") as archive:
        for image in images:
            with Image.open(io.BytesIO(archive.read(image))) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            yield _sample(name, image, pixels, rows[image])


def read_upright(objects: Path) -> Iterator[Sample]:
    """The samples of weapon-boxes as `training.objects.prepare` wrote them to `objects`: half of the set's pictures are
    turned by a quarter or two, which no photo at hand of people without weapons is; there they stand up."""
    for each in boxed.read(objects):
        if each.source == "weapon-boxes":
            height, width = each.pixels.shape[:2]
            ratios = each.boxes.boxes / np.array([width, height, width, height], np.float32)
            shown = tuple(
                (NAMES[number], (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
                for number, kind, box in zip(each.boxes.classes, each.boxes.kinds, ratios, strict=True)
                if kind == boxed.TRUTH
            )
            yield Sample(f"{each.source}/{each.name}", np.array(each.pixels), shown, UNKNOWN[each.source])


def _sample(name: str, image: str, pixels: NDArray[np.uint8], rows: list[dict[str, str]]) -> Sample:
    height, width = pixels.shape[:2]

    def box(row: Mapping[str, str]) -> Box:
        return (
            float(row["left"]) / width, float(row["top"]) / height,
            float(row["right"]) / width, float(row["bottom"]) / height,
        )  # fmt: skip

    unknown = UNKNOWN.get(name, frozenset())
    shown: list[tuple[str, Box]] = []
    for row in rows:
        label = row.get("label", "")
        if name in {"weapon-boxes", "smoking-boxes"}:
            shown.append((label, box(row)))
        elif name == "playing-cards":
            shown.append(("playing_card", box(row)))
        elif name == "fire-boxes":
            if label == "fire":
                shown.append(("fire", box(row)))
        elif label in _OBJECTS:
            shown.append((_OBJECTS[label], WHOLE))
        elif name == "moderation-objects":  # soldiers carry rifles; a miniskirt is no swimwear, nor its opposite
            more = {"military_uniform": _WEAPONS, "gasmask": _WEAPONS}.get(label, frozenset())
            unknown |= more | {"female_swimwear", "male_swimwear", "smoking", "alcohol"}
        elif label == "revolver":
            shown.append(("pistol", WHOLE))
        elif label == "cannon":
            unknown |= _WEAPONS
    if name == "fire-boxes" and not shown:
        unknown |= {"fire"}  # smoke alone: the fire may be hidden or unlabelled
    if name == "moderation-objects" and shown:
        unknown |= _PEOPLE_DOING_THINGS - {head for head, _ in shown}
    if name in {"face-mask-boxes", "landmarks", "age-gender"}:
        unknown |= UNKNOWN["faces"]
    return Sample(f"{name}/{image}", pixels, tuple(shown), unknown)
