"""Calibrate on the tune side, measure on the test side.

    python -m training.faces.evaluate --cache CACHE --run RUN --second EXPRESSION

With `--second`, the folder of `training.faces.expression_train`, both are judged together too: how much it is believed
is fitted on TUNE, and its folder gets two files of its own.
Writes `RUN/calibration.json` (fitted on TUNE alone) and `RUN/report.json` (measured on TEST alone).
"""

import argparse
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from openrek.vision.faces.attributes import age_ranges
from openrek.vision.faces.pose import head_pose
from training.faces import expression
from training.faces.batches import Prepared, plain_batches
from training.faces.model import FaceNet, both_ways, load
from training.faces.points30 import to_30
from training.faces.sources import BINARY, EMOTIONS, ETHNICITIES, SETS
from training.faces.splits import TEST, TUNE

Doubles = NDArray[np.float64]
COVERAGE = 0.79
"""Share of true ages that the range shall hold on the tune side."""


@dataclass
class Raw:
    """Uncalibrated outputs for chosen faces, as float arrays; see `model.Heads`."""

    number: NDArray[np.int64]
    binary: Doubles
    age: Doubles
    emotion: Doubles
    points: Doubles


@dataclass
class Calibration:
    """`slope` and `shift` (8,) of the binary logits, `temperature` of the emotions, the ages' `levels` (lower, upper
    quantile). `second`: the share of the second network in the logits of what it tells, the first has the rest."""

    slope: list[float]
    shift: list[float]
    temperature: float
    levels: tuple[float, float]
    second: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def predict(net: FaceNet, data: Prepared, numbers: NDArray[np.int64]) -> Raw:
    """All heads for the faces as the service cuts and reads them: both ways."""
    parts: list[list[NDArray[np.float32]]] = [[], [], [], []]
    for batch in plain_batches(data, numbers):
        heads = both_ways(net, batch.crops)
        for kept, value in zip(parts, (heads.binary, heads.age, heads.emotion, heads.points), strict=True):
            kept.append(value.float().numpy())
    return Raw(numbers, *(np.concatenate(part).astype(np.float64) for part in parts))


def sigmoid(x: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Doubles) -> Doubles:
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_line(logits: Doubles, truth: NDArray[np.bool_], pull: float = 2.0) -> tuple[float, float]:
    """Slope and shift of a logit by logistic regression (Platt 1999), pulled towards (1, 0) as by a few more
    observations."""
    weight = np.array([1.0, 0.0])
    x = np.stack([logits, np.ones_like(logits)], axis=1)
    for _ in range(50):
        p = sigmoid(x @ weight)
        gradient = x.T @ (p - truth) + pull * (weight - [1.0, 0.0])
        curve = (x * (p * (1 - p))[:, None]).T @ x + pull * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        weight = weight - step
        if np.abs(step).max() < 1e-6:
            break
    return float(weight[0]), float(weight[1])


def fit_temperature(logits: Doubles, truth: NDArray[np.int64]) -> float:
    """The temperature with the least cross-entropy (Guo et al. 2017)."""
    choices = np.exp(np.linspace(-1.2, 1.2, 97))
    costs = [-np.log(softmax(logits / t)[np.arange(len(truth)), truth].clip(1e-12)).mean() for t in choices]
    return float(choices[int(np.argmin(costs))])


def fit_levels(distribution: Doubles, age: NDArray[np.int64]) -> tuple[float, float]:
    """The narrowest symmetric quantile levels whose range holds `COVERAGE` of the ages."""
    for level in np.arange(0.30, 0.01, -0.0025):
        low, high = age_ranges(distribution.astype(np.float32), (float(level), float(1 - level)))
        if ((age >= low) & (age <= high)).mean() >= COVERAGE:
            return float(level), float(1 - level)
    return 0.01, 0.99


def joined(raw: Raw, said: Doubles, share: dict[str, float]) -> Raw:
    """`raw` with the second network's logits (N, 9), of which each kind has its share."""
    binary, kinds = raw.binary.copy(), len(EMOTIONS)
    for number, name in enumerate(expression.SAID):
        column = BINARY.index(name)
        binary[:, column] += share[name] * (said[:, kinds + number] - binary[:, column])
    emotion = raw.emotion + share["emotion"] * (said[:, :kinds] - raw.emotion)
    return Raw(raw.number, binary, raw.age, emotion, raw.points)


