"""Cut every face of every set out by the one crop convention and keep the crops and labels as arrays.

    python -m training.faces.prepare --data DATA --out CACHE

Writes `crops.npy` (N, 136, 136, 3) uint8 RGB, which is the aligned crop with a margin of `MARGIN` pixels for shifting
and turning, and `labels.npz`. Unknown labels are -1 (NaN for landmarks). Many pictures end close to the face, and
each set ends elsewhere; lest the network learns the sets by their borders, crops are filled up by mirroring, and
`frame` (N, 4, 2) keeps where the picture's corners lie.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision.faces.align import SIZE, TEMPLATE, cut, similarity, transform
from openrek.vision.faces.centerface import MODEL
from openrek.vision.runtime import Model, Runtime
from training.faces.points import find
from training.faces.sources import BINARY, SETS, Sample, read_set
from training.faces.splits import difference_hash, groups, split

MARGIN = 12
SIDE = SIZE + 2 * MARGIN

# Where the face lies in the pictures of the sets that are cut around the face already: xyxy, in parts of the picture.
_PLACES = {
    "face-attributes": (0.22, 0.28, 0.78, 0.86),
    "age-gender": (0.08, 0.06, 0.92, 0.98),
    "emotion": (0.06, 0.06, 0.94, 0.98),
    "landmarks": (0.2, 0.2, 0.8, 0.8),
    "face-mask-crops": (0.1, 0.08, 0.9, 0.95),
}


def five_of_68(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eye centres, mouth corners and nose tip (..., 5, 2) of the 68 points of the 300-W marking (..., 68, 2)."""
    return np.stack(
        [
            points[..., 36:42, :].mean(axis=-2),
            points[..., 42:48, :].mean(axis=-2),
            points[..., 48, :],
            points[..., 54, :],
            points[..., 30, :],
        ],
        axis=-2,
    )


def _place(sample: Sample, name: str) -> tuple[float, float, float, float]:
    if sample.box is not None:
        return sample.box
    height, width = sample.pixels.shape[:2]
    left, top, right, bottom = _PLACES[name]
    return left * width, top * height, right * width, bottom * height


def _eye_distance(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1.0 / np.hypot(*similarity(points)[:, :, 0].T) * (TEMPLATE[1, 0] - TEMPLATE[0, 0]))


def settle(
    points: NDArray[np.float32], score: NDArray[np.float32], boxes: NDArray[np.float32], least: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Points to cut by (N, 5, 2), and whether they are the detector's: where it was unsure (score under `least`) or
    found something elsewhere or of another size, the set's median place, relative to the box, stands in."""
    corner, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    relative = (points - corner) / sides
    sure = score >= max(least, 0.5)
    usual = np.median(relative[sure], axis=0)
    off = np.abs(relative - usual).mean(axis=(1, 2))
    size = (
        _eye_distance(points)
        / np.median(_eye_distance(points)[sure] / sides[sure].max(axis=(1, 2)))
        / sides.max(axis=(1, 2))
    )
    trusted = (score >= least) & (off < 0.25) & (size > 0.5) & (size < 1.8)
    return np.where(trusted[:, None, None], points, usual * sides + corner).astype(np.float32), trusted


def _chosen_points(
    samples: Sequence[Sample], name: str, detector: Model
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    boxes = np.array([_place(sample, name) for sample in samples], np.float32)
    found = find(detector, [sample.pixels for sample in samples], boxes)
    points, score = found.points, found.score
    if name != "landmarks":
        return settle(points, score, boxes, least=0.25)
    # The true points say which detections are right.
    true = np.stack([five_of_68(sample.landmarks) for sample in samples if sample.landmarks is not None])
    off = np.linalg.norm(points - true, axis=2).mean(axis=1) / np.linalg.norm(true[:, 0] - true[:, 1], axis=1)
    trusted = (score >= 0.25) & (off < 0.3)
    return np.where(trusted[:, None, None], points, true), trusted


def prepare_set(data: Path, name: str, detector: Model) -> dict[str, NDArray[np.generic]]:
    """Crops and labels of one set, as columns of one length."""
    samples = list(read_set(data, name))
    points, trusted = _chosen_points(samples, name, detector)
    if name == "face-mask-crops":
        # Where the detector finds no face here, the picture mostly shows a whole scene.
        samples = [sample for sample, found in zip(samples, trusted, strict=True) if found]
        points, trusted = points[trusted], trusted[trusted]
    matrices = similarity(points, TEMPLATE + np.float32(MARGIN))
    crops = np.stack([cut(s.pixels, m, SIDE, cv2.BORDER_REFLECT) for s, m in zip(samples, matrices, strict=True)])
    sizes = np.array([sample.pixels.shape[1::-1] for sample in samples], np.float32)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * (sizes[:, None] - 1)
    landmarks = np.full((len(samples), 68, 2), np.nan, np.float32)
    for number, sample in enumerate(samples):
        if sample.landmarks is not None:
            landmarks[number] = transform(matrices[number : number + 1], sample.landmarks[None])[0]
    whole = np.stack([difference_hash(sample.pixels) for sample in samples])
    group = groups(whole, [sample.identity for sample in samples])
    binary = np.array([[sample.binary.get(label, -1) for label in BINARY] for sample in samples], np.int8)
    return {
        "crops": crops,
        "frame": transform(matrices, corners),
        "trusted": trusted,
        "source": np.full(len(samples), SETS.index(name), np.uint8),
        "group": group,
        "split": split(group, [f"{name}/{sample.name}" for sample in samples]),
        "binary": binary,
        "age": np.array([-1 if s.age is None else s.age for s in samples], np.int16),
        "emotion": np.array([-1 if s.emotion is None else s.emotion for s in samples], np.int8),
        "ethnicity": np.array([-1 if s.ethnicity is None else s.ethnicity for s in samples], np.int8),
        "landmarks": landmarks,
    }


def prepare(data: Path, runtime: Runtime, out: Path) -> None:
    """Cut and keep all sets under `data`."""
    out.mkdir(parents=True, exist_ok=True)
    detector = runtime.model(MODEL)
    columns: dict[str, list[NDArray[np.generic]]] = {}
    for name in SETS:
        part = prepare_set(data, name, detector)
        np.save(out / f"{name}.npy", part.pop("crops"))
        print(
            f"{name}: {len(part['source'])} faces, points found in {np.mean(part['trusted'] != 0):.1%}, "
            f"{len(np.unique(part['group']))} groups, split {np.bincount(part['split'])}",
            flush=True,
        )
        for column, values in part.items():
            columns.setdefault(column, []).append(values)
    labels = {column: np.concatenate(values) for column, values in columns.items()}
    crops = open_memmap(out / "crops.npy", "w+", np.uint8, (len(labels["source"]), SIDE, SIDE, 3))
    ends = np.cumsum([0, *(len(values) for values in columns["source"])])
    for name, (start, end) in zip(SETS, itertools.pairwise(ends), strict=True):
        crops[start:end] = np.load(out / f"{name}.npy", mmap_mode="r")
        (out / f"{name}.npy").unlink()
    crops.flush()
    np.savez_compressed(out / "labels.npz", **labels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    prepare(asked.data, Runtime(cache=Settings().cache, threads=asked.threads), asked.out)
