"""Other views of a labelled picture, so that a head learns the thing and not a set's size, sharpness or frame.

All sets pass through the same changes: crops, mirroring, shrinking down to 64 pixels, JPEG, blur, colour, rotation.
`paste` puts what is labelled into other pictures, and `draw` makes cartoons and drawings of photos.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.moderation.pictures import Box, Sample

Pixels = NDArray[np.uint8]


def view(sample: Sample, random: np.random.Generator) -> Sample:
    """A random crop of the sample with its boxes, then a random picture quality."""
    pixels, shown = _crop(sample, random)
    if random.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        shown = tuple((head, (1 - r, t, 1 - left, b)) for head, (left, t, r, b) in shown)
    if random.random() < 0.15:
        turns = int(random.integers(1, 4))
        pixels = np.ascontiguousarray(np.rot90(pixels, turns))
        for _ in range(turns):  # counter-clockwise
            shown = tuple((head, (t, 1 - r, b, 1 - left)) for head, (left, t, r, b) in shown)
    return Sample(sample.key, degrade(pixels, random), shown, sample.unknown)


def _crop(sample: Sample, random: np.random.Generator) -> tuple[Pixels, tuple[tuple[str, Box], ...]]:
    """Keeps a random one of the labelled things whole; boxes of which under 60 % is left are gone."""
    height, width = sample.pixels.shape[:2]
    size = random.uniform(0.55, 1.0) if random.random() < 0.75 else 1.0
    stretch = float(np.exp(random.uniform(-0.25, 0.25)))
    w, h = min(size * stretch, 1.0), min(size / stretch, 1.0)
    x, y = random.uniform(0, 1 - w), random.uniform(0, 1 - h)
    if sample.shown:
        left, top, right, bottom = sample.shown[int(random.integers(len(sample.shown)))][1]
        w, h = max(w, min(right - left, 1.0)), max(h, min(bottom - top, 1.0))
        x = float(np.clip(random.uniform(min(right - w, left), max(right - w, left)), 0, 1 - w))
        y = float(np.clip(random.uniform(min(bottom - h, top), max(bottom - h, top)), 0, 1 - h))
    x0, y0, x1, y1 = round(x * width), round(y * height), round((x + w) * width), round((y + h) * height)
    x1, y1 = max(x1, x0 + 8), max(y1, y0 + 8)
    shown = []
    for head, (left, top, right, bottom) in sample.shown:
        area = max((right - left) * (bottom - top), 1e-9)
        box = tuple(
            float(np.clip(value, 0, 1)) for value in ((left - x) / w, (top - y) / h, (right - x) / w, (bottom - y) / h)
        )
        if (box[2] - box[0]) * w * (box[3] - box[1]) * h >= 0.6 * area:
            shown.append((head, (box[0], box[1], box[2], box[3])))
    return np.ascontiguousarray(sample.pixels[y0:y1, x0:x1]), tuple(shown)


def degrade(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A random size, sharpness, compression, light and colour; sometimes a plain frame around the picture."""
    if random.random() < 0.8:
        longest = int(np.exp(random.uniform(np.log(64), np.log(320))))
        scale = longest / max(pixels.shape[:2])
        if scale < 1:
            size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    values = pixels.astype(np.float32)
    values = values * random.uniform(0.7, 1.3) + random.uniform(-25, 25)
    values = (values - 128) * random.uniform(0.75, 1.25) + 128
    grey = values.mean(axis=2, keepdims=True)
    saturation = 0.0 if random.random() < 0.06 else random.uniform(0.6, 1.4)
    values = grey + (values - grey) * saturation
    values = values * random.uniform(0.93, 1.07, 3)
    if random.random() < 0.25:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.4, 1.3))
    if random.random() < 0.25:
        values = values + random.normal(0, random.uniform(2, 10), values.shape)
    pixels = np.clip(values, 0, 255).astype(np.uint8)
    if random.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 95))]
        _, packed = cv2.imencode(".jpg", pixels[..., ::-1], quality)
        pixels = np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]).astype(np.uint8)
    return pixels


def paste(things: Sequence[Sample], ground: Sample, random: np.random.Generator) -> Sample:
    """One labelled thing of another picture put into `ground` with a soft border; fire sometimes adds its light.

    A thing is cut with some of its surroundings. Pasting things of no head as well keeps the border from being the cue.
    """
    thing = things[int(random.integers(len(things)))]
    head, (left, top, right, bottom) = thing.shown[int(random.integers(len(thing.shown)))]
    height, width = thing.pixels.shape[:2]
    margin = random.uniform(0.0, 0.25)
    dx, dy = (right - left) * margin, (bottom - top) * margin
    x0, y0 = max(0, int((left - dx) * width)), max(0, int((top - dy) * height))
    x1, y1 = min(width, int((right + dx) * width) + 1), min(height, int((bottom + dy) * height) + 1)
    piece = thing.pixels[y0:y1, x0:x1].astype(np.float32)
    base = ground.pixels.astype(np.float32)
    scale = random.uniform(0.25, 0.75) * min(base.shape[0] / piece.shape[0], base.shape[1] / piece.shape[1])
    size = (max(8, int(piece.shape[1] * scale)), max(8, int(piece.shape[0] * scale)))
    piece = cv2.resize(piece, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    w, h = size
    x, y = int(random.integers(0, base.shape[1] - w + 1)), int(random.integers(0, base.shape[0] - h + 1))
    under = base[y : y + h, x : x + w]
    if head == "fire" and random.random() < 0.7:
        bright = np.clip((piece[..., :1] - 110) / 90, 0, 1)
        edge = _soft(h, w, 0.2)
        mixed = under * (1 - bright * edge) + np.maximum(piece, under) * bright * edge
    else:
        edge = _soft(h, w, random.uniform(0.02, 0.2))
        mixed = under * (1 - edge) + piece * edge
    base[y : y + h, x : x + w] = mixed
    shown = () if head == "none" else ((head, _ratios(x, y, w, h, base)),)
    pixels = np.clip(base, 0, 255).astype(np.uint8)
    return Sample(f"paste/{thing.key}", degrade(pixels, random), (*ground.shown, *shown), ground.unknown)


def _ratios(x: int, y: int, w: int, h: int, base: NDArray[np.float32]) -> Box:
    height, width = base.shape[:2]
    return (x / width, y / height, (x + w) / width, (y + h) / height)


def _soft(height: int, width: int, border: float) -> NDArray[np.float32]:
    """(h, w, 1) 0..1: one inside, falling to zero within `border` of the sides."""
    rows = np.minimum(np.arange(height) + 0.5, height - np.arange(height) - 0.5) / height
    columns = np.minimum(np.arange(width) + 0.5, width - np.arange(width) - 0.5) / width
    return np.clip(np.minimum.outer(rows, columns) / border, 0, 1).astype(np.float32)[..., None]
