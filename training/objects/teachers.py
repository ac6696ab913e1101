"""What public detectors see on the training pictures, as boxes to learn from.

    python -m training.objects.teachers --cache CACHE --weights FOLDER

YOLOX-Nano and NanoDet-m (both COCO, Apache-2.0) look at the pictures of
most sets, the second at their mirror images; boxes of
one class that overlap are fused (weighted boxes fusion: Solovyev et al. 2021, arXiv:1910.13302). What they are sure of
is taught with their score as weight, what they doubt is left out of the loss. Where a set has boxes of a class drawn by
hand, those stand, and a teacher's further boxes of that class are left out of the loss as well.
"""

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision import geometry
from openrek.vision.image import Picture
from openrek.vision.objects import detect_objects
from openrek.vision.runtime import Runtime
from training.objects.classes import COCO, INDEX, LABELS, TAUGHT_SETS, VEHICLES
from training.objects.samples import IGNORED, TAUGHT, TRUTH, Boxes, Sample, read, write

MISTAKEN = ("weapon-boxes", "smoking-boxes")
"""Sets whose drawn things the teachers do not know, and call something else: a pistol a telephone."""

TRUSTED = ("person", "bicycle", "car", "motorcycle", "bus", "train", "truck", "cat", "dog", "horse", "chair", "couch")
"""What is believed of them there."""

SURE = 0.35
DOUBTED = 0.1
SAME = 0.55  # IoU

