"""The training pictures as two files: pixels in one flat array, everything else in a table.

`kind` of a box: TRUTH (drawn by hand, or derived from such a box), TAUGHT (found by other detectors; `score` says how
sure they were) or IGNORED (something of that class may be there: no loss is taken for not finding it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRUTH, TAUGHT, IGNORED = 0, 1, 2


@dataclass(eq=False)
class Boxes:
    """Columnar: boxes (N, 4) xyxy in pixels, classes (N,), kinds (N,), scores (N,)."""

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Boxes":
        return Boxes(self.boxes[index], self.classes[index], self.kinds[index], self.scores[index])

    @classmethod
    def of(cls, boxes: Sequence[Sequence[float]], classes: Sequence[int], kind: int = TRUTH) -> "Boxes":
        count = len(boxes)
        return cls(
            np.asarray(boxes, np.float32).reshape(-1, 4),
            np.asarray(classes, np.int64),
            np.full(count, kind, np.int64),
            np.ones(count, np.float32),
        )

    @classmethod
    def join(cls, parts: Sequence["Boxes"]) -> "Boxes":
        if not parts:
            return cls.of([], [])
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.classes for part in parts]),
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )


@dataclass(eq=False)
class Sample:
    source: str
    name: str
    pixels: NDArray[np.uint8]
    boxes: Boxes
    group: str = ""
    side: int = 0
    """TRAIN, TUNE or TEST of `training.faces.splits`."""


def write(folder: Path, samples: Sequence[Sample]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([sample.pixels.size for sample in samples])
    flat = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (int(ends[-1]),))
    for sample, end in zip(samples, ends, strict=True):
        flat[end - sample.pixels.size : end] = sample.pixels.reshape(-1)
    flat.flush()
    every = Boxes.join([sample.boxes for sample in samples])
    np.savez(
        folder / "table.npz",
        source=np.array([sample.source for sample in samples]),
        name=np.array([sample.name for sample in samples]),
        group=np.array([sample.group for sample in samples]),
        side=np.array([sample.side for sample in samples]),
        shape=np.array([sample.pixels.shape for sample in samples]),
        owner=np.repeat(np.arange(len(samples)), [len(sample.boxes) for sample in samples]),
        boxes=every.boxes,
        classes=every.classes,
        kinds=every.kinds,
        scores=every.scores,
    )


def read(folder: Path) -> list[Sample]:
    """All samples; their pixels stay on the disk until they are looked at."""
    flat = np.load(folder / "pixels.npy", mmap_mode="r")
    with np.load(folder / "table.npz") as table:
        data = {key: table[key] for key in table.files}
    every = Boxes(data["boxes"], data["classes"], data["kinds"], data["scores"])
    starts = np.searchsorted(data["owner"], np.arange(len(data["source"]) + 1))
    samples, offset = [], 0
    for number, shape in enumerate(data["shape"]):
        size = int(np.prod(shape))
        samples.append(
            Sample(
                str(data["source"][number]),
                str(data["name"][number]),
                flat[offset : offset + size].reshape(shape),
                every[starts[number] : starts[number + 1]],
                str(data["group"][number]),
                int(data["side"][number]),
            )
        )
        offset += size
    return samples
