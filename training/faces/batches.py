"""Batches of training views: every batch mixes all sets in fixed numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.faces import augment
from training.faces.sources import BINARY, EMOTIONS, SETS
from training.faces.splits import TRAIN

SHARES = {
    "face-attributes": 14,
    "age-gender": 16,
    "emotion": 24,
    "landmarks": 8,
    "face-mask-crops": 1,
    "face-mask-boxes": 1,
}
"""Views of each set in a batch."""
HIDDEN = {"face-attributes": 0.12, "age-gender": 0.12, "emotion": 0.0, "landmarks": 0.25}
"""Share of views with something put before the face."""
SMALLEST = {"emotion": 50, "face-attributes": 40}
"""Least side that crops of a set are shrunk to; these sets are small already."""
RARE = {"mustache": 2.5, "eyeglasses": 2.5, "sunglasses": 4.0}
"""How much more often a face with a rare attribute is drawn; so are disgusted faces (3 times) and children (twice)."""
CHILD = (4, 15)
"""Years of age: younger ones hardly show their gender."""


class Prepared:
    """What `prepare` wrote: `crops` (N, 136, 136, 3), mapped from disk, and the label columns by name."""

    def __init__(self, cache: Path) -> None:
        self.crops: NDArray[np.uint8] = np.load(cache / "crops.npy", mmap_mode="r")
        self.labels: dict[str, NDArray[Any]] = dict(np.load(cache / "labels.npz"))
        taught = cache / "taught.npz"
        self.taught: dict[str, NDArray[Any]] = dict(np.load(taught)) if taught.exists() else {}

    def face(self, number: int) -> augment.Face:
        labels = self.labels
        points = labels["landmarks"][number]
        marked = bool(np.isfinite(points).all())
        if not marked and self.taught:
            points = self.taught["points"][number]
        return augment.Face(
            np.asarray(self.crops[number]),
            labels["binary"][number],
            int(labels["age"][number]),
            int(labels["emotion"][number]),
            points,
            labels["frame"][number],
            marked,
        )

    def members(self, name: str, side: int) -> NDArray[np.int64]:
        """Numbers of the faces of one set on one side of the split."""
        chosen = (self.labels["source"] == SETS.index(name)) & (self.labels["split"] == side)
        return np.flatnonzero(chosen)

    def chances(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        weight = np.ones(len(numbers))
        for name, times in RARE.items():
            weight = np.maximum(weight, np.where(self.labels["binary"][numbers, BINARY.index(name)] == 1, times, 1.0))
        weight = np.where(self.labels["emotion"][numbers] == EMOTIONS.index("disgust"), 3.0, weight)
        age = self.labels["age"][numbers]
        weight = np.where((age >= CHILD[0]) & (age <= CHILD[1]), 2.0, weight)
        return np.asarray(weight / weight.sum())


@dataclass
class Batch:
    """`number` (B,) says which faces; `crops` (B, 3, 112, 112) uint8; labels as in `augment.Face`."""

    number: Tensor
    crops: Tensor
    binary: Tensor
    age: Tensor
    emotion: Tensor
    landmarks: Tensor
    marked: Tensor
    covered: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(value.to(device, non_blocking=True) for value in vars(self).values()))


def collate(numbers: list[int], faces: list[augment.Face]) -> Batch:
    crops = np.stack([face.crop for face in faces]).transpose(0, 3, 1, 2)
    return Batch(
        torch.tensor(numbers),
        torch.from_numpy(np.ascontiguousarray(crops)),
        torch.from_numpy(np.stack([face.binary for face in faces])),
        torch.tensor([face.age for face in faces]),
        torch.tensor([face.emotion for face in faces]),
        torch.from_numpy(np.stack([face.landmarks for face in faces]).astype(np.float32)),
        torch.tensor([face.marked for face in faces]),
        torch.tensor([face.covered for face in faces]),
    )


class Views(IterableDataset[Batch]):
    """An endless stream of mixed training batches."""

    def __init__(self, cache: Path, seed: int, worn: float) -> None:
        self._cache, self._seed, self._worn = cache, seed, worn

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        random = np.random.default_rng([self._seed, 0 if worker is None else worker.id])
        data = Prepared(self._cache)
        pools = {name: data.members(name, TRAIN) for name in SHARES}
        chances = {name: data.chances(pool) for name, pool in pools.items()}
        everyone = np.concatenate([pools["face-attributes"], pools["age-gender"], pools["emotion"]])
        while True:
            numbers, faces = [], []
            for name, count in SHARES.items():
                for number in random.choice(pools[name], count, p=chances[name]):
                    other = data.face(int(random.choice(everyone)))
                    strength = 2.0 if name == "landmarks" else 1.0
                    hidden = HIDDEN.get(name, 0.0)
                    numbers.append(int(number))
                    least = SMALLEST.get(name, 26)
                    face = data.face(int(number))
                    faces.append(augment.train(face, other, random, hidden, strength, least, self._worn))
            yield collate(numbers, faces)


def stream(cache: Path, seed: int, workers: int, worn: float = 1.0) -> Iterator[Batch]:
    """Training batches made by `workers` processes beside the training (0: in this one); `worn`: see
    `augment.train`."""
    loader = DataLoader(
        Views(cache, seed, worn), batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None
    )
    return iter(loader)


def plain_batches(data: Prepared, numbers: NDArray[np.int64], size: int = 128) -> Iterator[Batch]:
    """The faces as the service sees them, in order."""
    for start in range(0, len(numbers), size):
        part = [int(number) for number in numbers[start : start + size]]
        yield collate(part, [augment.plain(data.face(number)) for number in part])
