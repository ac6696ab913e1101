"""What a trained network says of every face, as soft targets for the labels that its set does not have (self-training).

    python -m training.faces.teach --cache CACHE --run RUN

Each set labels a few heads only, so without this no coloured face would ever teach expressions and no face under 48
pixels ages. Expressions are read from the crop as the labelled ones look: grey and small. Writes `CACHE/taught.npz`.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.faces.batches import Prepared, plain_batches
from training.faces.model import both_ways, load
from training.faces.prepare import MARGIN
from training.faces.sources import SETS

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
    """Read every face with the network kept in `run`."""
    data, net = Prepared(cache), load(run / "last.pt")
    numbers = np.arange(len(data.crops))
    columns: dict[str, list[NDArray[np.generic]]] = {"binary": [], "age": [], "emotion": [], "points": []}
    for batch in plain_batches(data, numbers):
        said = both_ways(net, batch.crops)
        source = data.labels["source"][batch.number.numpy()]
        emotion = said.emotion
        if (source != SETS.index("emotion")).any():
            emotion = both_ways(net, torch.from_numpy(like_the_labelled(batch.crops.numpy()))).emotion
        columns["binary"].append(said.binary.sigmoid().numpy().astype(np.float16))
        columns["age"].append(said.age.softmax(1).numpy().astype(np.float16))
        columns["emotion"].append(emotion.softmax(1).numpy().astype(np.float16))
        columns["points"].append((said.points.numpy() + MARGIN).astype(np.float32))
    np.savez(cache / "taught.npz", **{name: np.concatenate(values) for name, values in columns.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    teach(asked.cache, asked.run)
