"""The whole recipe: from the labelled sets to the ONNX file.

    python -m training.objects.recipe --data DATA --weights WEIGHTS --work WORK --out objects.onnx

WEIGHTS is a folder with the teachers' files (yolox_nano.onnx, nanodet_m_416.onnx; see the card of yolox-nano for the
first's address). Each part is skipped where WORK holds its result already; training goes on where it was interrupted.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from openrek.settings import Settings
from openrek.vision.runtime import Runtime
from training.faces.recipe import IMAGENET
from training.objects import evaluate, prepare, teachers, train
from training.objects.batches import Recipe
from training.objects.export import export, load


def run(
    data: Path, weights: Path, work: Path, out: Path, plan: train.Plan, threads: int, sides: tuple[int, ...]
) -> None:
    """Prepare, let the teachers look, train, choose and calibrate, export."""
    torch.set_num_threads(threads)
    runtime = Runtime(cache=Settings().cache, mirror=str(weights), threads=threads)
    imagenet = runtime.library.obtain(IMAGENET)
    cache, net = work / "cache", work / "net"
    if not (cache / "table.npz").exists():
        prepare.prepare(data, cache, runtime)
    if not (cache / "taught" / "table.npz").exists():
        teachers.teach(cache, weights, runtime)
    train.run(cache / "taught", imagenet, net, plan, replace(Recipe(), sides=sides), threads=threads)
    evaluate.evaluate(cache / "taught", net, evaluate.SIDE, evaluate.ENLARGE)
    chosen = json.loads((net / "chosen.json").read_text())
    export(load(net), chosen["names"], {"calibration": json.dumps(chosen["calibration"])}, out)


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
    asked = parser.parse_args()
    plan = replace(train.Plan(), steps=asked.steps, minutes=asked.minutes)
    run(asked.data, asked.weights, asked.work, asked.out, plan, asked.threads, tuple(asked.sides))
