"""Fit the heads for kinds of things that ImageNet's classes miss (Wristwatch, Sunflower, Helicopter ...) or show
otherwise than people photograph them today (Mobile Phone), on the tagger's embeddings.

    python -m training.tagger.kinds --data DATA --samples SAMPLES

DATA holds `objects-101` (Caltech-101, twelve pictures a class), `street-boxes` and `scenes` with their pictures
unpacked beside labels.csv; SAMPLES is a checkout of github.com/EliSchwartz/imagenet-sample-images, one picture of each
ImageNet class. Writes src/openrek/vision/models/kinds.onnx and prints the table its card shows.

Twelve pictures a kind are few for 1,280 numbers, so a kind is told by its mean alone: linear discriminant analysis
(Fisher 1936) with one covariance of all pictures, shrunk towards the identity. In use the score is the mean of the
whole picture's and of the best region's; one line through the log odds of all kinds together, fitted on pictures left
out (four folds by a hash of the name), makes it a probability. Pictures of the set that teaches the kinds count a tenth
there: pictures of other origin are told less surely, and what is stated should hold for them. Nothing is random.
"""

import argparse
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

import openrek.vision.models
from openrek.vision.labels.taxonomy import Taxonomy, taxonomy
from openrek.vision.runtime.session import Session
from training.tagger.heads import Floats, embed, pooled, read, write
from training.tagger.photos import CALTECH

MODELS = Path(openrek.vision.models.__path__[0])
# fmt: off
KINDS = CALTECH | {
    "anchor": "Anchor", "bass": "Fish", "brontosaurus": "Dinosaur", "buddha": "Buddha", "ceiling_fan": "Electric Fan",
    "chandelier": "Chandelier", "dollar_bill": "Money", "dolphin": "Dolphin", "emu": "Emu", "euphonium": "Euphonium",
    "gerenuk": "Antelope", "hawksbill": "Sea Turtle", "headphone": "Headphones", "hedgehog": "Hedgehog",
    "helicopter": "Helicopter", "ibis": "Ibis", "inline_skate": "Roller Skates", "kangaroo": "Kangaroo",
    "lamp": "Lamp", "lotus": "Lotus", "mandolin": "Mandolin", "octopus": "Octopus", "pagoda": "Pagoda",
    "pigeon": "Pigeon", "pyramid": "Pyramid", "rhino": "Rhinoceros", "scissors": "Scissors", "stapler": "Stapler",
    "stegosaurus": "Stegosaurus", "stop_sign": "Stop Sign", "sunflower": "Sunflower", "water_lilly": "Water Lily",
    "wheelchair": "Wheelchair", "wild_cat": "Wild Cat", "wrench": "Wrench",
}
"""Caltech-101's classes, and the label that each is."""