Detections = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""boxes (N, 4), scores (N,), COCO classes (N,)"""


class NanoDet:
    """NanoDet-m at 416 pixels (github.com/RangiLyu/nanodet): class scores and the distributions of four distances per
    cell."""

    MEAN = (103.53, 116.28, 123.675)
    STD = (57.375, 57.12, 58.395)
    SIDE = 416
    BINS = 8

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels: NDArray[np.uint8], least: float = 0.05) -> Detections:
        height, width = pixels.shape[:2]
        factor = self.SIDE / max(height, width)
        size = round(width * factor), round(height * factor)
        canvas = np.zeros((self.SIDE, self.SIDE, 3), np.float32)
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        canvas[: size[1], : size[0]] = (small[..., ::-1] - np.float32(self.MEAN)) / np.float32(self.STD)
        outputs = self.session.run(None, {"input.1": canvas.transpose(2, 0, 1)[None]})
        boxes, scores, classes = [], [], []
        for stride, score, bins in zip((8, 16, 32), outputs[:3], outputs[3:], strict=True):
            cell, kind = np.nonzero(score[0] >= least)
            spread = bins[0][cell].reshape(-1, 4, self.BINS)
            spread = np.exp(spread - spread.max(axis=2, keepdims=True))
            sides = (spread / spread.sum(axis=2, keepdims=True)) @ np.arange(self.BINS) * stride
            row, column = np.divmod(cell, self.SIDE // stride)
            centre = np.stack([column, row], axis=1) * stride + (stride - 1) / 2
            boxes.append(np.hstack([centre - sides[:, :2], centre + sides[:, 2:]]))
            scores.append(score[0][cell, kind])
            classes.append(kind)
        b = np.concatenate(boxes).astype(np.float32) / np.float32(factor)
        s, c = np.concatenate(scores).astype(np.float32), np.concatenate(classes)
        b = geometry.clip(b, width, height)
        kept = geometry.nms(b, s, 0.55, classes=c, limit=100)
        return b[kept], s[kept], c[kept]


def fuse(looks: list[Detections]) -> Detections:
    """Weighted boxes fusion of several looks at one picture; a box that fewer looks saw is less sure."""
    boxes = np.concatenate([look[0] for look in looks])
    scores = np.concatenate([look[1] for look in looks])
    classes = np.concatenate([look[2] for look in looks])
    order = np.argsort(-scores, kind="stable")
    clusters: list[list[int]] = []
    means: list[NDArray[np.float64]] = []
    for index in order:
        best, place = SAME, -1
        for number, mean in enumerate(means):
            if classes[clusters[number][0]] == classes[index]:
                shared = float(geometry.iou(mean[None], boxes[index][None])[0, 0])
                if shared > best:
                    best, place = shared, number
        if place < 0:
            clusters.append([int(index)])
            means.append(boxes[index].astype(np.float64))
        else:
            clusters[place].append(int(index))
            means[place] = np.average(boxes[clusters[place]], axis=0, weights=scores[clusters[place]])
    fused = np.array(means, np.float32).reshape(-1, 4)
    sums = np.array([sum(sorted((scores[i] for i in members), reverse=True)[: len(looks)]) for members in clusters])
    kinds = np.array([classes[members[0]] for members in clusters], np.int64)
    return fused, (sums / len(looks)).astype(np.float32), kinds


def look(pixels: NDArray[np.uint8], runtime: Runtime, nanodet: NanoDet) -> Detections:
    """All that the teachers see in one picture; NanoDet looks at its mirror image."""
    height, width = pixels.shape[:2]
    found = detect_objects(Picture(pixels, width, height), runtime, model="yolox-nano")
    boxes, scores, classes = nanodet(np.ascontiguousarray(pixels[:, ::-1]))
    back = boxes[:, [2, 1, 0, 3]] * np.float32([-1, 1, -1, 1]) + np.float32([width, 0, width, 0])
    return fuse([(found.boxes, found.scores, found.classes), (back, scores, classes)])


def looks_at(samples: Sequence[Sample], path: Path, runtime: Runtime, weights: Path) -> list[Detections]:
    """What the teachers see in each sample; kept in a file, since it takes a fifth of a second a picture."""
    if not path.exists():
        nanodet = NanoDet(weights / "nanodet_m_416.onnx")
        looks = [look(np.ascontiguousarray(sample.pixels), runtime, nanodet) for sample in samples]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            names=np.array([sample.name for sample in samples]),
            owner=np.repeat(np.arange(len(looks)), [len(seen[0]) for seen in looks]),
            boxes=np.concatenate([seen[0] for seen in looks]),
            scores=np.concatenate([seen[1] for seen in looks]),
            classes=np.concatenate([seen[2] for seen in looks]),
        )
    with np.load(path) as table:
        if list(table["names"]) != [sample.name for sample in samples]:
            raise ValueError(f"{path} is of other pictures; remove it")
        ends = np.searchsorted(table["owner"], np.arange(1, len(samples)))
        columns = [np.split(table[key], ends) for key in ("boxes", "scores", "classes")]
    return list(zip(*columns, strict=True))


def merge(sample: Sample, seen: Detections) -> Boxes:
    """A picture's own boxes with what the teachers add."""
    drawn = {INDEX[name] for name in LABELS[sample.source].values()}
    own = sample.boxes
    boxes, scores, classes = seen
    kinds = np.where(scores >= SURE, TAUGHT, IGNORED)
    keep = scores >= DOUBTED
    for number, kind in enumerate(classes):
        if kind in drawn:
            same = own[(own.classes == kind) & (own.kinds == TRUTH)]
            if len(same) and geometry.iou(boxes[number][None], same.boxes).max() > 0.45:
                keep[number] = False
            kinds[number] = IGNORED
        elif sample.source in MISTAKEN and COCO[kind] not in TRUSTED:
            kinds[number] = IGNORED
            if len(own) and geometry.iou(boxes[number][None], own.boxes).max() > 0.25:
                keep[number] = False
    taught = Boxes(boxes, classes, kinds.astype(np.int64), scores)[keep]
    every = Boxes.join([own, taught])
    if INDEX["vehicle"] not in drawn:
        extra = every[np.isin(every.classes, [INDEX[name] for name in VEHICLES])]
        extra = copy.copy(extra)
        extra.classes = np.full(len(extra), INDEX["vehicle"])
        every = Boxes.join([every, extra])
    return every


def teach(cache: Path, weights: Path, runtime: Runtime) -> None:
    """Add the teachers' boxes to the samples: `cache/taught`."""
    samples = read(cache)
    for source in TAUGHT_SETS:
        own = [sample for sample in samples if sample.source == source]
        looks = looks_at(own, cache / "looks" / f"{source}.npz", runtime, weights)
        for sample, seen in zip(own, looks, strict=True):
            sample.boxes = merge(sample, seen)
    write(cache / "taught", samples)
    every = Boxes.join([sample.boxes for sample in samples])
    for index, name in enumerate(COCO):
        print(name, int(((every.classes == index) & (every.kinds == TAUGHT)).sum()), end=", ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    asked = parser.parse_args()
    settings = Settings()
    teach(asked.cache, asked.weights, Runtime(cache=settings.cache, mirror=settings.model_mirror, threads=1))
