"""Fit the heads for everyday concepts (Outdoors, Water, Street, Person ...) on the tagger's embeddings.

    python -m training.tagger.everyday --data DATA --samples SAMPLES --panoptic JSON PICTURES

DATA holds `street-boxes` (Pascal VOC 2007) and `scenes` (Intel's scenes, 64 pixels); SAMPLES is a checkout of
github.com/EliSchwartz/imagenet-sample-images, one picture of each ImageNet class. `everyday.csv` says what 1,350 of
these pictures show; it was written for this project by looking at each of them at 130 pixels. Writes
src/openrek/vision/models/everyday.onnx and prints the table its card shows.

Each head is a logistic regression on the embedding of the whole picture. A picture is learned twice, as it is and
reduced to 64 pixels, so that the small scenes teach scenes and not smallness. What a label does not settle (whether a
photo of the sea shows sky) takes no part. Documents are taught by pages that `pages.py` draws, which also say that a
page is neither outdoors nor indoors; pictures that show nothing, which `blanks.py` draws, say that they show none of
all this. In use a head's score is the mean of the whole picture's and of the best
region's; a second logistic regression on scores of pictures left out (five folds) makes it a probability, which is
lowered where fewer than 80 % of what is given at the default 55 % are right. Photos of daily life show more sky, trees
and houses than these pictures, and smaller ones: what COCO annotates is shifted by one number a concept, which is
fitted on the 100 photos and drawn towards 0.
"""

import argparse
import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

import openrek.vision.models
from openrek.vision.runtime.session import Session
from training.tagger.blanks import blanks
from training.tagger.heads import embed, pooled, read, write
from training.tagger.pages import pages
from training.tagger.photos import GROUND, panoptic

