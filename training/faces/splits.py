"""Splits by identity and by picture hash: near-duplicates and pictures of one person stay on one side."""

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

TRAIN, TUNE, TEST = 0, 1, 2
"""Tune: calibration and choices. Test: looked at for the card alone."""


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """256 bits, as four words: whether each cell of a 16x16 grid is brighter than its left neighbour."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (17, 16), interpolation=cv2.INTER_AREA)
    bits = small[:, 1:] > small[:, :-1]
    return np.packbits(bits.reshape(-1)).view(np.uint64)


def groups(hashes: NDArray[np.uint64], identities: Sequence[str], nearest: int = 26) -> NDArray[np.int64]:
    """Connected groups of samples (N,): the same identity, or hashes (N, 4) at most `nearest` bits apart.

    Unrelated pictures of this kind lie some 90 to 130 bits apart.
    """
    parent = np.arange(len(hashes))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number

    first: dict[str, int] = {}
    for number, identity in enumerate(identities):
        parent[root(number)] = root(first.setdefault(identity, number))
    for start in range(0, len(hashes), 512):
        block = hashes[start : start + 512]
        apart = sum(np.bitwise_count(block[:, None, word] ^ hashes[None, start:, word]) for word in range(4))
        for row, column in zip(*np.nonzero(apart <= nearest), strict=True):
            if column > row:
                parent[root(start + int(row))] = root(start + int(column))
    return np.array([root(number) for number in range(len(hashes))])


def split(group: NDArray[np.int64], names: Sequence[str], tune: float = 0.08, test: float = 0.12) -> NDArray[np.uint8]:
    """TRAIN, TUNE or TEST for each sample, decided by a hash of the name of its group's first sample."""
    first: dict[int, str] = {}
    for number, name in zip(group, names, strict=True):
        first[int(number)] = min(name, first.get(int(number), name))
    sides = {}
    for number, name in first.items():
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        sides[number] = TEST if place < test else TUNE if place < test + tune else TRAIN
    return np.array([sides[int(number)] for number in group], np.uint8)
