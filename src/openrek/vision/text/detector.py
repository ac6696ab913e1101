"""Where text is: turned rectangles around lines of text, from the probability map of a DB network.

Liao et al., "Real-time scene text detection with differentiable binarization" (AAAI 2020). The network marks a shrunken
core of every line; the core's turned rectangle is grown back to the size of the text.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.geometry import order_quad
from openrek.vision.runtime import Model

Floats = NDArray[np.float32]

STRIDE = 32  # the network's input sides are multiples of it
TILE_AREA = 1_050_000  # pixels the network sees at once: bounds its memory to about 250 MB
TILE_OVERLAP = 128
VIEW_AREA = 1_000_000  # a picture is viewed at about this size ...
MIN_SCALE = 0.5  # ... but not below half its size, so that text 14 pixels high is found,
MAX_VIEW_AREA = 4_000_000  # ... unless it is huge
MAX_SCALE = 1.5  # small pictures are enlarged a little

CORE = 0.3  # probability from which a pixel belongs to a core
SCORE = 0.4  # least mean probability of a core's rectangle; what is no text is refused by its reading
GROWTH = 1.6  # growth of a core by area * GROWTH / perimeter
MIN_CORE = 3.0  # least sides in pixels of the view, before and after growing
MIN_SIDE = 5.0
MAX_RECTANGLES = 1000

# How a core relates to the letters it stands for: they are LETTERS * (core - BLUR) high, and the core ends
# INSIDE * that height before the text does. BLUR and the proportions are fitted on drawn text of 9 to 56 pixels;
# LETTERS is a sixth larger than there (1.53), because the cores of photographed text are thinner.
LETTERS = 1.8
BLUR = 2.9  # pixels of the view
INSIDE = 0.32


@dataclass(frozen=True)
class TextRectangles:
    """Places that look like a line of text, best first.

    `quads`: (N, 4, 2), corners in pixels of the picture; the first edge runs along the longer side, to the right (or
    down, for exactly vertical text). `scores`: (N,), mean probability 0..1.
    """

    quads: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.quads)


def view_scale(width: int, height: int) -> float:
    """The scale at which a picture is searched: a compromise between small text and time, see the constants."""
    area = width * height
    scale = min(MAX_SCALE, math.sqrt(VIEW_AREA / area))
    return max(scale, min(MIN_SCALE, math.sqrt(MAX_VIEW_AREA / area)))


def find_text(pixels: NDArray[np.uint8], model: Model, scale: float | None = None) -> TextRectangles:
    """Find lines of text in RGB pixels (H, W, 3); `scale` overrides `view_scale`."""
    height, width = pixels.shape[:2]
    probability = probability_map(pixels, model, scale or view_scale(width, height))
    return rectangles(probability, width, height)


def probability_map(pixels: NDArray[np.uint8], model: Model, scale: float) -> Floats:
    """The network's map (h, w) of 0..1 over the whole picture, h and w being its scaled sides rounded to `STRIDE`."""
    height, width = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in pixels.shape[:2])
    shrinks = width < pixels.shape[1]
    view = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rows, columns = _grid(width, height)
    if len(rows) == len(columns) == 1:
        return _run(view, model)
    result = np.zeros((height, width), np.float32)
    for top, bottom in rows:
        for left, right in columns:
            # Neighbours overlap; each keeps its part up to the middle of the overlap, where both see enough around.
            tile = _run(np.ascontiguousarray(view[top:bottom, left:right]), model)
            x = left + (TILE_OVERLAP // 2 if left else 0)
            y = top + (TILE_OVERLAP // 2 if top else 0)
            result[y:bottom, x:right] = tile[y - top :, x - left :]
    return result


def _grid(width: int, height: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The fewest overlapping spans of rows and of columns whose tiles stay below `TILE_AREA`."""
    nx = ny = 1
    while (tile := _span(width, nx) * _span(height, ny)) > TILE_AREA and tile > 0:
        if _span(width, nx) >= _span(height, ny):
            nx += 1
        else:
            ny += 1
    return _spans(height, ny), _spans(width, nx)


def _span(side: int, count: int) -> int:
    return side if count == 1 else math.ceil((side + (count - 1) * TILE_OVERLAP) / count / STRIDE) * STRIDE


def _spans(side: int, count: int) -> list[tuple[int, int]]:
    length = _span(side, count)
    starts = [min(i * (length - TILE_OVERLAP), side - length) for i in range(count)]
    return [(start, start + length) for start in starts]


def _run(view: NDArray[Any], model: Model) -> Floats:
    # blue first, as the network was trained; the recogniser measures better with red first
    blob = cv2.dnn.blobFromImage(view, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True)
    return np.asarray(model.run({model.input_names[0]: blob})[0][0, 0], np.float32)


def rectangles(probability: Floats, width: int, height: int) -> TextRectangles:
    """Turned rectangles around the cores of a probability map (h, w), in pixels of a picture of `width` x `height`."""
    core = cv2.dilate((probability > CORE).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, hierarchy = cv2.findContours(core, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    stretch = np.array([width / probability.shape[1], height / probability.shape[0]], np.float32)
    found: list[tuple[float, Floats]] = []
    for index, contour in enumerate(contours):
        if hierarchy[0, index, 3] >= 0:  # the edge of a hole
            continue
        centre, (across, along), angle = cv2.minAreaRect(contour)
        if min(across, along) < MIN_CORE:
            continue
        score = _mean_inside(probability, cv2.boxPoints((centre, (across, along), angle)))
        if score < SCORE:
            continue
        growth = across * along * GROWTH / (across + along)
        sides = (across + growth, along + growth)
        if min(sides) < MIN_SIDE:
            continue
        found.append((score, _along_long_side(cv2.boxPoints((centre, sides, angle)) * stretch)))
    found.sort(key=lambda item: -item[0])
    found = found[:MAX_RECTANGLES]
    return TextRectangles(
        np.array([quad for _, quad in found], np.float32).reshape(-1, 4, 2),
        np.array([score for score, _ in found], np.float32),
    )


def letter_bounds(quad: Floats, scale: float) -> tuple[float, float]:
    """Size of the text in a rectangle of `rectangles`: the letters' height, and the margin before and after the text.

    The rectangle is larger, because the recogniser wants some room around. All in pixels of the picture; `scale` is
    that of its view.
    """
    width, height = float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))
    # undo the growth g = GROWTH * (width - g) * (height - g) / (width + height - 2 g)
    total, factor = width + height, 1 + GROWTH
    root = math.sqrt((factor * total) ** 2 - 4 * (GROWTH + 2) * GROWTH * width * height)
    growth = (factor * total - root) / (2 * (GROWTH + 2))
    letters = min(height, max(0.3 * height, LETTERS * (height - growth - BLUR / scale)))
    return letters, max(0.0, growth / 2 - INSIDE * letters)


def _mean_inside(probability: Floats, corners: NDArray[Any]) -> float:
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    part = probability[top:bottom, left:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(corners - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0])


def _along_long_side(corners: NDArray[Any]) -> Floats:
    sides = corners[[1, 2]] - corners[[0, 1]]
    long = sides[int(np.argmax(np.linalg.norm(sides, axis=1)))]
    if (round(float(long[0]), 3), float(long[1])) < (0.0, 0.0):
        long = -long
    return order_quad(corners, (float(long[0]), float(long[1])))