HERE = Path(__file__).parent
MODELS = Path(openrek.vision.models.__path__[0])
# fmt: off
CONCEPTS = (
    "Outdoors", "Indoors", "Water", "Sky", "Grass", "Tree", "Plant", "Flower", "Mountain", "Rock", "Sand", "Beach",
    "Snow", "Street", "Road", "Building", "Crowd", "Night", "Person", "Sea", "Forest", "Document",
)
SCENES = {  # what a scene shows, and what it may show; everything else it does not
    "buildings": ("Outdoors Building", "Indoors Water Sky Grass Tree Plant Street Road Person Crowd Night Flower"),
    "forests": ("Outdoors Tree Plant Forest", "Water Sky Grass Flower Mountain Rock Snow Road Person"),
    "glacier": ("Outdoors Snow", "Water Sky Mountain Rock Sea Grass Plant Tree Person Beach Sand"),
    "mountains": (
        "Outdoors Mountain", "Water Sky Snow Rock Tree Plant Grass Sea Forest Road Person Building Sand Flower Beach"
    ),
    "sea": ("Outdoors Water Sea", "Sky Sand Beach Mountain Rock Person Night Building Plant Tree Grass Snow"),
    "street": ("Outdoors Street Road", "Building Sky Tree Plant Person Crowd Night Grass Flower Water Snow"),
}
SCENE_PICTURES, SCENE_WEIGHT, SMALL_WEIGHT = 100, 0.25, 0.7  # of each scene; of a scene, of a reduced copy
SMALL = 64
PAGES, PAGE_WEIGHT = 280, 0.7
BLANKS, BLANK_WEIGHT = 200, 0.3
LETTERED = {  # ImageNet's classes of which some pictures are pages: crossword, book jacket, comic book, menu ...
    "n03291819", "n06359193", "n06596364", "n06785654", "n07248320", "n07565083"
}
# fmt: on
ALSO = {"Plant": ("Tree", "Grass", "Flower", "Potted Plant")}
LEAST_SHARE = 0.02  # of a photo; what covers less is neither there nor absent
SHIFT_DEVIATION = 0.5
DEFAULT, PRECISION = 0.55, 0.8  # of what is given at the first, the second should be right
MOST_CAUTION = 1.0  # a few photos may be all that a concept is judged by
STRENGTH = 0.0007  # inverse of the L2 penalty, chosen on the folds
FOLDS = 5

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture: embeddings (R, 1280), the whole first; truth (K,) 1, 0 or NaN; its fold; its weight; whether it is
    drawn rather than a photo."""

    embeddings: Floats
    truth: Floats
    fold: int
    weight: float
    drawn: bool = False


def truth_of(shown: set[str]) -> Floats:
    """1, 0 or NaN for each concept, from the words of everyday.csv."""
    if shown & {"Grass", "Tree", "Flower"}:
        shown |= {"Plant"}
    if {"Sand", "Water"} <= shown:
        shown |= {"Beach"}
    unknown: set[str] = set()
    if not shown & {"Outdoors", "Indoors"}:
        unknown |= {"Outdoors", "Indoors"}  # a thing in a studio, or too close to tell
    if "Water" in shown:
        unknown |= {"Sea"}
    if shown & {"Tree", "Plant"}:
        unknown |= {"Forest"}
    return _row(shown, unknown)


def _row(shown: set[str], unknown: set[str]) -> Floats:
    return np.array([1 if c in shown else np.nan if c in unknown else 0 for c in CONCEPTS], np.float32)


def pictures(data: Path, samples: Path, session: Session) -> Iterator[Seen]:
    folders = {"street-boxes": data / "street-boxes", "imagenet-samples": samples}
    with (HERE / "everyday.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            truth = truth_of(set(filter(None, row["shown"].split("|"))))
            if row["image"].partition("_")[0] in LETTERED:
                truth[CONCEPTS.index("Document")] = np.nan
            fold = int(hashlib.sha256(row["image"].encode()).hexdigest(), 16) % FOLDS
            pixels = read(folders[row["source"]] / row["image"])
            yield Seen(embed(pixels, session), truth, fold, 1.0)
            yield Seen(embed(_reduced(pixels), session), truth, fold, SMALL_WEIGHT)
    for scene, (shown, unknown) in SCENES.items():
        for path in sorted((data / "scenes").glob(f"{scene}_*"))[:SCENE_PICTURES]:
            truth = _row(set(shown.split()), set(unknown.split()))
            fold = int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % FOLDS
            yield Seen(embed(read(path), session), truth, fold, SCENE_WEIGHT)
    elsewhere = set(CONCEPTS) - {"Document", "Outdoors", "Indoors"}  # which are learnt from photos alone
    for number, (_, pixels) in enumerate(pages(PAGES)):
        yield Seen(embed(pixels, session), _row({"Document"}, elsewhere), number % FOLDS, PAGE_WEIGHT, drawn=True)
    for number, (kind, pixels) in enumerate(blanks(BLANKS)):
        unknown = {"Sky", "Sea", "Water"} if kind == "gradient" else set()  # so looks a clear sky
        yield Seen(embed(pixels, session), _row(set(), unknown), number % FOLDS, BLANK_WEIGHT, drawn=True)


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(1.0, SMALL / min(pixels.shape[:2]))
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, eq=False)
class Heads:
    """weight (K, 1280), bias (K,): scores of an embedding, linear; slope and offset (K,): of a pooled score's odds."""

    weight: Floats
    bias: Floats
    slope: Floats
    offset: Floats


def fit_heads(seen: list[Seen]) -> tuple[Heads, Floats]:
    """The heads, and the pooled scores (N, K) of every picture by heads that had not seen it."""
    whole = np.stack([each.embeddings[0] for each in seen])
    truth = np.stack([each.truth for each in seen])
    weights = np.array([each.weight for each in seen])
    folds = np.array([each.fold for each in seen])
    drawn = np.array([each.drawn for each in seen])
    middle, spread = whole[~drawn].mean(axis=0), whole[~drawn].std(axis=0) + 1e-6
    held_out = np.zeros(truth.shape, np.float32)
    parts = []
    for column in range(len(CONCEPTS)):
        known = ~np.isnan(truth[:, column])
        for fold in range(FOLDS):
            taught = known & (folds != fold)
            weight, bias = _line((whole[taught] - middle) / spread, truth[taught, column], weights[taught])
            for place in np.flatnonzero(folds == fold):
                held_out[place, column] = pooled((seen[place].embeddings - middle) / spread @ weight + bias)
        weight, bias = _line((whole[known] - middle) / spread, truth[known, column], weights[known])
        # the scenes are no everyday photos, nor are pages
        judged = known & (weights >= SMALL_WEIGHT) & (~drawn | (CONCEPTS[column] == "Document"))
        if truth[judged, column].sum() == 0:
            judged = known
        odds = LogisticRegression(C=10.0).fit(held_out[judged, column, None], truth[judged, column], weights[judged])
        parts.append((weight / spread, bias - (middle / spread) @ weight, odds.coef_[0, 0], odds.intercept_[0]))
    columns = [np.array(column, np.float32) for column in zip(*parts, strict=True)]
    return Heads(*columns), held_out


