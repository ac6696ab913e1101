"""Gather heads from the labelled sets.

    python -m training.objects.prepare --data DATA --cache OBJECTS
    python -m training.protective_equipment.prepare --data DATA --objects OBJECTS --out HEADS.npz

The first command cuts the mosaics of construction photos apart and holds pictures back, photo by photo; the second
takes its pictures and sides over.
"""

import argparse
import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from openrek.settings import Settings
from openrek.vision import geometry
from openrek.vision.faces import detect_faces
from openrek.vision.image import Picture
from openrek.vision.protective_equipment.heads import head_of_face
from openrek.vision.runtime import Runtime
from training.faces.splits import difference_hash, groups, split
from training.objects.classes import NAMES
from training.objects.prepare import MASK_TOP
from training.objects.samples import IGNORED, TRUTH, Sample
from training.objects.samples import read as read_objects
from training.protective_equipment.samples import UNKNOWN, Box, Head, Pixels, cut, write

HAT_TO_HEAD, BARE_TO_HEAD = 1.6, 2.15
"""Height of a head in heights of the box of its hard hat, and of the box of its bare upper part: medians over the heads
whose lower face is boxed too."""

SEEN = Path(__file__).with_name("seen.csv")

LEAST = 9.0
"""Least height in pixels of a labelled hat or bare head."""


def main(data: Path, objects: Path, out: Path, runtime: Runtime) -> None:
    heads: list[Head] = []
    samples = read_objects(objects)
    for number, sample in enumerate(samples):
        if sample.source == "ppe-boxes":
            heads += construction(sample)
        elif sample.source == "face-mask-boxes":
            heads += masked(sample)
        elif sample.source == "smoking-boxes" or (sample.source == "street-boxes" and number % 3 == 0):
            heads += found(sample, runtime)
    heads += nothing(heads, samples)
    heads += seen(samples)
    for source, limit in (("face-mask-crops", 2000), ("face-attributes", 1600), ("age-gender", 700)):
        heads += crops(data, source, limit)
    write(out, heads)
    for source in sorted({head.source for head in heads}):
        own = [head for head in heads if head.source == source]
        for name in ("hat", "mask", "covers"):
            print(source, len(own), name, *((v, sum(getattr(head, name) == v for head in own)) for v in (0, 1)))


def construction(sample: Sample) -> Iterator[Head]:
    """Hard hats and bare heads; the mask or bare lower face below tells of the mask."""
    boxes = sample.boxes
    names = np.array([NAMES[index] for index in boxes.classes])
    truth = boxes.kinds == TRUTH
    lower = np.flatnonzero(np.isin(names, ("face_mask", "face_bare")) & truth)
    for index in np.flatnonzero(np.isin(names, ("hard_hat", "head_bare")) & truth):
        left, top, right, bottom = (float(value) for value in boxes.boxes[index])
        width, height = right - left, bottom - top
        if height < LEAST or width < LEAST:
            continue
        hat = names[index] == "hard_hat"
        below = [
            other
            for other in lower
            if left - 0.2 * width < boxes.boxes[other, [0, 2]].mean() < right + 0.2 * width
            and top + 0.5 * height < boxes.boxes[other, [1, 3]].mean() < bottom + 1.2 * height
        ]
        head: Box = (left, top, right, top + (HAT_TO_HEAD if hat else BARE_TO_HEAD) * height)
        mask, mask_box = -1, None
        if below:
            middle = (left + right) / 2
            best = min(below, key=lambda other: abs(float(boxes.boxes[other, [0, 2]].mean()) - middle))
            face = tuple(float(value) for value in boxes.boxes[best])
            head = (min(left, face[0]), top, max(right, face[2]), max(bottom, face[3]))
            mask = int(names[best] == "face_mask")
            mask_box = face if mask else None
        patch, (head_box, hat_box, mask_box) = cut(
            np.asarray(sample.pixels), head, (left, top, right, bottom) if hat else None, mask_box
        )
        assert head_box is not None
        covers = 1 if mask == 1 else -1
        yield Head(
            sample.source, sample.group, sample.side, patch, head_box, hat_box, mask_box, 1, int(hat), mask, covers
        )


def masked(sample: Sample) -> Iterator[Head]:
    """Faces of crowds with and without masks; the boxes are the lower parts of face boxes. Nobody wears a hard hat."""
    boxes = sample.boxes
    names = np.array([NAMES[index] for index in boxes.classes])
    for index, (box, kind) in enumerate(zip(boxes.boxes, boxes.kinds, strict=True)):
        wrong = kind == IGNORED and names[index] == "face_mask"
        if not (wrong or (kind == TRUTH and names[index] in ("face_mask", "face_bare"))):
            continue
        left, low, right, bottom = (float(value) for value in box)
        top = low - (bottom - low) * MASK_TOP / (1 - MASK_TOP)
        if bottom - top < 14:
            continue
        mask = wrong or names[index] == "face_mask"
        # these boxes reach from the brow to the chin
        head = (left, top - 0.25 * (bottom - top), right, bottom)
        patch, (head_box, mask_box) = cut(
            np.asarray(sample.pixels), head, (left, low, right, bottom) if mask and not wrong else None
        )
        assert head_box is not None
        covers = 0 if wrong else 1 if mask else -1
        yield Head(sample.source, sample.group, sample.side, patch, head_box, None, mask_box, 1, 0, int(mask), covers)