def fit_shares(raw: Raw, said: Doubles, labels: dict[str, NDArray[Any]]) -> dict[str, float]:
    """The shares of the second network with the least cross-entropy after calibration."""
    costs: dict[str, list[float]] = {}
    shares = np.linspace(0, 1, 21)
    felt = labels["emotion"][raw.number]
    for share in shares:
        both = joined(raw, said, dict.fromkeys(("emotion", *expression.SAID), float(share)))
        for name in expression.SAID:
            column = BINARY.index(name)
            truth = labels["binary"][raw.number, column]
            logits, yes = both.binary[truth >= 0, column], truth[truth >= 0] == 1
            slope, shift = fit_line(logits, yes)
            signed = np.where(yes, 1, -1) * (slope * logits + shift)
            costs.setdefault(name, []).append(float(np.logaddexp(0, -signed).mean()))
        logits, true = both.emotion[felt >= 0], felt[felt >= 0].astype(np.int64)
        chances = softmax(logits / fit_temperature(logits, true))[np.arange(len(true)), true]
        costs.setdefault("emotion", []).append(float(-np.log(chances.clip(1e-12)).mean()))
    return {name: float(shares[int(np.argmin(each))]) for name, each in costs.items()}


def calibrate(raw: Raw, labels: dict[str, NDArray[Any]]) -> Calibration:
    truth = {name: labels[name][raw.number] for name in ("binary", "age", "emotion")}
    lines = []
    for column in range(len(BINARY)):
        known = truth["binary"][:, column] >= 0
        lines.append(fit_line(raw.binary[known, column], truth["binary"][known, column] == 1))
    felt, aged = truth["emotion"] >= 0, truth["age"] >= 0
    return Calibration(
        [slope for slope, _ in lines],
        [shift for _, shift in lines],
        fit_temperature(raw.emotion[felt], truth["emotion"][felt].astype(np.int64)),
        fit_levels(softmax(raw.age[aged]), truth["age"][aged].astype(np.int64)),
    )


def calibration_error(confidence: Doubles, right: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error: the mean gap of confidence and accuracy over equally wide bins, weighted by their
    share."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == i].mean() - right[place == i].mean()) * (place == i).mean() for i in np.unique(place)
    ]
    return float(np.sum(gaps))


def of_binary(probability: Doubles, truth: NDArray[np.bool_]) -> dict[str, float]:
    said = probability >= 0.5
    right = said == truth
    recalls = [float(right[truth == value].mean()) for value in (True, False) if (truth == value).any()]
    return {
        "n": len(truth),
        "positive": float(truth.mean()),
        "accuracy": float(right.mean()),
        "balanced": float(np.mean(recalls)),
        "ece": calibration_error(np.maximum(probability, 1 - probability), right),
    }


def of_ages(distribution: Doubles, age: NDArray[np.int64], levels: tuple[float, float]) -> dict[str, float]:
    low, high = age_ranges(distribution.astype(np.float32), levels)
    inside = (age >= low) & (age <= high)
    mean = distribution @ np.arange(distribution.shape[1])
    return {
        "n": len(age),
        "inside": float(inside.mean()),
        "median_width": float(np.median(high - low)),
        "mean_error_years": float(np.abs(mean - age).mean()),
    }


def of_emotions(probability: Doubles, truth: NDArray[np.int64]) -> dict[str, Any]:
    said = probability.argmax(axis=1)
    recalls = [float((said[truth == kind] == kind).mean()) for kind in range(len(EMOTIONS))]
    return {
        "n": len(truth),
        "accuracy": float((said == truth).mean()),
        "balanced": float(np.mean(recalls)),
        "ece": calibration_error(probability.max(axis=1), said == truth),
        "recall": dict(zip(EMOTIONS, recalls, strict=True)),
    }


def of_points(points: Doubles, truth: Doubles) -> dict[str, float]:
    """Errors over the 30 points and all 68, in parts of the distance of the eye centres; pose against that of the
    true points."""
    eyes = np.linalg.norm(truth[:, 36:42].mean(axis=1) - truth[:, 42:48].mean(axis=1), axis=1)
    corners = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    off_30 = np.linalg.norm(to_30(points) - to_30(truth), axis=2).mean(axis=1)
    off_68 = np.linalg.norm(points - truth, axis=2).mean(axis=1)
    pose = head_pose(to_30(points)) - head_pose(to_30(truth))
    turned = np.abs((pose + 180) % 360 - 180)
    return {
        "n": len(points),
        "error_30_points": float((off_30 / eyes).mean()),
        "error_68_points": float((off_68 / eyes).mean()),
        "error_30_points_by_outer_corners": float((off_30 / corners).mean()),
        "pose_roll_degrees": float(turned[:, 0].mean()),
        "pose_yaw_degrees": float(turned[:, 1].mean()),
        "pose_pitch_degrees": float(turned[:, 2].mean()),
    }


