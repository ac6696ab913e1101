"""Turn a trained detector's scores into probabilities.

    python -m training.objects.evaluate --cache CACHE --run RUN --coco PICTURES LABELS

The curves are fitted on pictures held back for tuning and, for COCO's classes, on photos of COCO with YOLO label files.
Classes with few boxes there share one curve. Writes `RUN/chosen.json`, which `export` reads.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openrek.settings import Settings
from openrek.vision.image import Picture
from openrek.vision.objects import Objects, detect_objects
from openrek.vision.runtime import Runtime
from training.faces.splits import TUNE
from training.objects.classes import EVERYDAY, LABELS, LOOSE, OWN_REPORTED
from training.objects.export import export, load
from training.objects.measure import Matched, isotonic, match, photos
from training.objects.samples import Sample, read

SIDE = 640
"""Longest side of the input; `[preprocess]` of the card has the same."""

ENLARGE = 2.0
"""Most that a small picture is enlarged."""

LEAST_TRUTHS = 25
"""A class of fewer boxes shares its curve with the others of its branch."""

CARD = """name = "candidate"
task = "object-detection"
version = "0"
licence = "Apache-2.0"
summary = "A detector under evaluation."
training_data = "See training/objects."
file = "candidate.onnx"
sha256 = "{sha256}"
size = {size}
sources = ["file:candidate.onnx"]

[preprocess]
form = "dense"
side = {side}
enlarge = {enlarge}
"""


def candidate(run: Path, side: int, enlarge: float) -> Runtime:
    """A runtime whose catalogue has the run's network, with raw scores, as `candidate`."""
    folder = run / "cards"
    folder.mkdir(exist_ok=True)
    path = folder / "candidate.onnx"
    export(load(run), EVERYDAY, OWN_REPORTED, {}, path)
    content = path.read_bytes()
    text = CARD.format(sha256=hashlib.sha256(content).hexdigest(), size=len(content), side=side, enlarge=enlarge)
    (folder / "candidate.toml").write_text(text)
    return Runtime(cache=Settings().cache, extra_cards=folder, threads=1)


def detect(samples: Sequence[Sample], runtime: Runtime) -> list[Objects]:
    """The candidate's raw answers."""
    found = []
    for sample in samples:
        height, width = sample.pixels.shape[:2]
        picture = Picture(np.ascontiguousarray(sample.pixels), width, height)
        found.append(detect_objects(picture, runtime, model="candidate", least=0.01))
    return found


def drawn(samples: Sequence[Sample], found: Sequence[Objects], name: str) -> Matched:
    """Detections of a class on the pictures in which its boxes are drawn; everyday ones where they are not loose."""
    sources = ["coco", *(source for source, labels in LABELS.items() if name in labels.values())]
    if name in EVERYDAY:
        sources = [source for source in sources if source not in LOOSE]
    pairs = [pair for pair in zip(samples, found, strict=True) if pair[0].source in sources]
    return match([sample for sample, _ in pairs], [objects for _, objects in pairs], name)


def join(parts: Sequence[Matched]) -> Matched:
    return Matched(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.right for part in parts]),
        sum(part.count for part in parts),
    )


def evaluate(cache: Path, run: Path, side: int, enlarge: float, coco: Sequence[tuple[Path, Path]]) -> None:
    """Write `run/chosen.json`."""
    everyday = [sample for pictures, labels in coco for sample in photos(pictures, labels)]
    own = [sample for sample in read(cache) if sample.side == TUNE]
    with candidate(run, side, enlarge) as runtime:
        everyday_found, own_found = detect(everyday, runtime), detect(own, runtime)
    added = tuple(name for name in OWN_REPORTED if name not in EVERYDAY)
    calibration = {}
    for names, samples, found in (
        (EVERYDAY, [*everyday, *own], [*everyday_found, *own_found]),
        (added, own, own_found),
    ):
        results = {name: drawn(samples, found, name) for name in names}
        few = [result for result in results.values() if result.count < LEAST_TRUTHS]
        shared = join(few) if few else join(list(results.values()))
        for name, result in results.items():
            chosen = shared if result.count < LEAST_TRUTHS else result
            calibration[name] = isotonic(chosen.scores, chosen.right)
            print(f"{name}: {result.count} boxes, AP50 {result.average_precision:.3f}")
    chosen_classes = {"everyday": list(EVERYDAY), "own": list(OWN_REPORTED), "calibration": calibration}
    (run / "chosen.json").write_text(json.dumps(chosen_classes, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--enlarge", type=float, default=ENLARGE)
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("PICTURES", "LABELS"), action="append", default=[])
    asked = parser.parse_args()
    evaluate(asked.cache, asked.run, asked.side, asked.enlarge, asked.coco)