def found(sample: Sample, runtime: Runtime) -> Iterator[Head]:
    """Faces in other photos: no masks; smokers' hands are at their mouths. Riders may wear helmets, so hats are unknown
    in the street."""
    pixels = np.asarray(sample.pixels)
    faces = detect_faces(Picture.of(pixels), runtime, max_faces=4, min_confidence=0.9, search_side=448)
    for box in faces.boxes:
        if box[3] - box[1] < 16:
            continue
        patch, (head,) = cut(pixels, head_of_face(box))
        assert head is not None
        hat = 0 if sample.source == "smoking-boxes" else -1
        yield Head(sample.source, sample.group, sample.side, patch, head, hat=hat, mask=0)


def nothing(heads: list[Head], samples: list[Sample], count: int = 1500) -> list[Head]:
    """Places without a head: squares of construction photos away from every labelled head and face."""
    generator = np.random.default_rng(7)
    own = [sample for sample in samples if sample.source == "ppe-boxes" and min(sample.pixels.shape[:2]) >= 80]
    result: list[Head] = []
    while len(result) < count:
        sample = own[int(generator.integers(len(own)))]
        height, width = sample.pixels.shape[:2]
        side = float(generator.uniform(16, 60))
        x, y = (float(generator.uniform(0, length - side)) for length in (width, height))
        place = np.array([[x, y, x + side, y + side * 1.2]], np.float32)
        heady = np.isin([NAMES[c] for c in sample.boxes.classes], ("hard_hat", "head_bare", "face_mask", "face_bare"))
        if geometry.intersection(geometry.expand(place, 1.5), sample.boxes.boxes[heady]).sum() > 0:
            continue
        box = tuple(float(value) for value in place[0])
        patch, (head,) = cut(np.asarray(sample.pixels), box)
        assert head is not None
        result.append(Head("nothing", sample.group, sample.side, patch, head, present=0, hat=0, mask=0))
    return result


def seen(samples: list[Sample]) -> Iterator[Head]:
    """What was told by eye of heads that the service found on street photos and photos of weapons: helmets of riders
    and soldiers, caps and other hats, and hands that it took for heads."""
    by_name = {(sample.source, sample.name): sample for sample in samples}
    with SEEN.open(newline="") as file:
        for row in csv.DictReader(file):
            sample = by_name[row["source"], row["image"]]
            left, top, right, bottom = (float(row[side]) for side in ("left", "top", "right", "bottom"))
            patch, (head,) = cut(np.asarray(sample.pixels), (left, top, right, bottom))
            assert head is not None
            present = int(row["seen"] != "no head")
            hat = int(row["seen"] == "helmet")
            mask = UNKNOWN if present else 0
            yield Head("seen", sample.group, sample.side, patch, head, present=present, hat=hat, mask=mask)


def crops(data: Path, source: str, limit: int) -> list[Head]:
    """Sets of single faces, cut close. CelebA's wearers of hats come first: caps and hoods are no hard hats."""
    with (data / source / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if source == "face-attributes":
        rows.sort(key=lambda row: row["Wearing_Hat"] != "1")
    rows = rows[:limit]
    pixels: list[Pixels] = []
    with zipfile.ZipFile(data / source / "images.zip") as archive:
        inside = {Path(name).name: name for name in archive.namelist()}
        for row in rows:
            with Image.open(io.BytesIO(archive.read(inside[row["image"]]))) as image:
                pixels.append(np.array(image.convert("RGB")))
    hashes = [difference_hash(each) for each in pixels]
    names = [f"{source}/{row.get('identity') or row['image']}" for row in rows]
    group = groups(np.stack(hashes), names)
    sides = split(group, names, tune=0.08, test=0.14)
    heads = []
    for row, patch, number, side in zip(rows, pixels, group, sides, strict=True):
        height, width = patch.shape[:2]
        mask = int(row["label"] == "with_mask") if source == "face-mask-crops" else 0
        head = (0.22 * width, 0.22 * height, 0.78 * width, 0.86 * height)
        if source != "face-attributes":  # these crops hold little but the head
            head = (0.08 * width, 0.04 * height, 0.92 * width, 0.98 * height)
        hat = -1 if source == "face-mask-crops" else 0
        covers = 1 if mask else -1
        heads.append(Head(source, f"{source}/{number}", int(side), patch, head, None, None, 1, hat, mask, covers))
    return heads


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    settings = Settings()
    main(asked.data, asked.objects, asked.out, Runtime(cache=settings.cache, mirror=settings.model_mirror, threads=1))
