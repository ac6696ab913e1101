"""Average precision at IoU 0.5 and reliability, on samples with boxes drawn by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.image import load_image
from openrek.vision.objects import Objects
from training.objects.classes import INDEX, LABELS, NAMES
from training.objects.samples import IGNORED, TRUTH, Boxes, Sample

Floats = NDArray[np.float64]
Detect = Callable[[NDArray[np.uint8]], Objects]


@dataclass(eq=False)
class Matched:
    """Detections of one class over all pictures: scores (D,), whether each is right (D,), and how many there are to
    find."""

    scores: Floats
    right: NDArray[np.bool_]
    count: int

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall curve, precision made monotone (Pascal VOC 2010 and later)."""
        if not self.count or not len(self.scores):
            return 0.0
        order = np.argsort(-self.scores, kind="stable")
        hits = np.cumsum(self.right[order])
        precision = hits / np.arange(1, len(order) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        recall = hits / self.count
        return float(np.sum(np.diff(recall, prepend=0.0) * precision))

    def at(self, score: float) -> tuple[float, float]:
        """Precision and recall of the detections this sure."""
        chosen = self.scores >= score
        hits = int(self.right[chosen].sum())
        return hits / max(1, int(chosen.sum())), hits / max(1, self.count)


def match(
    samples: Sequence[Sample],
    found: Sequence[Objects],
    name: str,
    overlap: float = 0.5,
    truth: tuple[int, ...] = (TRUTH,),
) -> Matched:
    """Detections of a class against the drawn boxes, or those of the kinds `truth`: the surest takes a box first; what
    lies on an ignored box, or mostly within one, counts neither way. A detector that does not know the class finds
    nothing."""
    scores, right, count = [], [], 0
    for sample, objects in zip(samples, found, strict=True):
        own = sample.boxes[sample.boxes.classes == INDEX[name]]
        drawn, ignored = own.boxes[np.isin(own.kinds, truth)], own.boxes[own.kinds == IGNORED]
        count += len(drawn)
        seen = objects.of(name)
        free = np.ones(len(drawn), bool)
        fit = geometry.iou(seen.boxes, drawn)
        for row, score in enumerate(seen.scores):
            options = np.where(free, fit[row], 0.0) if len(drawn) else np.zeros(0)
            if len(options) and options.max() >= overlap:
                free[int(options.argmax())] = False
                scores.append(float(score))
                right.append(True)
            elif not len(ignored) or _inside(seen.boxes[row], ignored) < 0.5:
                scores.append(float(score))
                right.append(False)
    return Matched(np.array(scores), np.array(right, bool), count)


def _inside(box: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The greatest share of a box that lies within one of the others."""
    return float((geometry.intersection(box[None], others)[0] / max(float(geometry.area(box[None])[0]), 1e-6)).max())


def photos(pictures: Path, labels: Path) -> list[Sample]:
    """Photos with YOLO label files in the order of COCO's 80 classes."""
    samples = []
    for path in sorted(pictures.glob("*.jpg")):
        pixels = load_image(path).pixels
        height, width = pixels.shape[:2]
        text = labels / f"{path.stem}.txt"
        rows = [line.split() for line in text.read_text().splitlines()] if text.exists() else []
        shares = np.array([row[1:5] for row in rows], np.float32).reshape(-1, 4)
        corners = np.hstack([shares[:, :2] - shares[:, 2:] / 2, shares[:, :2] + shares[:, 2:] / 2])
        boxes = corners * np.float32([width, height, width, height])
        samples.append(Sample("coco", path.stem, pixels, Boxes.of(boxes.tolist(), [int(row[0]) for row in rows])))
    return samples


def classes_of(source: str) -> list[str]:
    """The classes that a set draws boxes of, in our order."""
    drawn = set(LABELS[source].values())
    return [name for name in NAMES if name in drawn]


def isotonic(scores: Floats, right: NDArray[np.bool_]) -> list[list[float]]:
    """Knots (raw score, probability) of the monotone curve nearest to the outcomes (pool adjacent violators), with a
    weak prior that a score means itself. Bins hold ten of the surest detections and ever more of the others, of which
    a detector has thousands."""
    order = np.argsort(-scores, kind="stable")
    ends = np.cumsum((10 * 1.2 ** np.arange(200)).astype(int))
    bins = [b for b in np.split(order, ends[ends < len(order)]) if len(b)][::-1]
    x = np.array([scores[b].mean() for b in bins])
    y = np.array([(right[b].sum() + scores[b].mean()) / (len(b) + 1) for b in bins])
    weight = np.array([len(b) for b in bins], float)
    blocks: list[list[float]] = []
    for value, mass, place in zip(y, weight, x, strict=True):
        blocks.append([value, mass, place * mass])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last = blocks.pop()
            total = blocks[-1][1] + last[1]
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + last[0] * last[1]) / total, total, blocks[-1][2] + last[2]]
    curve = [[0.0, 0.0], *([round(b[2] / b[1], 4), round(b[0], 4)] for b in blocks), [1.0, 1.0]]
    if len(curve) > 2 and curve[-2][0] < 1:
        curve[-1][1] = max(round(min(1.0, curve[-2][1] + 0.5 * (1 - curve[-2][1])), 4), curve[-2][1])
    return curve


def calibration_error(scores: Floats, right: NDArray[np.bool_], least: float = 0.1) -> float:
    """Expected calibration error over ten bins, of detections at least this sure."""
    chosen = scores >= least
    s, r = scores[chosen], right[chosen]
    if not len(s):
        return 0.0
    bins = np.minimum((s * 10).astype(int), 9)
    return float(sum(abs(s[bins == b].mean() - r[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)))