STREETS = frozenset({
    "Airplane", "Car", "Chair", "Chandelier", "Cup", "Headphones", "Lamp", "Laptop", "Mobile Phone", "Motorcycle",
    "Pigeon", "Potted Plant", "Sailboat", "Sign", "Stop Sign", "Umbrella", "Watercraft", "Wristwatch",
})
"""What the street photos may show without saying so."""
# fmt: on
EVERY_STREET, EVERY_SCENE = 3, 6  # one of so many is enough to say what is none of these kinds
SHRINKAGE = 0.1  # of the covariance of standardised numbers; 0.03 to 0.3 differ by less than 0.01 in average precision
FOLDS = 4
TEACHER, TEACHER_WEIGHT = "objects-101", 0.1
DEFAULT = 0.55


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture: where it comes from; embeddings (R, 1280), the whole first; truth (K,) 1, 0 or NaN; its fold."""

    source: str
    embeddings: Floats
    truth: Floats
    fold: int


def names() -> list[str]:
    return sorted(set(KINDS.values()))


def truth_of(label: str | None, table: Taxonomy, unknown: frozenset[str] = frozenset()) -> Floats:
    """1, 0 or NaN for each kind in a picture of this label, or of none: a picture of an animal may show any animal."""
    above = table[label].ancestors if label else ()
    row = [
        1.0 if name == label or name in above else np.nan if name in unknown or label in table[name].ancestors else 0.0
        for name in names()
    ]
    return np.array(row, np.float32)


def pictures(data: Path, samples: Path, session: Session) -> Iterator[Seen]:
    table = taxonomy()

    def seen(path: Path, truth: Floats) -> Seen:
        fold = int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % FOLDS
        return Seen(path.parent.name, embed(read(path), session), truth, fold)

    with (data / TEACHER / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield seen(data / TEACHER / row["image"], truth_of(KINDS.get(row["label"]), table))
    for number, path in enumerate(sorted(samples.glob("*.JPEG"))):
        yield seen(path, truth_of(table.by_evidence[f"tagger:{number}"].name, table))
    for folder, every, unknown in (("street-boxes", EVERY_STREET, STREETS), ("scenes", EVERY_SCENE, frozenset[str]())):
        paths = sorted(path for path in (data / folder).iterdir() if path.suffix in {".jpg", ".webp", ".png"})
        for path in paths[::every]:
            yield seen(path, truth_of(None, table, unknown))


def lines(x: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Weights (1280, K) and biases (K,) that tell each kind from the rest, of standardised embeddings (N, 1280)."""
    covariance = x.T @ x / len(x) + SHRINKAGE * np.eye(x.shape[1], dtype=np.float32)
    there = np.stack([x[column == 1].mean(axis=0) for column in truth.T])
    elsewhere = np.stack([x[column == 0].mean(axis=0) for column in truth.T])
    weight = np.linalg.solve(covariance, (there - elsewhere).T)
    return weight, -(weight * ((there + elsewhere) / 2).T).sum(axis=0)


def held_out_scores(seen: list[Seen], x: list[Floats], truth: Floats) -> Floats:
    """Pooled scores (N, K) of every picture by heads that had not seen it."""
    folds = np.array([each.fold for each in seen])
    whole = np.stack([each[0] for each in x])
    scores = np.zeros(truth.shape, np.float32)
    for fold in range(FOLDS):
        weight, bias = lines(whole[folds != fold], truth[folds != fold])
        for place in np.flatnonzero(folds == fold):
            regions = x[place] @ weight + bias
            scores[place] = [pooled(column) for column in regions.T]
    return scores


def report(seen: list[Seen], truth: Floats, likely: Floats) -> None:
    """By source: how many kinds are shown, average precision over all, precision and recall at 55 %."""
    for source in dict.fromkeys(each.source for each in seen):
        rows = np.array([each.source == source for each in seen])
        known = ~np.isnan(truth[rows])
        shown, values = truth[rows][known] == 1, likely[rows][known]
        given = values >= DEFAULT
        line = f"{source}: {rows.sum()} pictures, {shown.sum()} kinds shown, {given.sum()} given at 55 %"
        if shown.any():
            line += f", precision {shown[given].mean():.3f}, recall {given[shown].mean():.3f}"
            line += f", average precision {average_precision_score(shown, values):.3f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=MODELS / "kinds.onnx")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    session = Session("tagger", MODELS / "tagger.onnx", options.threads)
    seen = list(pictures(options.data, options.samples, session))
    truth = np.stack([each.truth for each in seen])
    everything = np.stack([each.embeddings[0] for each in seen])
    middle, spread = everything.mean(axis=0), everything.std(axis=0) + 1e-6
    x = [(each.embeddings - middle) / spread for each in seen]
    scores = held_out_scores(seen, x, truth)
    known = ~np.isnan(truth)
    weights = np.array([[TEACHER_WEIGHT if each.source == TEACHER else 1.0] for each in seen]) * np.ones_like(truth)
    odds = LogisticRegression(C=1e6).fit(scores[known][:, None], truth[known], weights[known])
    slope, offset = float(odds.coef_[0, 0]), float(odds.intercept_[0])
    report(seen, truth, 1 / (1 + np.exp(-(scores * slope + offset))))
    weight, bias = lines((everything - middle) / spread, truth)
    bias = bias - (middle / spread) @ weight
    write(weight / spread[:, None] * slope, bias * slope + offset, names(), options.out)


if __name__ == "__main__":
    main()
