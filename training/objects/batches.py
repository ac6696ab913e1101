"""Training pictures by the batch: drawn by set, scaled, cropped, put together, recoloured, spoilt."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from training.faces.splits import TRAIN
from training.objects.classes import COCO, INDEX, LABELS, LOOSE, NAMES, OWN, OWN_BRANCH, SHARE, UNKNOWN
from training.objects.losses import Target
from training.objects.samples import IGNORED, TAUGHT, TRUTH, Boxes, Sample, read

Pixels = NDArray[np.uint8]
Random = np.random.Generator

FILL = 114


@dataclass(frozen=True)
class Recipe:
    """How pictures are drawn. sides: the canvas of a batch is one of these; together: the share of canvases that hold
    four pictures; scale: the longest side of a picture alone on its canvas, as a share of the canvas."""

    sides: tuple[int, ...] = (256, 320, 384)
    batch: int = 16
    together: float = 0.45
    scale: tuple[float, float] = (0.45, 1.8)


OWN_COLUMNS = np.array([INDEX[name] for name in OWN_BRANCH])
"""The classes of the branch `own`, as numbers of NAMES."""

HAND_COLUMNS = np.arange(len(COCO))
"""The classes of the branch `everyday`."""


def known(source: str) -> NDArray[np.bool_]:
    """The classes for which what is not boxed is absent from this set's pictures."""
    mask = np.ones(len(NAMES), bool)
    mask[[INDEX[name] for name in UNKNOWN[source]]] = False
    return mask


def drawn(source: str) -> NDArray[np.bool_]:
    """The classes whose boxes are drawn by hand in this set's pictures, all of them."""
    mask = np.zeros(len(NAMES), bool)
    mask[[INDEX[name] for name in LABELS[source].values()]] = True
    return mask


def _scaled(sample: Sample, factor: float, random: Random) -> tuple[Pixels, Boxes]:
    """The picture stretched by about `factor`, its shape changed a little, mirrored half the time."""
    aspect = float(np.exp(random.uniform(-0.12, 0.12)))
    x, y = factor * aspect, factor / aspect
    height, width = sample.pixels.shape[:2]
    size = max(8, round(width * x)), max(8, round(height * y))
    shrinks = factor < 1
    pixels = cv2.resize(np.asarray(sample.pixels), size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    boxes = sample.boxes[:]
    scaled = boxes.boxes * np.float32([size[0] / width, size[1] / height] * 2)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
        scaled = np.stack([size[0] - scaled[:, 2], scaled[:, 1], size[0] - scaled[:, 0], scaled[:, 3]], axis=1)
    boxes.boxes = scaled
    return np.asarray(pixels, np.uint8), boxes


def _place(canvas: Pixels, pixels: Pixels, boxes: Boxes, window: tuple[int, int, int, int], random: Random) -> Boxes:
    """Draw a picture into a window of the canvas, cropped or with a border; returns the boxes that can be seen."""
    left, top, right, bottom = window
    shift = []
    for room, size in ((right - left, pixels.shape[1]), (bottom - top, pixels.shape[0])):
        shift.append(int(random.integers(min(room - size, 0), max(room - size, 0) + 1)))
    x, y = shift
    cut = pixels[max(-y, 0) : max(-y, 0) + bottom - top, max(-x, 0) : max(-x, 0) + right - left]
    canvas[top + max(y, 0) : top + max(y, 0) + cut.shape[0], left + max(x, 0) : left + max(x, 0) + cut.shape[1]] = cut
    moved = boxes[:]
    moved.boxes = boxes.boxes + np.float32([left + x, top + y] * 2)
    whole = np.maximum(moved.boxes[:, 2:] - moved.boxes[:, :2], 1e-3).prod(axis=1)
    moved.boxes = np.clip(moved.boxes, (left, top, left, top), (right, bottom, right, bottom)).astype(np.float32)
    sides = moved.boxes[:, 2:] - moved.boxes[:, :2]
    share = sides.prod(axis=1) / whole
    seen = (sides.min(axis=1) >= 2) & (share > 0.05)
    # little of it is left, or it is too small to be told: not taught, nor held against the network
    moved.kinds = np.where((share < 0.3) | (sides.max(axis=1) < 6), IGNORED, moved.kinds)
    return moved[seen]


def canvas_of(samples: "Draw", side: int, recipe: Recipe, random: Random) -> tuple[Pixels, list[tuple[str, Boxes]]]:
    """One canvas (side, side, 3), and for each of its pictures the set and the boxes on the canvas."""
    canvas = np.full((side, side, 3), FILL, np.uint8)
    if random.random() < recipe.together:
        x, y = (int(side * random.uniform(0.3, 0.7)) for _ in range(2))
        windows = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
    else:
        windows = [(0, 0, side, side)]
    parts = []
    for window in windows:
        sample = samples(random)
        room = max(window[2] - window[0], window[3] - window[1])
        low, high = recipe.scale if len(windows) == 1 else (0.7, 2.0)
        factor = room / max(sample.pixels.shape[:2]) * float(np.exp(random.uniform(np.log(low), np.log(high))))
        boxes = _place(canvas, *_scaled(sample, min(factor, 3.0), random), window, random)
        parts.append((sample.source, boxes))
    return canvas, parts


def hue(angle: float) -> NDArray[np.float32]:
    """The matrix (3, 3) that turns colours about the axis of greys."""
    cosine, sine = np.cos(angle), np.sin(angle) / np.sqrt(3)
    turn = np.full((3, 3), (1 - cosine) / 3) + np.eye(3) * cosine
    return np.float32(turn + sine * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]))


