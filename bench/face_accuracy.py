"""`python -m bench.face_accuracy --data FOLDER`: how many faces are found and invented, how sure the answer may be, and
how exact the points and angles are. The model card of `centerface` quotes its tables.

FOLDER holds labelled sets, one folder each with `images.zip` and `labels.csv` (image, label, left, top, right, bottom
in pixels; the set of points: image, width, height, x0, y0 ... x67, y67 in the 300-W marking):

- `face-mask-boxes`: street and crowd photos of at most 400 pixels, every clear face boxed, most behind a mask;
- `street-boxes`: Pascal VOC photos of at most 288 pixels, of which those without a person serve as face-free ones;
- `objects-101`: Caltech-101 pictures of at most 160 pixels, face-free but for the classes `Faces*`;
- `landmarks`: face crops with 68 points.

Blurred faces in the background of the first set are not always boxed, so finds that match no box are not counted as
invented there; inventions are counted on the face-free pictures.
"""

import argparse
import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.__main__ import table
from bench.face_shape import factorise, five, marked_points, true_pose
from openrek.settings import Settings
from openrek.vision import geometry
from openrek.vision.faces import detector, head_pose
from openrek.vision.faces.centerface import MODEL, Candidates
from openrek.vision.faces.detector import CERTAINTY, MIN_CONFIDENCE
from openrek.vision.image import Picture
from openrek.vision.runtime import Model, Runtime

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

SIZES = (0.0, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 9.0)  # face height / longest side of the picture
THRESHOLDS = (0.5, MIN_CONFIDENCE, 0.9, 0.95)
FOUND = 0.4  # IoU with the box drawn by hand; the boxes of the set are drawn tighter and looser than the network's

# pictures of the face-free sets that show, or may show, a human face: portraits, statues, passers-by
SHOW_FACES = (
    *("buddha_", "dollar_bill_", "accordion_0005", "ceiling_fan_0003", "strawberry_0005", "crocodile_head_0003"),
    *("saxophone_0003", "barrel_0011", "euphonium_0011", "wheelchair_0010", "000249", "000363", "000399", "000614"),
    *("000630", "000646", "000679", "000809", "001131", "001231", "001331", "001539", "001585", "001610", "001659"),
    *("001874", "saxophone_0012", "wheelchair_0012", "kangaroo_0002", "cup_0008"),
)


@dataclass(frozen=True)
class Item:
    """A picture with what both looks saw in it and, where the set has them, the boxes drawn by hand (G, 4)."""

    name: str
    size: tuple[int, int]
    first: Candidates
    second: Candidates
    boxes: Floats | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every Nth picture only")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    settings = Settings()
    runtime = Runtime(cache=settings.cache, offline=settings.offline, mirror=settings.model_mirror,
                      index_url=settings.index_url, threads=options.threads)  # fmt: skip
    model = runtime.model(MODEL)
    crowd = list(look(crowds(options.data, options.every), model))
    free = list(look(face_free(options.data, options.every), model))
    print(recall(crowd), inventions(free), reliability(crowd, free), points(options.data, options.every, runtime),
          sep="\n\n")  # fmt: skip


# --- the sets ---------------------------------------------------------------------------------------------------------


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pictures(folder: Path, names: list[str]) -> Iterator[tuple[str, Pixels]]:
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for name in names:
            with Image.open(io.BytesIO(archive.read(name))) as image:
                yield name, np.asarray(image.convert("RGB"))


def crowds(data: Path, every: int) -> Iterator[tuple[str, Pixels, Floats | None]]:
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for row in rows(data / "face-mask-boxes"):
        boxes[row["image"]].append([float(row[side]) for side in ("left", "top", "right", "bottom")])
    for name, pixels in pictures(data / "face-mask-boxes", sorted(boxes)[::every]):
        yield name, pixels, np.array(boxes[name])


