"""What a trained network says of every face, as soft targets for the labels that its set does not have (self-training).

    python -m training.faces.teach --cache CACHE --run RUN

Each set labels a few heads only, so without this no coloured face would ever teach expressions and no face under 48
pixels ages. Expressions are read from the crop as the labelled ones look: grey and small. Writes `CACHE/taught.npz`.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.faces.batches import Prepared, plain_batches
from training.faces.model import AGES, POINTS, load
from training.faces.prepare import MARGIN
from training.faces.sources import BINARY, EMOTIONS, SETS
from training.faces.splits import TRAIN

GREY_SIDE = 76
"""Side that a crop is shrunk to for its expression: a 48-pixel picture of the labelled set fills about this much of a
crop."""


def like_the_labelled(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crops (N, 3, 112, 112) as the expression set shows faces."""
    shown = np.empty_like(crops)
    for number, crop in enumerate(crops):
        grey = cv2.cvtColor(np.ascontiguousarray(crop.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (GREY_SIDE, GREY_SIDE), interpolation=cv2.INTER_AREA)
        shown[number] = cv2.resize(small, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return shown


@torch.no_grad()
def teach(cache: Path, run: Path) -> None:
    """Read every training face, as it is and not mirrored too, with the network kept in `run`."""
    data, net = Prepared(cache), load(run / "last.pt")
    net.precision = torch.bfloat16
    count = len(data.crops)
    columns: dict[str, NDArray[Any]] = {
        "binary": np.zeros((count, len(BINARY)), np.float16),
        "age": np.zeros((count, AGES), np.float16),
        "emotion": np.zeros((count, len(EMOTIONS)), np.float16),
        "points": np.full((count, POINTS, 2), np.nan, np.float32),
    }
    for name in SETS:
        for batch in plain_batches(data, data.members(name, TRAIN)):
            said, rows = net(batch.crops), batch.number.numpy()
            emotion = said.emotion
            if name != "emotion":
                worn = torch.from_numpy(like_the_labelled(batch.crops.numpy()))
                emotion = net(worn, torch.arange(1)).emotion
            columns["binary"][rows] = said.binary.sigmoid().numpy()
            columns["age"][rows] = said.age.softmax(1).numpy()
            columns["emotion"][rows] = emotion.softmax(1).numpy()
            columns["points"][rows] = said.points.numpy() + MARGIN
    np.savez(cache / "taught.npz", **columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    teach(asked.cache, asked.run)