def report(raw: Raw, data: Prepared, calibration: Calibration) -> dict[str, Any]:
    """Every number of the card."""
    labels = {name: values[raw.number] for name, values in data.labels.items()}
    probability = sigmoid(raw.binary * np.array(calibration.slope) + np.array(calibration.shift))
    distribution, emotions = softmax(raw.age), softmax(raw.emotion / calibration.temperature)
    told: dict[str, Any] = {"attributes": {}}
    for column, name in enumerate(BINARY):
        known = labels["binary"][:, column] >= 0
        truth = labels["binary"][:, column] == 1
        told["attributes"][name] = of_binary(probability[known, column], truth[known])
        for number, source in enumerate(SETS):
            here = known & (labels["source"] == number)
            if here.any() and not (here == known).all():
                told["attributes"][f"{name} in {source}"] = of_binary(probability[here, column], truth[here])
    aged = labels["age"] >= 0
    grown = aged & (labels["age"] >= 16)
    truth = labels["binary"][:, 0] == 1
    told["attributes"]["male, 16 years and older"] = of_binary(probability[grown, 0], truth[grown])
    told["age"] = of_ages(distribution[aged], labels["age"][aged], calibration.levels)
    felt = labels["emotion"] >= 0
    told["emotion"] = of_emotions(emotions[felt], labels["emotion"][felt].astype(np.int64))
    sure = felt & labels["trusted"]
    told["emotion, face detected"] = of_emotions(emotions[sure], labels["emotion"][sure].astype(np.int64))
    marked = np.isfinite(labels["landmarks"]).all(axis=(1, 2))
    inside = labels["landmarks"][marked].astype(np.float64) - (data.crops.shape[1] - 112) / 2
    told["landmarks"] = of_points(raw.points[marked], inside)
    told["groups"] = {}
    kinds = {f"ethnicity {name}": labels["ethnicity"] == number for number, name in enumerate(ETHNICITIES)}
    kinds |= {
        f"age {low}-{high}": (labels["age"] >= low) & (labels["age"] <= high)
        for low, high in ((0, 4), (5, 15), (16, 29), (30, 44), (45, 59), (60, 120))
    }
    kinds |= {"female": labels["binary"][:, 0] == 0, "male": labels["binary"][:, 0] == 1}
    for name, chosen in kinds.items():
        here = chosen & aged
        gender = of_binary(probability[here, 0], truth[here])
        told["groups"][name] = {
            "gender_accuracy": gender["accuracy"],
            **of_ages(distribution[here], labels["age"][here], calibration.levels),
        }
    return told


def evaluate(cache: Path, run: Path, second: Path | None = None) -> dict[str, Any]:
    """Calibrate and measure the network of `run` and, where there is a second one, both together; what is told last."""
    data, net = Prepared(cache), load(run / "last.pt")
    tune, test = (predict(net, data, np.flatnonzero(data.labels["split"] == side)) for side in (TUNE, TEST))
    told = _written(run, tune, test, data, {})
    if second is not None:
        opinion, small = expression.load(second), expression.Small.of(data, cache / "small.npy")
        said, heard = (expression.read(opinion, small, raw.number) for raw in (tune, test))
        shares = fit_shares(tune, said, data.labels)
        told = _written(second, joined(tune, said, shares), joined(test, heard, shares), data, shares)
    return told


def _written(out: Path, tune: Raw, test: Raw, data: Prepared, shares: dict[str, float]) -> dict[str, Any]:
    calibration = replace(calibrate(tune, data.labels), second=shares)
    told = report(test, data, calibration)
    (out / "calibration.json").write_text(json.dumps(asdict(calibration), indent=1))
    (out / "report.json").write_text(json.dumps(told, indent=1))
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--second", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(json.dumps(evaluate(asked.cache, asked.run, asked.second), indent=1))