def face_free(data: Path, every: int) -> Iterator[tuple[str, Pixels, Floats | None]]:
    street: dict[str, set[str]] = defaultdict(set)
    for row in rows(data / "street-boxes"):
        street[row["image"]].add(row["label"])
    names = {
        "street-boxes": [name for name, labels in street.items() if "person" not in labels],
        "objects-101": [row["image"] for row in rows(data / "objects-101") if not row["label"].startswith("Faces")],
    }
    for folder, candidates in names.items():
        chosen = sorted(name for name in candidates if not name.startswith(SHOW_FACES))
        for name, pixels in pictures(data / folder, chosen[::every]):
            yield name, pixels, None


def look(items: Iterator[tuple[str, Pixels, Floats | None]], model: Model) -> Iterator[Item]:
    for name, pixels, boxes in items:
        first = detector.propose(pixels, model)
        yield Item(name, pixels.shape[:2], first, detector.look_again(pixels, first, model), boxes)


# --- detection --------------------------------------------------------------------------------------------------------


def reported(item: Item, least: float) -> Candidates:
    """What `detect_faces` would report."""
    certain = CERTAINTY(item.first.scores, item.second.scores)
    index = np.nonzero(certain >= least)[0]
    index = index[geometry.nms(item.second.boxes[index], certain[index], detector.SAME_FACE)]
    return Candidates(item.second.boxes[index], certain[index], item.second.landmarks[index])


def recall(crowd: list[Item]) -> str:
    lines = []
    thresholds = THRESHOLDS
    heights, found = [], []
    for item in crowd:
        assert item.boxes is not None
        heights.append((item.boxes[:, 3] - item.boxes[:, 1]) / max(item.size))
        found.append([(geometry.iou(item.boxes, reported(item, t).boxes) > FOUND).any(axis=1) for t in thresholds])
    height, hit = np.concatenate(heights), np.concatenate(found, axis=1)
    for low, high in pairwise(SIZES):
        chosen = (height >= low) & (height < high)
        lines.append([f"{low:g} to {high:g}", str(chosen.sum()), *(f"{row[chosen].mean():.3f}" for row in hit)])
    lines.append(["all", str(len(height)), *(f"{row.mean():.3f}" for row in hit)])
    header = ["face height / longest side", "faces", *(f"found at {t:.0%}" for t in thresholds)]
    return f"Recall on {len(crowd)} photos:\n\n" + table(header, lines)


def inventions(free: list[Item]) -> str:
    lines = []
    for threshold in THRESHOLDS:
        counts = [len(reported(item, threshold)) for item in free]
        lines.append([f"{threshold:.0%}", str(sum(counts)), f"{100 * sum(counts) / len(counts):.2f}"])
    names = [item.name for item in free if len(reported(item, MIN_CONFIDENCE))]
    return (
        f"Invented faces on {len(free)} face-free pictures:\n\n"
        + table(["at", "invented", "per 100 pictures"], lines)
        + f"\n\nPictures: {' '.join(names)}"
    )


# --- confidence -------------------------------------------------------------------------------------------------------


def samples(crowd: list[Item], free: list[Item]) -> tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.intp]]:
    """Both scores of every proposal that is surely a face or surely none, which it is, and its picture's number."""
    first, second, truth, group = [], [], [], []
    for number, item in enumerate([*crowd, *free]):
        if item.boxes is None:
            chosen, face = np.ones(len(item.first), bool), np.zeros(len(item.first), bool)
        else:
            best = geometry.iou(item.second.boxes, item.boxes).max(axis=1, initial=0)
            chosen, face = best > FOUND, np.ones(len(best), bool)
        first.append(item.first.scores[chosen].astype(float))
        second.append(item.second.scores[chosen].astype(float))
        truth.append(face[chosen])
        group.append(np.full(chosen.sum(), number))
    return np.concatenate(first), np.concatenate(second), np.concatenate(truth), np.concatenate(group)


