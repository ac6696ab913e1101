"""Choose which classes a trained detector reports, and turn its scores into probabilities.

    python -m training.objects.evaluate --cache CACHE/taught --run RUN

Both are decided on pictures held back for tuning. A class that sets draw boxes of is always reported; one that only
other detectors taught is reported where ours agrees with them on pictures it was not taught (AP50 of at least AGREE
against their boxes, of which there must be LEAST). Writes `RUN/chosen.json`, which `export` reads.
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
from training.faces.splits import TRAIN, TUNE
from training.objects.classes import COCO, LABELS, NAMES, OWN, TAUGHT_SETS
from training.objects.export import export, load
from training.objects.measure import Matched, isotonic, match
from training.objects.samples import TAUGHT, TRUTH, Sample, read

SIDE = 384
"""Longest side of the input; `[preprocess]` of the card has the same."""

ENLARGE = 1.2
"""Most that a small picture is enlarged."""

AGREE = 0.75
LEAST = 20
LEAST_TRUTHS = 25

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
    """A runtime whose catalogue has the run's network, all classes and raw scores, as `candidate`."""
    folder = run / "cards"
    folder.mkdir(exist_ok=True)
    path = folder / "candidate.onnx"
    if not path.exists() or path.stat().st_mtime < (run / "last.pt").stat().st_mtime:
        export(load(run), list(NAMES), {}, path)
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


def of_set(samples: Sequence[Sample], found: Sequence[Objects], sources: Sequence[str]) -> list[tuple[Sample, Objects]]:
    return [(sample, objects) for sample, objects in zip(samples, found, strict=True) if sample.source in sources]


def drawn(samples: Sequence[Sample], found: Sequence[Objects], name: str) -> Matched:
    """Detections of a class on the sets that draw boxes of it."""
    pairs = of_set(samples, found, [source for source, labels in LABELS.items() if name in labels.values()])
    return match([sample for sample, _ in pairs], [objects for _, objects in pairs], name)


def agreement(samples: Sequence[Sample], found: Sequence[Objects], name: str) -> Matched:
    """Detections of a class against the other detectors' boxes."""
    pairs = of_set(samples, found, TAUGHT_SETS)
    return match([sample for sample, _ in pairs], [objects for _, objects in pairs], name, truth=(TRUTH, TAUGHT))


def join(parts: Sequence[Matched]) -> Matched:
    return Matched(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.right for part in parts]),
        sum(part.count for part in parts),
    )


def evaluate(cache: Path, run: Path, side: int, enlarge: float) -> None:
    """Write `run/chosen.json`."""
    held = [sample for sample in read(cache) if sample.side != TRAIN]
    with candidate(run, side, enlarge) as runtime:
        found = detect(held, runtime)
    tuning = [number for number, sample in enumerate(held) if sample.side == TUNE]
    samples, answers = [held[number] for number in tuning], [found[number] for number in tuning]
    truths = {name for labels in LABELS.values() for name in labels.values()}
    results = {name: drawn(samples, answers, name) for name in NAMES if name in truths}
    pooled = isotonic(*_columns(join([results[name] for name in ("car", "person", "cat", "train", "bus")])))
    calibration, names = {}, []
    for name in NAMES:
        if name in truths:
            enough = results[name].count >= LEAST_TRUTHS
            calibration[name] = isotonic(*_columns(results[name])) if enough else pooled
            names.append(name)
        elif name in COCO:
            agreed = agreement(held, found, name)
            if agreed.count >= LEAST and agreed.average_precision >= AGREE:
                calibration[name] = pooled
                names.append(name)
            print(f"{name}: {agreed.count} boxes of others, AP50 {agreed.average_precision:.2f}")
    assert set(OWN) <= set(names)
    for name, result in results.items():
        print(f"{name}: {result.count} drawn boxes, AP50 {result.average_precision:.3f} (tuning pictures)")
    (run / "chosen.json").write_text(json.dumps({"names": names, "calibration": calibration}, indent=1))


def _columns(result: Matched) -> tuple[np.ndarray, np.ndarray]:
    return result.scores, result.right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--enlarge", type=float, default=ENLARGE)
    asked = parser.parse_args()
    evaluate(asked.cache, asked.run, asked.side, asked.enlarge)
