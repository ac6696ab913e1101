"""Fit how the head network's answers and the object detector's boxes are joined.

    python -m training.protective_equipment.join --objects OBJECTS

Runs the service's own steps on the pictures held back for choices and prints the weights for
`openrek.vision.protective_equipment.detect.WEIGHTS`: logistic regression on the log odds of both, classes weighing the
same.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from openrek.settings import Settings
from openrek.vision.image import Picture
from openrek.vision.look import Look
from openrek.vision.odds import log_odds
from openrek.vision.protective_equipment.detect import FACE_SEARCH_SIDE, find_heads, on_head
from openrek.vision.protective_equipment.people import find_hints, find_people
from openrek.vision.runtime import Runtime
from training.faces.splits import TUNE
from training.objects.classes import NAMES
from training.objects.samples import TRUTH, Sample, read

ANSWERS = {"hat": ("hard_hat", "head_bare"), "mask": ("face_mask", "face_bare")}
LEAST_SIDE = 640


def evidence(sample: Sample, runtime: Runtime) -> list[tuple[str, float, float, int]]:
    """(answer, log odds of the network, of the detector, truth) of every head that a label decides."""
    pixels = np.ascontiguousarray(sample.pixels)
    scale = max(1.0, LEAST_SIDE / max(pixels.shape[:2]))
    if scale > 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    look = Look(Picture.of(pixels), runtime, face_search_side=FACE_SEARCH_SIDE)
    hints = find_hints(look.faces, look.objects)
    people = find_people(look.objects, hints, look.picture.width, look.picture.height)
    if not len(people.boxes):
        return []
    heads = find_heads(look, people, hints)
    found = []
    for index in np.flatnonzero(heads.present >= 0.5):
        left, top, right, bottom = heads.boxes[index]
        for answer, names in ANSWERS.items():
            for truth, name in ((1, names[0]), (0, names[1])):
                own = (sample.boxes.classes == NAMES.index(name)) & (sample.boxes.kinds == TRUTH)
                middles = (sample.boxes.boxes[own, :2] + sample.boxes.boxes[own, 2:]) / 2 * scale
                if ((middles >= (left, top)) & (middles <= (right, bottom))).all(axis=1).any():
                    network = float(getattr(heads, answer)[index])
                    score, _ = on_head(look.objects, names[0], heads.boxes[index])
                    found.append((answer, log_odds(network), log_odds(score), truth))
    return found


def fit(rows: np.ndarray, truth: np.ndarray, steps: int = 100) -> np.ndarray:
    """Weight of the network, weight of the detector, shift; drawn a little towards even trust."""
    design = np.column_stack([rows, np.ones(len(rows))])
    weight = np.where(truth == 1, 0.5 / max(truth.mean(), 1e-9), 0.5 / max(1 - truth.mean(), 1e-9))
    prior, strength = np.array([0.6, 0.6, 0.0]), np.array([3.0, 3.0, 0.3])
    values = prior.copy()
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-design @ values))
        gradient = design.T @ (weight * (probability - truth)) + strength * (values - prior)
        curve = (design * (weight * probability * (1 - probability))[:, None]).T @ design + np.diag(strength)
        values = values - np.clip(np.linalg.solve(curve, gradient), -0.5, 0.5)
    return values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=Path, required=True)
    asked = parser.parse_args()
    settings = Settings()
    every = []
    with Runtime(cache=settings.cache, mirror=settings.model_mirror, threads=1) as runtime:
        for sample in read(asked.objects):
            named = {NAMES[index] for index in sample.boxes.classes}
            if sample.side == TUNE and named & {name for pair in ANSWERS.values() for name in pair}:
                every += evidence(sample, runtime)
    for answer in ANSWERS:
        rows = np.array([row[1:3] for row in every if row[0] == answer])
        truth = np.array([row[3] for row in every if row[0] == answer], float)
        values = fit(rows, truth)
        joined = rows @ values[:2] + values[2] > 0
        alone = [float(((column > 0) == (truth == 1)).mean()) for column in rows.T]
        right = float((joined == (truth == 1)).mean())
        print(f"{answer}: {len(truth)} heads, {int(truth.sum())} covered; weights {values.round(2).tolist()};", end=" ")
        print(f"right: network {alone[0]:.3f}, detector {alone[1]:.3f}, joined {right:.3f}")
