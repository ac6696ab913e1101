"""Which way up a line is read.

A rectangle around text does not say on which of its sides the text stands. Reading the strip as it lies and turned by
180 degrees and comparing the confidences tells: over the lines of street pictures and signs the recogniser is wrong far
less often than a separate direction classifier (see the decision record). Most lines need only one look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openrek.vision.geometry import order_quad, quad_angle
from openrek.vision.text.recognizer import Reading, Recognizer, cut_strip
from openrek.vision.text.result import Quad

READABLE = 110.0  # degrees either side of horizontal: the promised 90, and the tilt of hand-held pictures
SQUARISH = 1.8  # up to this aspect ratio a rectangle may hold text across its long side (a single digit, "I")
SURE = 0.95  # mean confidence from which a line is not looked at again,
SURE_LENGTH = 5  # if it has that many characters: "SOS" and "6009" read well both ways
TIE = 0.03  # confidences nearer than this decide nothing; the picture's other lines do
SQUARISH_SURE = 0.8  # a squarish rectangle is only turned when it reads worse than this as the other lines lie,
SQUARISH_GAIN = 0.15  # and so much better turned


@dataclass(frozen=True)
class OrientedLine:
    """A line as it is read: `quad` (4, 2) in reading direction, `strip` the picture's part inside it, laid level."""

    quad: Quad
    strip: NDArray[np.uint8]
    reading: Reading

    @property
    def angle(self) -> float:
        """Reading direction in degrees, clockwise from horizontal, -180..180."""
        return quad_angle(self.quad)


def read_lines(pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer) -> list[OrientedLine]:
    """Read turned rectangles (N, 4, 2) the right way up; leaves out what is upside down and what holds nothing."""
    long = [quad for quad in quads if not _squarish(quad)]
    lines, page = _read_long(pixels, long, recognizer)
    lines += _read_squarish(pixels, [quad for quad in quads if _squarish(quad)], recognizer, page)
    return [line for line in lines if abs(line.angle) <= READABLE and line.reading.text]


def _read_long(
    pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer
) -> tuple[list[OrientedLine], float]:
    """The lines along the long sides of rectangles, and the direction in which most of them run (degrees)."""
    first = _look(pixels, quads, recognizer)
    second: dict[int, OrientedLine] = {}

    def turn(members: list[int]) -> None:
        turned = _look(pixels, [np.roll(quads[i], -2, axis=0) for i in members], recognizer)
        second.update(zip(members, turned, strict=True))

    turn([i for i, line in enumerate(first) if not _sure(line.reading)])
    upright = sum(len(line.reading.text) for i, line in enumerate(first) if not _beats(second.get(i), line))
    total = sum(len(line.reading.text) for line in first)
    if total > 2 * upright:  # most of the picture stands the other way: trust no first look
        turn([i for i in range(len(first)) if i not in second])

    direction = np.zeros(2)
    for index, line in enumerate(first):
        other = second.get(index)
        if other is None or abs(other.reading.confidence - line.reading.confidence) > TIE:
            best = other if _beats(other, line) and other else line
            angle = np.deg2rad(best.angle)
            direction += np.array([np.cos(angle), np.sin(angle)]) * len(best.reading.text)
    page = float(np.rad2deg(np.arctan2(direction[1], direction[0]))) if direction.any() else 0.0
    return [_better(line, second.get(index), page) for index, line in enumerate(first)], page


def _read_squarish(
    pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer, page: float
) -> list[OrientedLine]:
    """The text in squarish rectangles, read as the other lines are unless it reads clearly better turned."""
    angle = np.deg2rad(page)
    lines = _look(pixels, [order_quad(quad, (np.cos(angle), np.sin(angle))) for quad in quads], recognizer)
    unsure = [i for i, line in enumerate(lines) if line.reading.confidence < SQUARISH_SURE]
    for turns in (1, 2, 3):
        turned = _look(pixels, [np.roll(lines[i].quad, -turns, axis=0) for i in unsure], recognizer)
        for index, line in zip(list(unsure), turned, strict=True):
            if line.reading.confidence > lines[index].reading.confidence + SQUARISH_GAIN:
                lines[index] = line
    return lines


def _look(pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer) -> list[OrientedLine]:
    strips = [cut_strip(pixels, quad) for quad in quads]
    return [OrientedLine(*parts) for parts in zip(quads, strips, recognizer.read(strips), strict=True)]


def _squarish(quad: Quad) -> bool:
    return bool(np.linalg.norm(quad[1] - quad[0]) <= SQUARISH * np.linalg.norm(quad[3] - quad[0]))


def _sure(reading: Reading) -> bool:
    return len(reading.text) >= SURE_LENGTH and reading.confidence >= SURE


def _beats(other: OrientedLine | None, line: OrientedLine) -> bool:
    return other is not None and other.reading.confidence > line.reading.confidence


def _better(line: OrientedLine, other: OrientedLine | None, page: float) -> OrientedLine:
    """The more confident of two looks; where they tie, the one that runs as the page does."""
    if other is None:
        return line
    if abs(other.reading.confidence - line.reading.confidence) <= TIE:
        return min(line, other, key=lambda look: abs((look.angle - page + 180) % 360 - 180))
    return other if _beats(other, line) else line
