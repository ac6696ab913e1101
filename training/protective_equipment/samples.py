"""Heads for the head network: patches of pictures around one head, with what is known of it.

`prepare` gathers them from labelled boxes (hard hats, bare heads, masks), from sets of faces, and from pictures whose
faces the face detector finds. What a set says nothing about is unknown and takes no loss.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

UNKNOWN = -1
CONTEXT = 3.4
"""Side of a patch, in longer sides of the head."""
STORED = 160
"""Longest side in pixels at which a patch is kept."""


@dataclass(eq=False)
class Head:
    """One patch. Boxes are xyxy in its pixels, None where unknown or absent; answers are 1, 0 or UNKNOWN.

    present: there is a head. hat: it wears a hard hat or helmet. mask: a mask is on the face, well or badly. covers:
    the mask covers nose and mouth.
    """

    source: str
    group: str
    side: int
    patch: Pixels
    head: Box
    hat_box: Box | None = None
    mask_box: Box | None = None
    present: int = 1
    hat: int = UNKNOWN
    mask: int = UNKNOWN
    covers: int = UNKNOWN


def cut(pixels: Pixels, head: Box, *boxes: Box | None) -> tuple[Pixels, list[Box | None]]:
    """The surroundings of a head, and the head and the other boxes in the patch's pixels. The patch ends where the
    picture does."""
    left, top, right, bottom = head
    reach = CONTEXT / 2 * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    height, width = pixels.shape[:2]
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    x1, y1 = min(width, int(np.ceil(x + reach))), min(height, int(np.ceil(y + reach)))
    region = pixels[y0:y1, x0:x1]
    scale = min(1.0, STORED / max(region.shape[:2]))
    if scale < 1:
        size = max(1, round(region.shape[1] * scale)), max(1, round(region.shape[0] * scale))
        region = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
    moved = [
        None if b is None else ((b[0] - x0) * scale, (b[1] - y0) * scale, (b[2] - x0) * scale, (b[3] - y0) * scale)
        for b in (head, *boxes)
    ]
    return np.ascontiguousarray(region), moved


def write(path: Path, heads: list[Head]) -> None:
    """All heads in one file."""
    names = [field.name for field in fields(Head) if field.name not in ("patch", "head", "hat_box", "mask_box")]
    table = {name: np.array([getattr(head, name) for head in heads]) for name in names}
    nothing = (np.nan,) * 4
    boxes = {
        name: np.array([getattr(head, name) or nothing for head in heads], np.float32)
        for name in ("head", "hat_box", "mask_box")
    }
    shapes = np.array([head.patch.shape[:2] for head in heads])
    pixels = np.concatenate([head.patch.reshape(-1) for head in heads])
    np.savez(path, shapes=shapes, pixels=pixels, **table, **boxes)


def read(path: Path) -> list[Head]:
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    ends = np.cumsum(data["shapes"].prod(axis=1) * 3)

    def box(name: str, number: int) -> Box | None:
        values = data[name][number]
        return None if np.isnan(values).any() else tuple(float(value) for value in values)

    heads = []
    for number, (shape, end) in enumerate(zip(data["shapes"], ends, strict=True)):
        size = int(shape.prod()) * 3
        head = box("head", number)
        assert head is not None
        heads.append(
            Head(
                str(data["source"][number]),
                str(data["group"][number]),
                int(data["side"][number]),
                data["pixels"][end - size : end].reshape(*shape, 3),
                head,
                box("hat_box", number),
                box("mask_box", number),
                *(int(data[name][number]) for name in ("present", "hat", "mask", "covers")),
            )
        )
    return heads
