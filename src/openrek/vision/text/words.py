"""The words of a line that was read: their text, confidence and place."""

import re
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.text.detector import letter_bounds
from openrek.vision.text.direction import OrientedLine
from openrek.vision.text.recognizer import HEIGHT
from openrek.vision.text.result import Quad, Word
from openrek.vision.text.sift import is_ideograph

# The probability that a word is right, from the mean probability of its characters; fitted on 439 number plates, see
# the reliability table in the recogniser's card.
CALIBRATION = 2
DEFAULT_PITCH = 0.5  # distance of characters, in strip heights, where a line has only one
REACH = 1.0  # a word ends at most this many pitches from the middle of its outermost characters
FAINT = 0.35  # share of the letters' contrast below which a column counts as gap

_ORDINAL: Final = re.compile(r"[0-9]*[0-9lI](ºr|ªt|ⁿd)")
_TYPED: Final = str.maketrans("lIºªⁿ", "11esn")


def split_words(line: OrientedLine, scale: float) -> list[Word]:
    """The words of a line in reading order; `scale` is that of the view in which its rectangle was found.

    Spaces come from the recogniser. Between two words the emptiest run of columns is the gap; the outer edges are the
    text's, unless they lie far beyond the outermost character (an icon beside the text).
    """
    text, spans = line.reading.text, line.reading.spans
    groups = _groups(text)
    if not groups:
        return []
    width = line.strip.shape[1]
    letters, margin = letter_bounds(line.quad, scale)
    length, height = (float(np.linalg.norm(line.quad[corner] - line.quad[0])) for corner in (1, 3))
    start, end = width * margin / length, width * (1 - margin / length)
    middles = spans.mean(axis=1) * width
    reach = REACH * _pitch(middles, text)
    contrast = _contrast(line.strip) if len(groups) > 1 else np.zeros(0, np.float32)
    edges = [max(min(start, middles[groups[0][0]]), middles[groups[0][0]] - reach)]
    for (_, last), (first, _) in pairwise(groups):
        edges += _gap(contrast, float(middles[last]), float(middles[first]), reach / 2)
    edges.append(min(max(end, middles[groups[-1][1]]), middles[groups[-1][1]] + reach))
    inset = (1 - letters / height) / 2
    return [
        Word(
            plain_ordinal(text[first : last + 1]),
            float(line.reading.probabilities[first : last + 1].mean()) ** CALIBRATION,
            _part(line.quad, float(left) / width, float(max(right, left + 1)) / width, inset),
        )
        for (first, last), left, right in zip(groups, edges[::2], edges[1::2], strict=True)
    ]


def plain_ordinal(word: str) -> str:
    """A word in which raised letters of an ordinal number were read as the signs that look like them, as it is typed.

    >>> plain_ordinal("lºr"), plain_ordinal("2ⁿd"), plain_ordinal("3º")
    ('1er', '2nd', '3º')
    """
    return word.translate(_TYPED) if _ORDINAL.fullmatch(word) else word


def _groups(text: str) -> list[tuple[int, int]]:
    """First and last index of each run of characters without a space, and without a change from or to ideographs."""
    groups: list[tuple[int, int]] = []
    start = 0
    for index, (character, following) in enumerate(pairwise(text + " ")):
        if character.isspace():
            start = index + 1
        elif following.isspace() or is_ideograph(character) != is_ideograph(following):
            groups.append((start, index))
            start = index + 1
    return groups


def _pitch(middles: NDArray[np.float32], text: str) -> float:
    """Usual distance of neighbouring characters within words, in pixels of the strip."""
    inside = [b - a for a, b, s, t in zip(middles, middles[1:], text, text[1:], strict=False) if s != " " != t]
    return float(np.median(inside)) if inside else DEFAULT_PITCH * HEIGHT


def _contrast(strip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Range of brightness in each column of a strip, without the margins above and below the letters."""
    grey = strip[HEIGHT // 8 : -HEIGHT // 8].astype(np.float32).mean(axis=2)
    return np.asarray(grey.max(axis=0) - grey.min(axis=0))


def _gap(contrast: NDArray[np.float32], left: float, right: float, reach: float) -> tuple[float, float]:
    """Where the gap between two words starts and ends, given the middles of the characters beside it (pixels)."""
    a = min(int(left), len(contrast) - 1)
    part = contrast[a : max(a + 1, int(right))]
    low, high = float(part.min()), float(part.max())
    empty = part <= low + FAINT * (high - low)
    best = (0, 0)
    start = None
    for index, value in enumerate([*empty.tolist(), False]):
        if value and start is None:
            start = index
        elif not value and start is not None:
            if index - start > best[1] - best[0]:
                best = (start, index)
            start = None
    if best[1] - best[0] >= 2 and best != (0, len(part)):
        return float(a + best[0]), float(a + best[1])
    reach = min(reach, (right - left) / 2)  # no visible gap: half a character either side
    return left + reach, right - reach


def _part(quad: Quad, left: float, right: float, inset: float) -> Quad:
    """The part of a turned rectangle between two shares of its length, less a share of its height above and below."""
    along, across = quad[1] - quad[0], quad[3] - quad[0]
    corners = ((left, inset), (right, inset), (right, 1 - inset), (left, 1 - inset))
    return np.array([quad[0] + x * along + y * across for x, y in corners], np.float32)
