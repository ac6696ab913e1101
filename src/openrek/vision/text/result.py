"""What reading a picture yields: lines of words."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Quad = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """One or more characters without a space between them.

    `confidence` is 0..1, the calibrated probability that the text is right. `quad` is float32 (4, 2) in pixels of the
    picture: top-left, top-right, bottom-right, bottom-left of the word as it is read, so a turned word has a turned
    quad.
    """

    text: str
    confidence: float
    quad: Quad

    @cached_property
    def height(self) -> float:
        """Extent across the reading direction, in pixels."""
        return float(np.linalg.norm(self.quad[3] - self.quad[0]))


@dataclass(frozen=True)
class Line:
    """Evenly spaced words on one baseline, in reading order; never empty. `quad` encloses the words, see `Word`."""

    words: tuple[Word, ...]
    quad: Quad

    @property
    def text(self) -> str:
        """The words joined by one space."""
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float:
        """The arithmetic mean of the words' confidences, 0..1."""
        return sum(word.confidence for word in self.words) / len(self.words)


@dataclass(frozen=True)
class TextResult:
    """The lines of a picture in reading order."""

    lines: tuple[Line, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, line by line."""
        return tuple(word for line in self.lines for word in line.words)
