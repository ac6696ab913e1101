"""Cut faces out upright and at one scale: the only face crop that the analysis models ever see, in training and in
service."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE: Final = 112
"""Side of the aligned crop in pixels."""

TEMPLATE: Final[NDArray[np.float32]] = np.array(
    [[40.8, 43.0], [71.2, 43.0], [43.5, 78.1], [68.5, 78.1], [56.0, 60.3]], np.float32
)
"""Where the five points lie in a crop of `SIZE`, in the order of `result.LANDMARKS`.

The proportions are those of the usual 112-pixel recognition crop; the scale is smaller, so that chin, jaw and beard
are inside.
"""

_SHARPEST = 2.0  # a face is at most this many times larger than its crop when it is sampled bilinearly


def similarity(points: NDArray[np.float32], template: NDArray[np.float32] = TEMPLATE) -> NDArray[np.float32]:
    """Least-squares rotation, scale and shift from `points` (N, K, 2) to `template` (K, 2), as matrices (N, 2, 3).

    The closed form of Umeyama (1991) without mirroring: points taken as complex numbers, the best rotation and scale is
    one complex factor. Points that all coincide give the identity scale.
    """
    source = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    target = template[:, 0].astype(np.float64) + 1j * template[:, 1]
    middle, goal = source.mean(axis=1), target.mean()
    centred = source - middle[:, None]
    spread = (np.abs(centred) ** 2).sum(axis=1)
    matched = (np.conj(centred) * (target - goal)).sum(axis=1)
    factor = np.where(spread > 1e-9, matched / np.maximum(spread, 1e-9), 1.0)
    shift = goal - factor * middle
    return np.stack(
        [
            np.stack([factor.real, -factor.imag, shift.real], axis=1),
            np.stack([factor.imag, factor.real, shift.imag], axis=1),
        ],
        axis=1,
    ).astype(np.float32)


def inverse(matrices: NDArray[np.float32]) -> NDArray[np.float32]:
    """The way back: crop pixels to picture pixels, (N, 2, 3)."""
    turn = np.linalg.inv(matrices[:, :, :2].astype(np.float64))
    shift = -turn @ matrices[:, :, 2:].astype(np.float64)
    return np.concatenate([turn, shift], axis=2).astype(np.float32)


def transform(matrices: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """`points` (N, K, 2) moved by `matrices` (N, 2, 3)."""
    moved = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return np.asarray(moved, np.float32)


def cut(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float32], size: int, border: int = cv2.BORDER_CONSTANT
) -> NDArray[np.uint8]:
    """One crop (size, size, C): the picture's pixels where `matrix` (2, 3) puts them, black outside the picture (or
    as OpenCV's `border` says).

    A face much larger than the crop is first reduced by averaging, so that fine texture does not alias.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    shrink = int(1.0 / max(scale, 1e-6) / _SHARPEST)
    if shrink > 1:
        pixels, matrix = _reduce(pixels, matrix, size, shrink)
    crop = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(crop, np.uint8)


def _reduce(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float32], size: int, shrink: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The part of the picture that the crop shows, `shrink` times smaller, and the matrix from there."""
    height, width = pixels.shape[:2]
    corners = np.array([[[0, 0], [size, 0], [0, size], [size, size]]], np.float32)
    reach = transform(inverse(matrix[None]), corners)[0]
    left, top = np.clip(np.floor(reach.min(axis=0)) - shrink, 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(reach.max(axis=0)) + shrink, 0, (width, height)).astype(int)
    columns, rows = (right - left) // shrink, (bottom - top) // shrink
    if columns < 1 or rows < 1:
        return pixels, matrix
    part = pixels[top : top + rows * shrink, left : left + columns * shrink]
    smaller = cv2.resize(part, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    # Pixel centres: x = left + shrink * x' + (shrink - 1) / 2
    moved = matrix.astype(np.float64).copy()
    moved[:, 2] += moved[:, :2] @ (np.array([left, top]) + (shrink - 1) / 2)
    moved[:, :2] *= shrink
    return np.asarray(smaller, np.uint8), moved.astype(np.float32)


def align(
    pixels: NDArray[np.uint8], points: NDArray[np.float32], *, margin: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Aligned crops of all faces of a picture.

    `pixels` (H, W, 3), `points` (N, 5, 2) in its pixels -> crops (N, S, S, 3) with S = SIZE + 2 margin, and the
    matrices (N, 2, 3) from the picture to the crops.
    """
    size = SIZE + 2 * margin
    matrices = similarity(points, TEMPLATE + np.float32(margin))
    crops = np.zeros((len(points), size, size, pixels.shape[2]), np.uint8)
    for number, matrix in enumerate(matrices):
        crops[number] = cut(pixels, matrix, size)
    return crops, matrices
