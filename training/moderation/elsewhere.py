"""Pictures of the labelled sets, scored by networks that did not see them, against ordinary photos of another origin.

    python -m training.moderation.elsewhere --trained WORK --ordinary FOLDER [FOLDER ...]

WORK is where `recipe` left its scores, the folders hold photos that took no part (JPEG, at any depth); the shipped file
scores those. `--without` leaves out photos by a part of their name: a rifle is not ordinary.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision.image import ImageError, load_image
from openrek.vision.look import Look
from openrek.vision.moderation.detect import PICTURE_SIDE
from openrek.vision.moderation.heads import read_heads
from openrek.vision.runtime import Runtime
from training.faces.splits import TEST
from training.moderation.export import box_weights, calibration, scored
from training.moderation.pictures import HEADS
from training.moderation.train import auc

GROUPS = {"weapons": ("pistol", "knife", "long_gun")} | {head: (head,) for head in HEADS}


def photos(folder: Path, without: Sequence[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".jpg", ".jpeg") and not any(part in path.name for part in without):
            yield path


def margins(path: Path, runtime: Runtime) -> NDArray[np.float32] | None:
    """(heads,) log odds above 60 %; None where the file is no picture that can be read."""
    try:
        look = Look(load_image(path, longest=PICTURE_SIDE), runtime)
    except ImageError:
        return None
    read = read_heads(look)
    chance = np.clip(np.array([read[head] for head in HEADS], np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(chance / (1 - chance)) - np.log(0.6 / 0.4), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--ordinary", type=Path, nargs="+", required=True)
    parser.add_argument("--without", nargs="*", default=["rifle", "revolver", "holster", "bow."])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth photo of each folder")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    found = scored(options.trained)
    weights = box_weights(found)
    scores = found.fused(weights)
    slopes, cuts = np.array(calibration(found, scores)).T
    own = np.asarray(slopes * (scores - cuts), np.float32)
    parts: dict[str, NDArray[np.float32]] = {}
    with Runtime(cache=Settings().cache, threads=options.threads) as runtime:
        for folder in options.ordinary:
            read = [margins(path, runtime) for path in list(photos(folder, options.without))[:: options.every]]
            parts[folder.name] = np.stack([row for row in read if row is not None])
            called = (parts[folder.name] >= 0).any(axis=1).mean()
            print(f"{folder.name}: {len(parts[folder.name])} photos, {100 * called:.1f} % with any head at 60 %")
    for name, members in GROUPS.items():
        columns = [HEADS.index(head) for head in members]
        tested = found.sides == TEST if (weights[columns] > 0).any() else np.ones(len(own), bool)
        shown = tested & (found.truths[:, columns] == 1).any(axis=1) & (found.sources != "objects-101")
        positive = own[shown][:, columns].max(axis=1)
        each = {folder: auc(positive, rows[:, columns].max(axis=1)) for folder, rows in parts.items()}
        every = auc(positive, np.concatenate(list(parts.values()))[:, columns].max(axis=1))
        told = ", ".join(f"{folder} {value:.3f}" for folder, value in each.items())
        print(
            f"{name:16} AUC {every:.4f} ({told}); {len(positive)} pictures, {(positive > 0).mean():.3f} called at 60 %"
        )


if __name__ == "__main__":
    main()