def cautious(heads: Heads, seen: list[Seen], held_out: Floats) -> Heads:
    """The heads with the offset lowered of those that are right less often than PRECISION where they say DEFAULT."""
    native = np.array([each.weight == 1.0 for each in seen])
    truth = np.stack([each.truth for each in seen])[native]
    odds = held_out[native] * heads.slope + heads.offset
    offset = heads.offset.copy()
    for column in range(len(CONCEPTS)):
        known = ~np.isnan(truth[:, column])
        order = np.argsort(-odds[known, column])
        ordered, shown = odds[known, column][order], truth[known, column][order]
        precision = np.cumsum(shown) / np.arange(1, len(shown) + 1)
        given = int((ordered >= np.log(DEFAULT / (1 - DEFAULT))).sum())
        if given and precision[given - 1] < PRECISION:
            good = np.flatnonzero(precision[:given] >= PRECISION)
            least = ordered[good[-1]] if len(good) else ordered[0]
            offset[column] -= min(least - np.log(DEFAULT / (1 - DEFAULT)), MOST_CAUTION)
    return replace(heads, offset=offset)


def shifted(heads: Heads, photos: list[tuple[Floats, Mapping[str, float]]]) -> Heads:
    """The heads with offsets for everyday photos: (embeddings (R, 1280), shares of what is shown) of each."""
    offset = heads.offset.copy()
    for column, name in enumerate(CONCEPTS):
        owners = ALSO.get(name, (name,))
        if not any(owner in GROUND for owner in owners):
            continue
        odds, truth = [], []
        for embeddings, shares in photos:
            share = sum(shares.get(owner, 0.0) for owner in owners)
            if share == 0 or share >= LEAST_SHARE:
                score = pooled(embeddings @ heads.weight[column] + heads.bias[column])
                odds.append(score * heads.slope[column] + offset[column])
                truth.append(share > 0)
        offset[column] += _shift(np.array(odds), np.array(truth))
    return replace(heads, offset=offset)


def _shift(odds: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The number to add to log odds that makes the truth likeliest, with a normal prior about 0 (Newton's method)."""
    shift = 0.0
    for _ in range(30):
        likely = 1 / (1 + np.exp(-(odds + shift)))
        slope = (truth - likely).sum() - shift / SHIFT_DEVIATION**2
        shift += slope / ((likely * (1 - likely)).sum() + 1 / SHIFT_DEVIATION**2)
    return float(shift)


def _line(x: Floats, y: Floats, weights: NDArray[np.float64]) -> tuple[Floats, float]:
    model = LogisticRegression(C=STRENGTH, max_iter=300).fit(x, y, weights)
    return np.asarray(model.coef_[0], np.float32), float(model.intercept_[0])


def report(seen: list[Seen], heads: Heads, held_out: Floats) -> None:
    """Each concept on photos left out: how many show it, average precision, precision and recall at 55 %."""
    native = np.array([each.weight == 1.0 for each in seen])
    truth = np.stack([each.truth for each in seen])[native]
    odds = held_out[native] * heads.slope + heads.offset
    print(f"{'concept':10} shown    AP  precision  recall at 55 %")
    for column, name in enumerate(CONCEPTS):
        known = ~np.isnan(truth[:, column])
        shown, given = truth[known, column] == 1, 1 / (1 + np.exp(-odds[known, column])) >= 0.55
        if not shown.any():
            print(f"{name:10} (taught by scenes or drawn pages only)")
            continue
        right = (shown & given).sum()
        precision = right / max(given.sum(), 1)
        found = average_precision_score(shown, odds[known, column])
        print(f"{name:10} {shown.sum():5}  {found:.2f}  {precision:9.2f}  {right / shown.sum():6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--panoptic", type=Path, nargs=2, metavar=("JSON", "PICTURES"), required=True)
    parser.add_argument("--out", type=Path, default=MODELS / "everyday.onnx")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    session = Session("tagger", MODELS / "tagger.onnx", options.threads)
    seen = list(pictures(options.data, options.samples, session))
    heads, held_out = fit_heads(seen)
    report(seen, heads, held_out)
    heads = cautious(heads, seen, held_out)
    heads = shifted(heads, [(embed(read(each.path), session), each.shares) for each in panoptic(*options.panoptic)])
    weight = (heads.weight * heads.slope[:, None]).T
    write(weight, heads.bias * heads.slope + heads.offset, CONCEPTS, options.out)


if __name__ == "__main__":
    main()