def recolour(pixels: Pixels, random: Random) -> Pixels:
    """Other light, other cameras: brightness, contrast, colour, grey, noise, blur, JPEG."""
    image = pixels.astype(np.float32)
    if random.random() < 0.35:
        image = image @ hue(random.normal(0, 0.35)).T
    if random.random() < 0.8:
        image = (image - 128) * random.uniform(0.65, 1.35) + 128 + random.uniform(-35, 35)
        grey = image.mean(axis=2, keepdims=True)
        image = grey + (image - grey) * random.uniform(0.5, 1.5)
        image = image * random.uniform(0.88, 1.12, 3).astype(np.float32)
    if random.random() < 0.06:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    if random.random() < 0.1:
        image = image + random.normal(0, random.uniform(2, 12), image.shape).astype(np.float32)
    result = np.clip(image, 0, 255).astype(np.uint8)
    if random.random() < 0.15:
        result = np.asarray(cv2.GaussianBlur(result, (0, 0), random.uniform(0.4, 1.4)), np.uint8)
    if random.random() < 0.3:
        quality = int(random.integers(25, 90))
        result = np.asarray(cv2.imdecode(cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))
    return result


class Draw:
    """Samples at random, each set as often as its share says."""

    def __init__(self, samples: list[Sample]) -> None:
        self.sets = [[s for s in samples if s.source == source] for source in SHARE]
        shares = np.array([share if members else 0.0 for share, members in zip(SHARE.values(), self.sets, strict=True)])
        self.shares = shares / shares.sum()

    def __call__(self, random: Random) -> Sample:
        members = self.sets[int(random.choice(len(self.sets), p=self.shares))]
        return members[int(random.integers(len(members)))]


Part = tuple[str, Boxes]
"""The set of a picture, and its boxes."""


def own_target(parts: list[Part]) -> Target:
    """What the branch `own` learns of a canvas: all boxes of its classes."""
    boxes = Boxes.join([boxes for _, boxes in parts])
    weights = np.where(boxes.kinds == TAUGHT, np.clip(boxes.scores * 1.15, 0.4, 1.0), 1.0).astype(np.float32)
    mask = np.logical_and.reduce([known(source) for source, _ in parts])
    return _target(boxes, weights, boxes.kinds != IGNORED, mask, OWN_COLUMNS)


def hand_target(parts: list[Part]) -> Target:
    """What the branch `everyday` learns of a canvas beside its teacher's answers: boxes drawn by hand, knives left out
    (those in hands are the other branch's)."""
    mask = np.logical_and.reduce([drawn(source) & (source not in LOOSE) for source, _ in parts])
    mask[INDEX["knife"]] = False
    boxes = Boxes.join([boxes for source, boxes in parts if source not in LOOSE])
    boxes = boxes[(boxes.kinds != TAUGHT) & (boxes.classes != INDEX["knife"])]
    return _target(boxes, np.ones(len(boxes), np.float32), boxes.kinds == TRUTH, mask, HAND_COLUMNS)


def _target(
    boxes: Boxes,
    weights: NDArray[np.float32],
    use: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    columns: NDArray[np.int64],
) -> Target:
    place = np.full(len(NAMES), -1)
    place[columns] = np.arange(len(columns))
    classes = place[boxes.classes]
    learnt, ignored = use & (classes >= 0), ~use & (classes >= 0)
    table = np.zeros((int(learnt.sum()), len(columns)), np.float32)
    table[np.arange(len(table)), classes[learnt]] = weights[learnt]
    return Target(
        torch.from_numpy(boxes.boxes[learnt]),
        torch.from_numpy(classes[learnt]),
        torch.from_numpy(table),
        torch.from_numpy(boxes.boxes[ignored]),
        torch.from_numpy(classes[ignored]),
        torch.from_numpy(mask[columns]),
    )


Batch = tuple[Tensor, list[Target], list[Target]]
"""Pixels (N, S, S, 3) uint8 RGB, and for each what the branches `own` and `everyday` learn of it."""


class Canvases(IterableDataset[Batch]):
    """Endless batches."""

    def __init__(self, cache: Path, recipe: Recipe, seed: int) -> None:
        self.cache, self.recipe, self.seed = cache, recipe, seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        random = np.random.default_rng((self.seed, info.id if info else 0))
        draw = Draw([sample for sample in read(self.cache) if sample.side == TRAIN])
        while True:
            side = int(random.choice(self.recipe.sides))
            pixels, own, hand = [], [], []
            for _ in range(self.recipe.batch):
                canvas, parts = canvas_of(draw, side, self.recipe, random)
                pixels.append(recolour(canvas, random))
                own.append(own_target(parts))
                hand.append(hand_target(parts))
            yield torch.from_numpy(np.stack(pixels)), own, hand


def stream(cache: Path, recipe: Recipe, seed: int, workers: int = 1) -> Iterator[Batch]:
    """Endless batches, made by worker processes."""
    return iter(DataLoader(Canvases(cache, recipe, seed), batch_size=None, num_workers=workers, prefetch_factor=4))


assert set(OWN).isdisjoint(COCO)
