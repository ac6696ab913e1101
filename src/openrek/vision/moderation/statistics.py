"""Numbers about a picture's surface in which drawn pictures differ from photos: flat areas, few colours, hard lines."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

NAMES: Final = (
    "flat 2", "flat 8", "hard edges", "soft edges", "colour entropy", "top 8 colours", "top colour", "saturation",
    "saturation spread", "grey", "white", "black",
)  # fmt: skip


def surface(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(12,) float32, see NAMES, of a picture (H, W, 3) uint8 RGB; best with a short side of 256.

    Shares of pixels, 0..1, but for the entropy of the colours at 4 bits a channel (0..12 bits) and the saturation's
    mean and standard deviation (0..1).
    """
    highest, lowest = cv2.dilate(pixels, _SQUARE), cv2.erode(pixels, _SQUARE)
    spread = (highest.astype(np.int16) - lowest).max(axis=2)
    packed = (pixels >> 4).astype(np.int64)
    counts = np.bincount((packed[..., 0] << 8 | packed[..., 1] << 4 | packed[..., 2]).ravel(), minlength=4096)
    shares = np.sort(counts / counts.sum())[::-1]
    some = shares[shares > 0]
    top, bottom = pixels.max(axis=2).astype(np.float32), pixels.min(axis=2).astype(np.float32)
    saturation = (top - bottom) / np.maximum(top, 1)
    return np.array(
        [
            (spread <= 2).mean(),
            (spread <= 8).mean(),
            (spread > 90).mean(),
            ((spread > 8) & (spread <= 40)).mean(),
            -(some * np.log2(some)).sum(),
            shares[:8].sum(),
            shares[0],
            saturation.mean(),
            saturation.std(),
            (top - bottom <= 8).mean(),
            (bottom >= 245).mean(),
            (top <= 12).mean(),
        ],
        np.float32,
    )


_SQUARE: Final = np.ones((3, 3), np.uint8)
