"""What a line says: the characters of a cut-out strip of the picture, and where along the strip each one stands.

The network answers one character distribution for every eight columns; the best path is decoded after Graves et al.,
"Connectionist temporal classification" (ICML 2006): repeated characters and blanks are dropped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.runtime import Model

Floats = NDArray[np.float32]

HEIGHT = 48  # of a strip
MIN_WIDTH = 16
MAX_WIDTH = 3200  # longer lines are squeezed
WIDTH_STEP = 64  # strips are padded to a multiple of it and batched with strips of the same padded width,
MIN_PADDED = 256  # so that what is read never depends on what else the picture holds; narrower ones read worse
BATCH_WIDTH = 2560  # bounds the memory of a batch: sum of padded widths
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}  # full-width forms of ASCII


@dataclass(frozen=True)
class Reading:
    """The characters read from a strip.

    `text`: N characters; `probabilities`: (N,), 0..1; `spans`: (N, 2), first and last column of each character's peak
    as a share of the strip's width, 0..1.
    """

    text: str
    probabilities: Floats
    spans: Floats

    @property
    def confidence(self) -> float:
        """Mean probability of the characters; 0 where nothing was read."""
        return float(self.probabilities.mean()) if self.text.strip() else 0.0


NOTHING = Reading("", np.zeros(0, np.float32), np.zeros((0, 2), np.float32))


def cut_strip(pixels: NDArray[np.uint8], quad: Floats) -> NDArray[np.uint8]:
    """The part of RGB pixels inside a turned rectangle (4, 2), laid level: (HEIGHT, W, 3)."""
    along, across = float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))
    width = min(MAX_WIDTH, max(MIN_WIDTH, round(HEIGHT * along / max(across, 1.0))))
    factor = max(1, math.ceil(across / HEIGHT))  # large text is cut at a larger size first, lest it alias
    target = np.array([[0, 0], [width, 0], [0, HEIGHT]], np.float32) * factor
    matrix = cv2.getAffineTransform(np.ascontiguousarray(quad[[0, 1, 3]], np.float32), target)
    size = (width * factor, HEIGHT * factor)
    strip = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if factor > 1:
        strip = cv2.resize(strip, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(strip, np.uint8)


class Recognizer:
    """Reads strips with a recognition model whose metadata hold its characters."""

    def __init__(self, model: Model) -> None:
        self._model = model
        # Class 0 is the blank, the last one the space; between them one character a line. Not splitlines(): the list
        # holds characters which that takes for line ends.
        self._characters = ["", *model.metadata["character"].rstrip("\n").split("\n"), " "]

    def read(self, strips: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """Read strips (HEIGHT, W, 3); one answer each, in the same order."""
        readings = [NOTHING] * len(strips)
        for width, members in _batches([strip.shape[1] for strip in strips]):
            blob = np.zeros((len(members), 3, HEIGHT, width), np.float32)
            for row, index in enumerate(members):
                strip = strips[index]
                blob[row, :, :, : strip.shape[1]] = strip.transpose(2, 0, 1)
                blob[row, :, :, : strip.shape[1]] /= 127.5
                blob[row, :, :, : strip.shape[1]] -= 1.0
            scores = self._model.run({self._model.input_names[0]: blob})[0]
            best = scores.argmax(axis=2)
            probability = np.take_along_axis(scores, best[..., None], axis=2)[..., 0]
            for row, index in enumerate(members):
                share = width / strips[index].shape[1] / best.shape[1]  # of the strip's width that one column covers
                readings[index] = self._decode(best[row], probability[row], share)
        return readings

    def _decode(self, best: NDArray[np.int64], probability: Floats, share: float) -> Reading:
        starts = np.flatnonzero(np.r_[True, best[1:] != best[:-1]])
        ends = np.r_[starts[1:], len(best)]
        kept = best[starts] != 0
        starts, ends = starts[kept], ends[kept]
        if not len(starts):
            return NOTHING
        text = "".join(self._characters[code] for code in best[starts]).translate(FULL_WIDTH)
        peaks = np.array([probability[start:end].max() for start, end in zip(starts, ends, strict=True)], np.float32)
        spans = np.clip(np.c_[starts, ends] * share, 0.0, 1.0)
        return Reading(text, peaks, spans.astype(np.float32))


def _batches(widths: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Group strips by padded width: (padded width, indices), each group within `BATCH_WIDTH`."""
    groups: dict[int, list[int]] = {}
    for index, width in enumerate(widths):
        groups.setdefault(max(MIN_PADDED, math.ceil(width / WIDTH_STEP) * WIDTH_STEP), []).append(index)
    batches: list[tuple[int, list[int]]] = []
    for width, members in sorted(groups.items()):
        size = max(1, BATCH_WIDTH // width)
        batches += [(width, members[start : start + size]) for start in range(0, len(members), size)]
    return batches
