"""Calibrate the head network on the heads held back for choices, and measure it on those held back for the card.

    python -m training.protective_equipment.evaluate --heads HEADS.npz --run RUN

Writes `RUN/calibration.json` and prints the table. Sides are by photo, so no head of the test was seen in training.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.faces.splits import TEST, TUNE
from training.protective_equipment.augment import changed, plain
from training.protective_equipment.network import ANSWERS, HeadNet, load
from training.protective_equipment.samples import Head, read

Floats = NDArray[np.float64]
JITTER = 3
"""Crops of each head for calibration, off centre and of other sizes, as the service cuts them."""


def ask(net: HeadNet, crops: list[NDArray[np.uint8]]) -> tuple[Floats, Floats]:
    """Logits (N, 4) and boxes (N, 3, 4) in shares of the crop."""
    logits, boxes = [], []
    with torch.no_grad():
        for start in range(0, len(crops), 64):
            batch = torch.from_numpy(np.stack(crops[start : start + 64]).transpose(0, 3, 1, 2))
            said, places = net(batch)
            logits.append(said.double().numpy())
            boxes.append(places.double().numpy())
    return np.concatenate(logits), np.concatenate(boxes)


def platt(logits: Floats, truth: Floats, *, even: bool = True, steps: int = 200) -> tuple[float, float]:
    """Slope and shift of the logistic model that fits best (Platt 1999); `even`: the classes weigh the same."""
    positive = truth.mean() if even else 0.5
    weight = np.where(truth == 1, 0.5 / max(positive, 1e-9), 0.5 / max(1 - positive, 1e-9))
    values = np.array([1.0, 0.0])
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    prior = 1e-3 * len(logits)
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-design @ values))
        gradient = design.T @ (weight * (probability - truth)) + prior * (values - [1.0, 0.0])
        curve = (design * (weight * probability * (1 - probability))[:, None]).T @ design + prior * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        values = values - np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-8:
            break
    return float(max(values[0], 0.05)), float(values[1])


def calibrate(net: HeadNet, heads: list[Head]) -> dict[str, list[float]]:
    """Slopes and shifts of ANSWERS, from the tuning side."""
    generator = np.random.default_rng(3)
    own = [head for head in heads if head.side == TUNE for _ in range(JITTER)]
    logits, _ = ask(net, [changed(head, generator)[0] for head in own])
    result: dict[str, list[float]] = {"slope": [], "shift": []}
    for column, name in enumerate(ANSWERS):
        truth = np.array([getattr(head, name) for head in own])
        known = truth >= 0
        # masks are worn rightly as often as in the set: only a clear sight of the contrary should accuse
        even = name != "covers"
        slope, shift = platt(logits[known, column], truth[known].astype(np.float64), even=even)
        result["slope"].append(slope)
        result["shift"].append(shift)
    return result


def iou(a: Floats, b: Floats) -> Floats:
    """Of pairs (N, 4)."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    areas = [(c[:, 2:] - c[:, :2]).prod(axis=1) for c in (a, b)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def measure(net: HeadNet, heads: list[Head], calibration: dict[str, list[float]]) -> None:
    """Print what each source's test side shows."""
    own = [head for head in heads if head.side == TEST]
    crops, truth_boxes = zip(*(plain(head) for head in own), strict=True)
    logits, boxes = ask(net, list(crops))
    said = 1 / (1 + np.exp(-(logits * calibration["slope"] + calibration["shift"])))
    sources = np.array([head.source for head in own])
    sizes = np.array([head.head[3] - head.head[1] for head in own])
    print("| answer | set | heads | right % | balanced % | positives found % | false alarms % |")
    print("|---|---|---|---|---|---|---|")
    for column, name in enumerate(ANSWERS):
        truth = np.array([getattr(head, name) for head in own])
        groups = [(source, sources == source) for source in sorted(set(sources))]
        groups += [("ppe-boxes, heads of 24 pixels or more", (sources == "ppe-boxes") & (sizes >= 24))]
        groups += [("all", sources != "")]
        for title, chosen in groups:
            chosen = chosen & (truth >= 0)
            if not chosen.any():
                continue
            right = (said[chosen, column] >= 0.5) == (truth[chosen] == 1)
            sides = [right[truth[chosen] == value].mean() for value in (1, 0) if (truth[chosen] == value).any()]
            found = right[truth[chosen] == 1].mean() if (truth[chosen] == 1).any() else np.nan
            wrong = 1 - right[truth[chosen] == 0].mean() if (truth[chosen] == 0).any() else np.nan
            print(
                f"| {name} | {title} | {chosen.sum()} | {100 * right.mean():.1f} | {100 * np.mean(sides):.1f} |"
                f" {100 * found:.1f} | {100 * wrong:.1f} |"
            )
    wanted = np.stack(truth_boxes).astype(np.float64)
    for part, name in enumerate(("head", "hat", "mask")):
        there = ~np.isnan(wanted[:, part]).any(axis=1) & (sources != "nothing")
        overlap = iou(boxes[there, part], wanted[there, part])
        median, enough = np.median(overlap), np.mean(overlap >= 0.5)
        print(f"{name} boxes: {there.sum()}, median IoU {median:.2f}, IoU >= 0.5 {enough:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(2)
    every, trained = read(asked.heads), load(asked.run / "net.pt")
    fitted = calibrate(trained, every)
    (asked.run / "calibration.json").write_text(json.dumps(fitted))
    measure(trained, every, fitted)
