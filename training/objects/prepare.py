"""Read the labelled sets, cut mosaics apart, stand turned photos up, and hold pictures back.

    python -m training.objects.prepare --data DATA --cache CACHE

Pictures of one photo stay on one side: near-duplicates by difference hash; the parts of the mosaics, which are crops of
few photos recoloured, by matching features.
"""

import argparse
import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openrek.settings import Settings
from openrek.vision import backbone
from openrek.vision.image import Picture
from openrek.vision.objects import detect_objects
from openrek.vision.runtime import Runtime
from training.faces.splits import TEST, TRAIN, TUNE, difference_hash, groups, split
from training.objects.classes import INDEX, LABELS
from training.objects.samples import IGNORED, TRUTH, Boxes, Sample, write

Pixels = NDArray[np.uint8]

LEAST_PART = 56
"""Least side in pixels of a mosaic's part that is used."""

MASK_TOP = 0.42
"""Where a mask begins on a face, as a share of the face's height: the set of masked faces boxes whole faces."""


def raw(data: Path, source: str) -> Iterator[tuple[str, Pixels, list[tuple[str, list[float]]]]]:
    """(name, pixels, labelled boxes) of one set; a picture without labels comes too."""
    rows: dict[str, list[tuple[str, list[float]]]] = defaultdict(list)
    with (data / source / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if "left" in row:
                box = [float(row[key]) for key in ("left", "top", "right", "bottom")]
                rows[row["image"]].append((row["label"], box))
    with zipfile.ZipFile(data / source / "images.zip") as archive:
        for name in sorted(archive.namelist()):
            with Image.open(io.BytesIO(archive.read(name))) as image:
                yield name, np.array(image.convert("RGB")), rows[name]


def boxes_of(source: str, rows: list[tuple[str, list[float]]]) -> Boxes:
    """Our boxes of a set's labels. Masked faces become their masks, others' lower halves bare faces."""
    known = LABELS[source]
    boxes, classes, kinds = [], [], []
    for label, (left, top, right, bottom) in rows:
        if source == "face-mask-boxes":
            top += MASK_TOP * (bottom - top)
            if label == "mask_incorrect":
                for name in ("face_mask", "face_bare"):
                    boxes.append([left, top, right, bottom])
                    classes.append(INDEX[name])
                    kinds.append(IGNORED)
        if label in known and right - left >= 2 and bottom - top >= 2:
            boxes.append([left, top, right, bottom])
            classes.append(INDEX[known[label]])
            kinds.append(TRUTH)
    found = Boxes.of(boxes, classes)
    found.kinds[:] = kinds
    return found


def seam(pixels: Pixels, boxes: NDArray[np.float32], axis: int) -> int:
    """Where a mosaic's parts meet: the column (axis 1) or row (axis 0) with the greatest jump; boxes end there too."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    jumps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
    jumps = jumps - (np.roll(jumps, 1) + np.roll(jumps, -1)) / 2
    jumps /= jumps.std() + 1e-6
    if len(boxes):
        edges = boxes[:, [0, 2]] if axis == 1 else boxes[:, [1, 3]]
        at, counts = np.unique(np.round(edges).astype(int), return_counts=True)
        inside = (at > 0) & (at <= len(jumps))
        jumps[at[inside] - 1] += np.minimum(counts[inside], 3)
    reach = np.arange(len(jumps))
    size = len(jumps) + 1
    return int(np.where((reach > 0.15 * size) & (reach < 0.85 * size), jumps, -np.inf).argmax()) + 1


def parts(pixels: Pixels, boxes: Boxes) -> list[tuple[Pixels, Boxes]]:
    """A mosaic of four cut apart; boxes go with the part that holds their centre, and end at its border."""
    x, y = seam(pixels, boxes.boxes, 1), seam(pixels, boxes.boxes, 0)
    height, width = pixels.shape[:2]
    centre = (boxes.boxes[:, :2] + boxes.boxes[:, 2:]) / 2
    result = []
    for left, right in ((0, x), (x, width)):
        for top, bottom in ((0, y), (y, height)):
            inside = (centre >= (left, top)).all(axis=1) & (centre < (right, bottom)).all(axis=1)
            own = boxes[inside]
            own.boxes = np.clip(own.boxes, (left, top, left, top), (right, bottom, right, bottom)) - (
                left,
                top,
                left,
                top,
            )
            own.boxes = own.boxes.astype(np.float32)
            if right - left >= LEAST_PART and bottom - top >= LEAST_PART:
                result.append((np.ascontiguousarray(pixels[top:bottom, left:right]), own))
    return result


def upright(pixels: Pixels, boxes: Boxes, runtime: Runtime, teacher: str) -> tuple[Pixels, Boxes]:
    """The picture turned by the quarter in which a detector knows most of what it shows."""
    best, turns = -1.0, 0
    for quarter in range(4):
        turned = np.ascontiguousarray(np.rot90(pixels, quarter))
        found = detect_objects(Picture(turned, turned.shape[1], turned.shape[0]), runtime, model=teacher, least=0.3)
        worth = float(found.scores.sum()) + (0.25 if quarter == 0 else 0.0)
        if worth > best:
            best, turns = worth, quarter
    b = boxes.boxes
    for quarter in range(turns):
        width = (pixels.shape[1], pixels.shape[0])[quarter % 2]
        b = np.stack([b[:, 1], width - b[:, 2], b[:, 3], width - b[:, 0]], axis=1)
    return np.ascontiguousarray(np.rot90(pixels, turns)), Boxes(b, boxes.classes, boxes.kinds, boxes.scores)


def photo_groups(samples: list[Sample], runtime: Runtime, nearest: int = 24, least: int = 12) -> NDArray[np.int64]:
    """Which parts of mosaics come from one photo: the nearest by embedding whose ORB features match under a
    similarity transformation."""
    looks, features = [], []
    orb = cv2.ORB.create(400, fastThreshold=8)
    for sample in samples:
        height, width = sample.pixels.shape[:2]
        looks.append(backbone.features(Picture(sample.pixels, width, height), runtime).embeddings[0])
        factor = max(1.0, 256 / min(height, width))
        large = cv2.resize(sample.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        features.append(orb.detectAndCompute(cv2.cvtColor(large, cv2.COLOR_RGB2GRAY), None))
    table = np.stack(looks)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    near = np.argsort(-(table @ table.T), axis=1)[:, 1 : nearest + 1]
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
    parent = np.arange(len(samples))

    def root(number: int) -> int:
        while parent[number] != number:
            number = int(parent[number])
        return number

    for a, others in enumerate(near):
        for b in others:
            if root(a) != root(int(b)) and _match(features[a], features[int(b)], matcher) >= least:
                parent[root(a)] = root(int(b))
    return np.array([root(number) for number in range(len(samples))])


def _match(a: tuple, b: tuple, matcher: cv2.BFMatcher) -> int:
    if a[1] is None or b[1] is None or len(a[1]) < 8 or len(b[1]) < 8:
        return 0
    pairs = [pair for pair in matcher.knnMatch(a[1], b[1], k=2) if len(pair) == 2]
    good = [first for first, second in pairs if first.distance < 0.75 * second.distance]
    if len(good) < 8:
        return 0
    here = np.array([a[0][match.queryIdx].pt for match in good], np.float32)
    there = np.array([b[0][match.trainIdx].pt for match in good], np.float32)
    _, inliers = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=5)
    return 0 if inliers is None else int(inliers.sum())


def samples_of(data: Path, source: str, runtime: Runtime, teacher: str = "yolox-nano") -> list[Sample]:
    """The pictures of one set with their own boxes."""
    samples: list[Sample] = []
    for name, pixels, rows in raw(data, source):
        boxes = boxes_of(source, rows)
        if source == "ppe-boxes":
            for number, (part, own) in enumerate(parts(pixels, boxes)):
                samples.append(Sample(source, f"{name}/{number}", part, own))
        elif source == "weapon-boxes":
            samples.append(Sample(source, name, *upright(pixels, boxes, runtime, teacher)))
        elif rows or source == "objects-101":  # of an unlabelled picture, nobody says that it is empty
            samples.append(Sample(source, name, pixels, boxes))
    return samples


def prepare(data: Path, cache: Path, runtime: Runtime, teacher: str = "yolox-nano") -> None:
    """Write the samples of all sets, with their sides, to `cache`."""
    everything: list[Sample] = []
    for source in LABELS:
        samples = samples_of(data, source, runtime, teacher)
        if source == "ppe-boxes":
            group = photo_groups(samples, runtime)
        else:
            # a photo and its mirror image are one
            hashes = [difference_hash(sample.pixels) for sample in samples]
            mirrored = [difference_hash(np.ascontiguousarray(sample.pixels[:, ::-1])) for sample in samples]
            names = [sample.name for sample in samples]
            group = groups(np.stack(hashes + mirrored), names + names)[: len(samples)]
        test = 0.2 if source == "street-boxes" else 0.14
        sides = split(group, [f"{source}/{sample.name}" for sample in samples], tune=0.08, test=test)
        for sample, number, side in zip(samples, group, sides, strict=True):
            sample.group, sample.side = f"{source}/{number}", int(side)
        counts = {word: int((sides == side).sum()) for word, side in (("train", TRAIN), ("tune", TUNE), ("test", TEST))}
        print(source, len(samples), "pictures in", len(np.unique(group)), "groups:", counts, flush=True)
        everything += samples
    write(cache, everything)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    asked = parser.parse_args()
    settings = Settings()
    prepare(asked.data, asked.cache, Runtime(cache=settings.cache, mirror=settings.model_mirror, threads=1))
