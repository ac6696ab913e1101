"""Labelled photos for calibrating and measuring tags, in the taxonomy's words.

Three readers, each of another source than ImageNet, which the weights were trained on:

- `objects`: Caltech-101 (the folder `objects-101`: images.zip, labels.csv), one object a picture, at 160 pixels;
- `street`: Pascal VOC 2007 (the folder `street-boxes`), where only car, cat, bus and train are labelled throughout;
- `coco`: any pictures with YOLO label files in the order of COCO's 80 classes;
- `panoptic`: photos with COCO's panoptic annotations: things and the ground, sky and water about them, by their share.
"""

import csv
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# fmt: off
CALTECH = {
    "Leopards": "Leopard", "Motorbikes": "Motorcycle", "accordion": "Accordion", "airplanes": "Airplane", "ant": "Ant",
    "barrel": "Barrel", "beaver": "Beaver", "binocular": "Binoculars", "bonsai": "Potted Plant",
    "butterfly": "Butterfly", "camera": "Camera", "cannon": "Cannon", "car_side": "Car", "cellphone": "Mobile Phone",
    "chair": "Chair", "cougar_body": "Cougar", "cougar_face": "Cougar", "crab": "Crab", "crayfish": "Crayfish",
    "crocodile": "Crocodile", "crocodile_head": "Crocodile", "cup": "Cup", "dalmatian": "Dalmatian",
    "dragonfly": "Dragonfly", "electric_guitar": "Electric Guitar", "elephant": "Elephant", "ewer": "Pitcher",
    "ferry": "Watercraft", "flamingo": "Flamingo", "flamingo_head": "Flamingo", "grand_piano": "Grand Piano",
    "ketch": "Sailboat", "laptop": "Laptop", "llama": "Llama", "lobster": "Lobster", "nautilus": "Nautilus",
    "panda": "Panda", "pizza": "Pizza", "platypus": "Platypus", "revolver": "Revolver", "rooster": "Rooster",
    "saxophone": "Saxophone", "schooner": "Schooner", "scorpion": "Scorpion", "soccer_ball": "Soccer Ball",
    "starfish": "Starfish", "stop_sign": "Sign", "strawberry": "Strawberry", "tick": "Tick", "trilobite": "Trilobite",
    "umbrella": "Umbrella", "watch": "Wristwatch", "windsor_chair": "Chair",
}
"""Caltech-101's classes that ImageNet has, or has kinds of. The others (anchor, brain, minaret ...) are left out."""

VOC = {"car": "Car", "cat": "Cat", "bus": "Bus", "train": "Train"}

COCO = (
    "Person", "Bicycle", "Car", "Motorcycle", "Airplane", "Bus", "Train", "Truck", "Boat", "Traffic Light",
    "Fire Hydrant", "Stop Sign", "Parking Meter", "Bench", "Bird", "Cat", "Dog", "Horse", "Sheep", "Cow", "Elephant",
    "Bear", "Zebra", "Giraffe", "Backpack", "Umbrella", "Handbag", "Tie", "Suitcase", "Frisbee", "Skis", "Snowboard",
    "Ball", "Kite", "Baseball Bat", "Baseball Glove", "Skateboard", "Surfboard", "Tennis Racket", "Bottle",
    "Wine Glass", "Cup", "Fork", "Knife", "Spoon", "Bowl", "Banana", "Apple", "Sandwich", "Orange", "Broccoli",
    "Carrot", "Hot Dog", "Pizza", "Donut", "Cake", "Chair", "Couch", "Potted Plant", "Bed", "Dining Table", "Toilet",
    "TV", "Laptop", "Mouse", "Remote Control", "Computer Keyboard", "Mobile Phone", "Microwave", "Oven", "Toaster",
    "Sink", "Refrigerator", "Book", "Clock", "Vase", "Scissors", "Teddy Bear", "Hair Dryer", "Toothbrush",
)
# fmt: on

GROUND = {
    "Water": ("sea", "river", "water-other"),
    "Sky": ("sky-other-merged",),
    "Grass": ("grass-merged", "playingfield"),
    "Tree": ("tree-merged",),
    "Flower": ("flower",),
    "Mountain": ("mountain-merged",),
    "Sand": ("sand",),
    "Snow": ("snow",),
    "Road": ("road",),
    "Building": ("building-other-merged", "house"),
    "Rock": ("rock-merged",),
}
"""Label -> COCO's names for it."""


@dataclass(frozen=True, eq=False)
class Photo:
    """pixels (H, W, 3) uint8 RGB. `labels` are in the picture; of `known` all others are not (None: of all labels)."""

    pixels: NDArray[np.uint8]
    labels: frozenset[str]
    known: frozenset[str] | None


def objects(data: Path) -> Iterator[Photo]:
    """One object a photo; that nothing else can be seen is a simplification which counts against the tagger."""
    for name, rows in _rows(data / "objects-101").items():
        if rows[0]["label"] in CALTECH:
            yield Photo(_picture(data / "objects-101", name), frozenset({CALTECH[rows[0]["label"]]}), None)


def street(data: Path) -> Iterator[Photo]:
    """Everyday photos: which of VOC's four labels they show."""
    for name, rows in _rows(data / "street-boxes").items():
        shown = frozenset(VOC[row["label"]] for row in rows if row["label"] in VOC)
        yield Photo(_picture(data / "street-boxes", name), shown, frozenset(VOC.values()))


def coco(pictures: Path, labels: Path) -> Iterator[Photo]:
    """Everyday photos with COCO's 80 classes; a picture without a label file shows none of them."""
    for path in sorted(pictures.glob("*.jpg")):
        text = labels / f"{path.stem}.txt"
        numbers = {int(line.split()[0]) for line in text.read_text().splitlines()} if text.exists() else set()
        yield Photo(_read(path.read_bytes()), frozenset(COCO[number] for number in numbers), frozenset(COCO))


@dataclass(frozen=True)
class Shares:
    """What the photo at `path` shows: label -> share of the picture, for a thing that of its largest example. Of COCO's
    80 classes and GROUND, all others are not in it."""

    path: Path
    shares: Mapping[str, float]


def panoptic(annotations: Path, pictures: Path) -> Iterator[Shares]:
    """annotations: a file such as `panoptic_val2017.json`; pictures: the folder of its photos."""
    content = json.loads(annotations.read_text())
    categories = sorted(content["categories"], key=lambda each: int(each["id"]))
    labels = {each["id"]: label for each, label in zip(categories[: len(COCO)], COCO, strict=True)}
    ground = {name: label for label, names in GROUND.items() for name in names}
    labels |= {each["id"]: ground[each["name"]] for each in categories[len(COCO) :] if each["name"] in ground}
    images = {image["id"]: image for image in content["images"]}
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        shares: dict[str, float] = defaultdict(float)
        for segment in annotation["segments_info"]:
            label = labels.get(segment["category_id"])
            if label is not None:
                share = segment["area"] / (image["width"] * image["height"])
                shares[label] = shares[label] + share if label in GROUND else max(shares[label], share)
        yield Shares(pictures / image["file_name"].replace(".png", ".jpg"), dict(shares))


def _rows(folder: Path) -> dict[str, list[dict[str, str]]]:
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["image"]].append(row)
    return rows


def _picture(folder: Path, name: str) -> NDArray[np.uint8]:
    with zipfile.ZipFile(folder / "images.zip") as archive:
        return _read(archive.read(name))


def _read(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))
