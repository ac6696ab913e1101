"""`python -m bench.object_accuracy --cache CACHE`: how well detectors find objects. The model card of `objects` quotes
its tables.

CACHE is what `python -m training.objects.prepare` wrote; only pictures held back there are used. `--coco` adds photos
with YOLO label files in the order of COCO's 80 classes. Several models are measured on the same pictures.

AP50: average precision where a box must overlap the drawn one by half (IoU). P and R: precision and recall of the boxes
at a probability of 50 %. ECE: how far stated probabilities of 10 % and more are from the share that is right.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from training.faces.splits import TEST
from training.objects.classes import COCO, LABELS
from training.objects.measure import Matched, calibration_error, classes_of, match, photos
from training.objects.samples import Sample, read

from bench.__main__ import table
from openrek.settings import Settings
from openrek.vision.image import Picture
from openrek.vision.objects import Objects, detect_objects
from openrek.vision.runtime import Runtime

Detect = Callable[[NDArray[np.uint8]], Objects]
LEAST_BOXES = 5  # classes of fewer boxes are left out of COCO's table


@dataclass(frozen=True)
class Detector:
    name: str
    detect: Detect


def of_catalogue(name: str, runtime: Runtime) -> Detector:
    """A detector of the catalogue, at the least probability that still counts towards AP."""

    def detect(pixels: NDArray[np.uint8]) -> Objects:
        height, width = pixels.shape[:2]
        return detect_objects(Picture(pixels, width, height), runtime, model=name, least=0.005)

    return Detector(name, detect)


def _cells(result: Matched) -> tuple[str, ...]:
    precision, recall = result.at(0.5)
    ece = calibration_error(result.scores, result.right)
    return f"{result.average_precision:.3f}", f"{precision:.2f}", f"{recall:.2f}", f"{ece:.3f}"


def report(title: str, samples: Sequence[Sample], classes: Sequence[str], detectors: Sequence[Detector]) -> None:
    """One table: a row for each class that a detector knows."""
    rows, means = [], []
    for detector in detectors:
        found = [detector.detect(np.ascontiguousarray(sample.pixels)) for sample in samples]
        names = found[0].names if found else ()
        known = [name for name in classes if name in names]
        results = {name: match(samples, found, name) for name in known}
        rows += [[detector.name, name, str(result.count), *_cells(result)] for name, result in results.items()]
        mean = np.mean([result.average_precision for result in results.values()]) if results else 0.0
        means.append(f"{detector.name}: {len(known)} classes, mean AP50 {mean:.3f}")
    print(f"\n{title}: {len(samples)} pictures; {'; '.join(means)}\n")
    print(table(["detector", "class", "boxes", "AP50", "P", "R", "ECE"], rows))


def speed(detectors: Sequence[Detector]) -> None:
    """The pass on a picture of 1920 x 1080, decoding left out."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (27, 48, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(noise, (1920, 1080), interpolation=cv2.INTER_CUBIC), np.uint8)
    rows = []
    for detector in detectors:
        detector.detect(pixels)
        walls, works = [], []
        for _ in range(15):
            wall, work = time.perf_counter(), time.process_time()
            detector.detect(pixels)
            walls.append(time.perf_counter() - wall)
            works.append(time.process_time() - work)
        rows.append([detector.name, f"{1000 * np.median(walls):.0f} ms", f"{1000 * np.median(works):.0f} ms"])
    print("\nOne pass over 1920 x 1080 pixels (medians)\n")
    print(table(["detector", "time", "processor time"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model", nargs="+", default=["objects"])
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("PICTURES", "LABELS"), action="append", default=[])
    options = parser.parse_args()
    settings = Settings()
    with Runtime(
        cache=settings.cache, offline=settings.offline, mirror=settings.model_mirror, threads=settings.threads
    ) as runtime:
        detectors = [of_catalogue(name, runtime) for name in options.model]
        if options.cache:
            held = [sample for sample in read(options.cache) if sample.side == TEST]
            for source in LABELS:
                own = [sample for sample in held if sample.source == source]
                if classes_of(source):
                    report(source, own, classes_of(source), detectors)
        for pictures, labels in options.coco:
            samples = photos(pictures, labels)
            counts = np.bincount(np.concatenate([sample.boxes.classes for sample in samples]), minlength=len(COCO))
            classes = [name for name, count in zip(COCO, counts, strict=True) if count >= LEAST_BOXES]
            report(f"COCO {pictures.name}", samples, classes, detectors)
        speed(detectors)


if __name__ == "__main__":
    main()
