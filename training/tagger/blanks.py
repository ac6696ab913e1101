"""Pictures that show nothing, made by drawing: plain colours, two colours that run into each other, and noise.

No photo looks like them, and heads that never saw one call them whatever lies on that side of everything else: a
document, or the sky.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Random = np.random.Generator

KINDS = ("plain", "gradient", "uniform noise", "normal noise")


def blanks(count: int, seed: int = 1) -> Iterator[tuple[str, Pixels]]:
    """`count` pictures (H, W, 3) RGB with their kinds, by turns; the same for the same seed."""
    for number in range(count):
        random = np.random.default_rng([seed, number])
        kind = KINDS[number % len(KINDS)]
        yield kind, np.asarray(_drawn(kind, random).clip(0, 255), np.uint8)


def _drawn(kind: str, random: Random) -> NDArray[np.float64]:
    height, width = (int(side) for side in random.integers(90, 700, 2))
    if random.random() < 0.15:  # a strip
        height, width = 80, int(random.integers(600, 1600))
    colour = _colour(random)
    if kind == "plain":
        return np.broadcast_to(colour, (height, width, 3))
    if kind == "gradient":
        other = np.clip(colour + random.normal(0, 60, 3), 0, 255)
        y, x = np.mgrid[0 : 1 : complex(0, height), 0 : 1 : complex(0, width)]
        angle = random.uniform(0, 2 * np.pi)
        way = np.cos(angle) * x + np.sin(angle) * y
        way = (way - way.min()) / np.ptp(way)
        return np.asarray(colour + (other - colour) * way[..., None])
    grain, channels = 2 ** int(random.integers(0, 6)), int(random.choice([1, 3]))
    shape = (-(-height // grain), -(-width // grain), channels)
    spread = random.uniform(5, 70)
    values = (
        random.uniform(0, 255, shape) if kind == "uniform noise" else random.normal(colour[:channels], spread, shape)
    )
    grains = np.repeat(values, 3 // channels, axis=2)
    interpolation = cv2.INTER_NEAREST if random.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grains, (width, height), interpolation=interpolation), np.float64)


def _colour(random: Random) -> NDArray[np.float64]:
    """Any colour; every third a grey, every seventh one of the cube's corners."""
    colour = random.uniform(0, 255, 3)
    chance = random.random()
    if chance < 0.35:
        return np.full(3, colour[0])
    return np.where(colour < 128, 0.0, 255.0) if chance < 0.5 else colour