def reliability(crowd: list[Item], free: list[Item]) -> str:
    """The table of the card, and the logistic model fitted afresh, with its error on pictures it was not fitted on."""
    first, second, truth, group = samples(crowd, free)
    features = np.column_stack([detector.logit(first), detector.logit(second)])
    share = np.where(truth, len(free) / truth.sum(), 1.0)  # one face for every face-free picture
    held_out = np.zeros(len(truth))
    for fold in range(5):
        rest = group % 5 != fold
        held_out[~rest] = probability(features[~rest], fit_logistic(features[rest], truth[rest], share[rest]))
    bias, one, two = fit_logistic(features, truth, share)
    lines, error = [], 0.0
    edges = [0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 1.001]
    for low, high in pairwise(edges):
        chosen = (held_out >= low) & (held_out < high)
        if chosen.any():
            stated, true = (np.average(each[chosen], weights=share[chosen]) for each in (held_out, truth))
            error += abs(stated - true) * share[chosen].sum() / share.sum()
            lines.append([f"{low:.0%} to {min(high, 1):.0%}", str(chosen.sum()), f"{stated:.3f}", f"{true:.3f}"])
    return (
        f"Confidence of {len(truth)} proposals, {truth.sum()} of them faces (fitted on four fifths of the pictures, "
        f"tabled on the other fifth, five times; faces weighted so that there is one for every face-free picture):\n\n"
        + table(["stated", "proposals", "mean stated", "share of faces"], lines)
        + f"\n\nExpected calibration error {error:.4f}. "
        f"Fit on all: bias {bias:.2f}, first {one:.2f}, second {two:.2f}; in use: {CERTAINTY}."
    )


def fit_logistic(features: Floats, truth: NDArray[np.bool_], share: Floats) -> Floats:
    """Bias and weights of a logistic model of samples weighted by `share`, by Newton's method with a slight ridge."""
    x = np.column_stack([np.ones(len(features)), features])
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (share * p * (1 - p))[:, None]).T @ x + 0.1 * np.eye(len(weights))
        weights = weights - np.linalg.solve(hessian, x.T @ (share * (p - truth)) + 0.1 * weights)
    return np.asarray(weights)


def probability(features: Floats, weights: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-(weights[0] + features @ weights[1:]))))


# --- points and angles ------------------------------------------------------------------------------------------------


def points(data: Path, every: int, runtime: Runtime) -> str:
    """Errors of the five points, in distances of the eyes, and of the angles, against those of the 68 points."""
    marked = marked_points(data / "landmarks")
    shape = factorise(np.stack(list(marked.values())))
    true_points, found_points, wanted_poses = [], [], []
    missed = 0
    for name, pixels in pictures(data / "landmarks", sorted(marked)[::every]):
        truth = five(marked[name])
        # most crops show little beside the face: a border makes a picture of them
        framed = cv2.copyMakeBorder(pixels, 128, 128, 128, 128, cv2.BORDER_REPLICATE)
        faces = detector.detect_faces(Picture.of(np.asarray(framed, np.uint8)), runtime)
        centre = truth.mean(axis=0) + 128
        inside = (faces.boxes[:, :2] < centre).all(axis=1) & (faces.boxes[:, 2:] > centre).all(axis=1)
        if not inside.any():
            missed += 1
            continue
        true_points.append(truth)
        wanted_poses.append(true_pose(marked[name], shape))
        found_points.append(faces.landmarks[inside][0] - 128)
    truths, finds = np.array(true_points), np.array(found_points)
    eyes = np.linalg.norm(truths[:, 1] - truths[:, 0], axis=1)[:, None]
    distances = np.linalg.norm(finds - truths, axis=2) / eyes
    wanted, got = np.array(wanted_poses), head_pose(finds)
    off = np.abs((got - wanted + 180) % 360 - 180)
    names = ("eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose")
    lines = [["points, mean", f"{distances.mean():.3f}"], ["points, median", f"{np.median(distances):.3f}"]]
    lines += [[f"{name}, mean", f"{value:.3f}"] for name, value in zip(names, distances.mean(axis=0), strict=True)]
    lines += [[f"{name}, mean degrees", f"{value:.1f}"]
              for name, value in zip(("roll", "yaw", "pitch"), off.mean(axis=0), strict=True)]  # fmt: skip
    return f"Points and angles of {len(truths)} faces ({missed} not found):\n\n" + table(["error", "value"], lines)


if __name__ == "__main__":
    main()
