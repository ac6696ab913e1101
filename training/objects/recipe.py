"""The whole recipe: from the labelled sets to the ONNX file.

    python -m training.objects.recipe --data DATA --weights WEIGHTS --work WORK --out objects.onnx \
        --coco PICTURES LABELS

WEIGHTS is a folder with yolox_nano.onnx, from which training starts and which it is held to (the card of yolox-nano has
its address). PICTURES and LABELS are photos of COCO with YOLO label files, for calibration. Each part is skipped where
WORK holds its result already; training goes on where it was interrupted.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from openrek.settings import Settings
from openrek.vision.runtime import Runtime
from training.objects import evaluate, prepare, teachers, train
from training.objects.batches import Recipe
from training.objects.export import export, load


def run(
    data: Path,
    weights: Path,
    work: Path,
    out: Path,
    coco: Sequence[tuple[Path, Path]],
    plan: train.Plan,
    threads: int,
    sides: tuple[int, ...],
) -> None:
    """Prepare, let the teacher look, train, calibrate, export."""
    torch.set_num_threads(threads)
    runtime = Runtime(cache=Settings().cache, mirror=str(weights), threads=threads)
    cache, net = work / "cache", work / "net"
    if not (cache / "table.npz").exists():
        prepare.prepare(data, cache, runtime)
    if not (cache / "taught" / "table.npz").exists():
        teachers.teach(cache, runtime)
    recipe = replace(Recipe(), sides=sides)
    train.run(cache / "taught", weights / "yolox_nano.onnx", net, plan, recipe, threads=threads)
    evaluate.evaluate(cache, net, evaluate.SIDE, evaluate.ENLARGE, coco)
    chosen = json.loads((net / "chosen.json").read_text())
    metadata = {"calibration": json.dumps(chosen["calibration"])}
    export(load(net), chosen["everyday"], chosen["own"], metadata, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=train.Plan.steps)
    parser.add_argument("--minutes", type=float, help="end by the clock instead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", type=int, nargs="+", default=list(Recipe.sides))
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("PICTURES", "LABELS"), action="append", default=[])
    asked = parser.parse_args()
    plan = replace(train.Plan(), steps=asked.steps, minutes=asked.minutes)
    run(asked.data, asked.weights, asked.work, asked.out, asked.coco, plan, asked.threads, tuple(asked.sides))
