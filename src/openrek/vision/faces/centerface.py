"""The detector network: CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
2019, arXiv:1911.03599).

The network marks each face by one peak in a map of a quarter of the input's resolution; at the peak it gives the box's
size, the centre's place within the cell, and five landmarks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openrek.vision.runtime import Model

Floats = NDArray[np.float32]

MODEL = "centerface"
STRIDE = 32  # input sides must be multiples of it
CELL = 4  # input pixels per output cell
OUTPUTS = ("heatmap", "scale", "offset", "landmarks")
POINTS = np.array([0, 1, 3, 4, 2])  # the network's order is eyes, nose, mouth corners; ours puts the nose last


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """The network's outputs for a batch of B inputs: heatmap (B, 1, h, w), the others (B, 2 | 2 | 10, h, w)."""

    heatmap: Floats
    scale: Floats
    offset: Floats
    landmarks: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """N decoded peaks, in pixels of the network's input: boxes (N, 4) xyxy, not clipped; scores (N,) 0..1; landmarks
    (N, 5, 2) in the order of LANDMARKS."""

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Candidates":
        return Candidates(self.boxes[index], self.scores[index], self.landmarks[index])

    def moved(self, factor: float, dx: float, dy: float) -> "Candidates":
        """The same faces in coordinates `factor * p + (dx, dy)`."""
        shift = np.array([dx, dy], np.float32)
        boxes = self.boxes * np.float32(factor) + np.tile(shift, 2)
        return Candidates(boxes, self.scores, self.landmarks * np.float32(factor) + shift)

    @classmethod
    def join(cls, parts: "list[Candidates]") -> "Candidates":
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.landmarks for part in parts]),
        )


def run(model: Model, batch: NDArray[np.uint8]) -> Maps:
    """Run the network on (B, H, W, 3) uint8 RGB whose sides are multiples of STRIDE."""
    image = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32)
    return Maps(*model.run({"image": image}, OUTPUTS))


def peaks(maps: Maps, threshold: float) -> Candidates:
    """All local maxima above `threshold` of the first input of a batch."""
    heat = maps.heatmap[0, 0]
    padded = np.pad(heat, 1)
    highest = heat.copy()
    for dy in range(3):
        for dx in range(3):
            np.maximum(highest, padded[dy : dy + heat.shape[0], dx : dx + heat.shape[1]], out=highest)
    rows, columns = np.nonzero((heat >= threshold) & (heat == highest))
    return decode(maps, np.zeros_like(rows), rows, columns)


def strongest(maps: Maps, reach: float) -> Candidates:
    """The best peak near the centre of each input of a batch: B candidates, in order.

    reach: how far from the centre the peak may lie, as a share of the input's side.
    """
    height, width = maps.heatmap.shape[2:]
    rows = np.abs((np.arange(height) + 0.5) / height - 0.5) <= reach
    columns = np.abs((np.arange(width) + 0.5) / width - 0.5) <= reach
    heat = np.where(rows[:, None] & columns, maps.heatmap[:, 0], 0.0).reshape(len(maps.heatmap), -1)
    row, column = np.divmod(heat.argmax(axis=1), width)
    return decode(maps, np.arange(len(heat)), row, column)


def decode(maps: Maps, item: NDArray[np.intp], row: NDArray[np.intp], column: NDArray[np.intp]) -> Candidates:
    """Faces of the cells (item of the batch, row, column), each (N,)."""
    scores = maps.heatmap[item, 0, row, column]
    size = np.exp(maps.scale[item, :, row, column]) * CELL  # height, width
    inside = maps.offset[item, :, row, column]  # y, x
    centre = (np.stack([row, column], axis=1) + inside + 0.5) * CELL
    top_left = (centre - size / 2)[:, ::-1]
    size = size[:, ::-1]
    boxes = np.concatenate([top_left, top_left + size], axis=1)
    points = maps.landmarks[item, :, row, column].reshape(-1, 5, 2)[:, POINTS, ::-1]
    landmarks = points * size[:, None] + top_left[:, None]
    return Candidates(boxes.astype(np.float32), scores.astype(np.float32), landmarks.astype(np.float32))
