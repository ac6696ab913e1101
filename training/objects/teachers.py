"""What YOLOX-Nano sees on the training pictures, as boxes for the branch `own` to learn from.

    python -m training.objects.teachers --cache CACHE

Of the classes of that branch YOLOX-Nano (COCO, Apache-2.0) knows people and vehicles. What it is sure of is taught
with its score as weight, what it doubts is left out of the loss. Where a set has boxes of a class drawn by hand, those
stand, and its further boxes of that class are left out of the loss as well. (The branch `everyday` is held to
YOLOX-Nano's answers while it trains, see `losses.held`.)
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openrek.settings import Settings
from openrek.vision import geometry
from openrek.vision.image import Picture
from openrek.vision.objects import Objects, detect_objects
from openrek.vision.runtime import Runtime
from training.objects.classes import INDEX, LABELS, TAUGHT_SETS, VEHICLES
from training.objects.samples import IGNORED, TAUGHT, TRUTH, Boxes, Sample, read, write

SURE = 0.4
DOUBTED = 0.1


def look(samples: Sequence[Sample], runtime: Runtime, teacher: str) -> list[Objects]:
    """The people and vehicles that the teacher sees in each sample."""
    found = []
    for sample in samples:
        height, width = sample.pixels.shape[:2]
        picture = Picture(np.ascontiguousarray(sample.pixels), width, height)
        found.append(detect_objects(picture, runtime, model=teacher, least=DOUBTED).of("person", *VEHICLES))
    return found


def merge(sample: Sample, seen: Objects) -> Boxes:
    """A picture's own boxes with what the teacher adds; each car, truck and bus is a vehicle too."""
    drawn = {INDEX[name] for name in LABELS[sample.source].values()}
    own = sample.boxes
    kinds = np.where(seen.scores >= SURE, TAUGHT, IGNORED)
    classes = np.array([INDEX[name] for name in seen.named()], np.int64)
    keep = np.ones(len(seen), bool)
    for number, kind in enumerate(classes):
        if kind in drawn:
            same = own[(own.classes == kind) & (own.kinds == TRUTH)]
            if len(same) and geometry.iou(seen.boxes[number][None], same.boxes).max() > 0.45:
                keep[number] = False
            kinds[number] = IGNORED
    every = Boxes.join([own, Boxes(seen.boxes, classes, kinds.astype(np.int64), seen.scores)[keep]])
    if INDEX["vehicle"] not in drawn:
        extra = every[np.isin(every.classes, [INDEX[name] for name in VEHICLES])]
        extra.classes = np.full(len(extra), INDEX["vehicle"])
        every = Boxes.join([every, extra])
    return every


def teach(cache: Path, runtime: Runtime, teacher: str = "yolox-nano") -> None:
    """Add the teacher's boxes to the samples: `cache/taught`."""
    samples = read(cache)
    for source in TAUGHT_SETS:
        own = [sample for sample in samples if sample.source == source]
        for sample, seen in zip(own, look(own, runtime, teacher), strict=True):
            sample.boxes = merge(sample, seen)
    write(cache / "taught", samples)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    asked = parser.parse_args()
    settings = Settings()
    teach(asked.cache, Runtime(cache=settings.cache, mirror=settings.model_mirror, threads=1))
