"""Foreground and background without a model: saliency from robust background detection.

Zhu, Liang, Wei and Sun, "Saliency Optimization from Robust Background Detection" (CVPR 2014). A region that is tied to
the picture's border (along paths of little colour change) is background; a region that contrasts with the background is
salient; a quadratic optimisation makes neighbours of like colour agree. Superpixels are watershed basins around a grid
of seeds. Sizes are chosen so that a picture costs some milliseconds.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WORKING_SIDE = 160
"""Longest side in pixels at which the picture is segmented."""

_SUPERPIXELS = 200
_COLOUR_SIGMA = 10.0  # of geodesic distances in CIELAB units
_BORDER_SIGMA = 1.0
_SPACE_SIGMA = 0.25  # of the picture's longest side
_FLOOR_WEIGHT = 0.1
_MIN_SHARE, _MAX_SHARE = 0.02, 0.7
_MIN_SEPARATION = 0.35  # of the mean saliencies
_MAX_BORDER = 0.33  # of the picture's border
_REACH = 3  # pixels across an outline
_MIN_STEP, _MIN_PROMINENCE = 8.0, 2.1  # colour steps across the outline: CIELAB units, and times the steps elsewhere


@dataclass(frozen=True, eq=False)
class Separation:
    """mask: (h, w) bool at working size, True on the foreground; saliency: (h, w) float32 in 0..1."""

    mask: NDArray[np.bool_]
    saliency: Floats


def separate(pixels: NDArray[np.uint8]) -> Separation | None:
    """Split a picture (H, W, 3) RGB into foreground and background.

    None where nothing stands out clearly: a subject must have a plausible size, keep off most of the picture's border,
    be salient, and have an outline that is an edge rather than a place where a gradient passed a threshold.
    """
    small = _reduced(pixels)
    lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)
    saliency = _saliency_map(small, lab)
    if saliency is None:
        return None
    level, _ = cv2.threshold((saliency * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    mask = cv2.medianBlur((saliency > level / 255).astype(np.uint8), 5).astype(bool)
    if not _MIN_SHARE <= float(mask.mean()) <= _MAX_SHARE:
        return None
    if float(saliency[mask].mean() - saliency[~mask].mean()) < _MIN_SEPARATION:
        return None
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if float(border.mean()) > _MAX_BORDER or not _has_outline(lab, mask):
        return None
    return Separation(mask, saliency)


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    ratio = WORKING_SIDE / max(height, width)
    if ratio >= 1:
        return pixels
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _has_outline(lab: Floats, mask: NDArray[np.bool_]) -> bool:
    """Whether colour changes much more across the mask's outline than elsewhere."""
    across: list[Floats] = []
    elsewhere: list[Floats] = []
    for step, crosses in (
        (lab[_REACH:] - lab[:-_REACH], mask[_REACH:] != mask[:-_REACH]),
        (lab[:, _REACH:] - lab[:, :-_REACH], mask[:, _REACH:] != mask[:, :-_REACH]),
    ):
        length = np.linalg.norm(step, axis=2)
        across.append(length[crosses])
        elsewhere.append(length[~crosses])
    outline, ground = np.concatenate(across), np.concatenate(elsewhere)
    if not len(outline) or not len(ground):
        return False
    step_across = float(outline.mean())
    return step_across >= max(_MIN_STEP, _MIN_PROMINENCE * float(ground.mean()))


def _saliency_map(small: NDArray[np.uint8], lab: Floats) -> Floats | None:
    """Saliency (h, w) in 0..1; None for a picture too small or too even to be split into regions."""
    labels = _superpixels(small)
    count = int(labels.max()) + 1
    if count < 9:
        return None
    saliency = _saliency(labels, count, lab)
    low, high = float(saliency.min()), float(saliency.max())
    if high - low < 1e-3:
        return None
    return np.asarray(((saliency - low) / (high - low))[labels], np.float32)


def _superpixels(small: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Labels 0..n-1 (h, w): watershed from a regular grid of about `_SUPERPIXELS` seeds."""
    height, width = small.shape[:2]
    step = max(4.0, (height * width / _SUPERPIXELS) ** 0.5)
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    y = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    markers = np.zeros((height, width), np.int32)
    markers[np.ix_(y, x)] = np.arange(1, rows * columns + 1).reshape(rows, columns)
    smooth = cv2.GaussianBlur(small, (3, 3), 0)
    framed = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # watershed gives up the outermost pixels
    flooded = cv2.watershed(framed, np.pad(markers, 1))[1:-1, 1:-1]
    filled = np.where(flooded > 0, flooded, cv2.dilate(flooded.astype(np.float32), np.ones((3, 3))).astype(np.int32))
    return np.unique(filled, return_inverse=True)[1].reshape(height, width).astype(np.int32)


def _saliency(labels: NDArray[np.int32], count: int, lab: Floats) -> Floats:
    """Optimised saliency of each superpixel: (count,)."""
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count).astype(np.float32)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.bincount(flat, values.ravel(), count) / sizes, np.float32)

    height, width = labels.shape
    colour = np.stack([mean(lab[..., channel]) for channel in range(3)], axis=1)
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    place = np.stack([mean(x), mean(y)], axis=1)
    difference = np.linalg.norm(colour[:, None] - colour[None], axis=2)
    distance = np.linalg.norm(place[:, None] - place[None], axis=2)

    touching = np.zeros((count, count), bool)
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        touching[a.ravel(), b.ravel()] = True
    touching |= touching.T
    np.fill_diagonal(touching, False)
    border = np.zeros(count, bool)
    # people and things stand on the lower edge more often than not: only its corners count as background
    corner = width // 4
    border[np.concatenate([labels[0], labels[:, 0], labels[:, -1], labels[-1, :corner], labels[-1, -corner:]])] = True

    # small differences between neighbours must not add up along a long path
    neighbours = difference[touching]
    tolerance = float(np.quantile(neighbours, 0.1)) if len(neighbours) else 0.0
    edges = touching | (border[:, None] & border[None])  # the border is one region: objects cannot cut it
    geodesic = _shortest_paths(np.where(edges, np.maximum(difference - tolerance, 0), np.inf).astype(np.float32))

    near = np.exp(-(geodesic**2) / (2 * _COLOUR_SIGMA**2))
    connectivity = near[:, border].sum(axis=1) / np.sqrt(near.sum(axis=1))
    background = 1 - np.exp(-(connectivity**2) / (2 * _BORDER_SIGMA**2))
    closeness = np.exp(-(distance**2) / (2 * _SPACE_SIGMA**2))
    contrast = (difference * closeness * background[None] * sizes[None]).sum(axis=1)
    foreground = contrast / max(float(contrast.max()), 1e-6)

    affinity = np.where(touching, np.exp(-(difference**2) / (2 * _COLOUR_SIGMA**2)) + _FLOOR_WEIGHT, 0)
    system = np.diag(affinity.sum(axis=1) + background + foreground) - affinity
    return np.asarray(np.linalg.solve(system, foreground), np.float32)


def _shortest_paths(weights: Floats) -> Floats:
    """All-pairs shortest paths of a dense graph (Floyd and Warshall), (n, n) -> (n, n)."""
    d = weights.copy()
    np.fill_diagonal(d, 0)
    through = np.empty_like(d)
    for k in range(len(d)):
        np.add(d[:, k : k + 1], d[k : k + 1], out=through)
        np.minimum(d, through, out=d)
    return d
