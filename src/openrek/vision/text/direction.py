"""Which way up a line is read.

A rectangle around text does not say on which of its sides the text stands. Reading the strip as it lies and turned by
180 degrees and comparing the confidences tells: the recogniser is wrong far less often than the classifier that
PP-OCR's pipeline has for this (see the decision record). Most lines need only one look: those that read well, in a
picture where several lines leave no doubt about the direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from openrek.vision.geometry import order_quad, quad_angle
from openrek.vision.text.recognizer import Reading, Recognizer, cut_strip
from openrek.vision.text.result import Quad
from openrek.vision.text.sift import is_ideograph

SQUARISH = 1.8  # up to this aspect ratio a rectangle may hold text across its long side (a single digit, "I")
SURE = 0.97  # mean confidence from which a line is not looked at again,
SURE_LENGTH = 5  # if it has that many characters: "SOS" and "6009" read well both ways
SETTLED = 3  # so many sure lines settle which way up a picture is: a line that runs as they do, within
ALIKE = 45.0  # degrees, is then not looked at again
WELL = 0.9  # from this mean confidence on, however short it is
TIE = 0.2  # looks whose evidence is nearer than this decide nothing; the picture's other lines do
SIDEWAYS = 0.8  # without long lines, squarish rectangles are tried sideways where they read worse than this


@dataclass(frozen=True)
class OrientedLine:
    """A line as it is read: `quad` (4, 2) in reading direction, `strip` the picture's part inside it, laid level."""

    quad: Quad
    strip: NDArray[np.uint8]
    reading: Reading

    @cached_property
    def angle(self) -> float:
        """Reading direction in degrees, clockwise from horizontal, -180..180."""
        return quad_angle(self.quad)

    @cached_property
    def evidence(self) -> float:
        """How far the confidence is from none, in orders of magnitude of the doubt: 0.9 is 1, 0.99 is 2."""
        return float(-np.log10(1 - self.reading.confidence + 1e-7))


def read_lines(pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer) -> list[OrientedLine]:
    """Read turned rectangles (N, 4, 2) in whichever direction they make sense; leaves out what holds nothing."""
    lines, page, settled = _read_long(pixels, [quad for quad in quads if not _squarish(quad)], recognizer)
    lines += _read_squarish(pixels, [quad for quad in quads if _squarish(quad)], recognizer, page, settled)
    return [line for line in lines if line.reading.text]


def page_angle(lines: Sequence[OrientedLine]) -> float:
    """The direction in which most of the text runs, in degrees; 0 without lines."""
    total = np.zeros(2)
    for line in lines:
        angle = np.deg2rad(line.angle)
        total += np.array([np.cos(angle), np.sin(angle)]) * _weight(line)
    return float(np.rad2deg(np.arctan2(total[1], total[0]))) if total.any() else 0.0


def _read_long(
    pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer
) -> tuple[list[OrientedLine], float | None, bool]:
    """The lines along the long sides of rectangles, the direction in which most of them run (degrees), if any, and
    whether that is beyond doubt."""
    first = _look(pixels, quads, recognizer)
    second: dict[int, OrientedLine] = {}
    sure = [line for line in first if _sure(line)]
    settled = len(sure) >= SETTLED
    usual = page_angle(sure)

    def turn(members: Sequence[int]) -> None:
        turned = _look(pixels, [np.roll(quads[i], -2, axis=0) for i in members], recognizer)
        second.update(zip(members, turned, strict=True))

    turn([i for i, line in enumerate(first) if not (_sure(line) or (settled and _plain(line, usual)))])
    standing = sum(_weight(line) for i, line in enumerate(first) if i not in second or _lead(line, second[i]) >= 0)
    falling = sum(_weight(second[i]) for i in second if _lead(first[i], second[i]) < 0)
    if falling > standing:  # most of the picture stands the other way: trust no first look
        turn([i for i in range(len(first)) if i not in second])
        settled = False

    decided = []
    for index, line in enumerate(first):
        lead = _lead(line, second[index]) if index in second else np.inf
        if abs(lead) > TIE:
            decided.append(line if lead > 0 else second[index])
    page = page_angle(decided) if decided else None
    return [_better(line, second.get(index), page or 0.0) for index, line in enumerate(first)], page, settled


def _read_squarish(
    pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer, page: float | None, settled: bool
) -> list[OrientedLine]:
    """The text in squarish rectangles, read as the other lines run, or in whichever direction where there are none."""
    angle = np.deg2rad(page or 0.0)
    start = [order_quad(quad, (np.cos(angle), np.sin(angle))) for quad in quads]
    lines = _look(pixels, start, recognizer)

    def turn(members: Sequence[int], turns: int) -> None:
        turned = _look(pixels, [np.roll(start[i], -turns, axis=0) for i in members], recognizer)
        for index, line in zip(members, turned, strict=True):
            # letters on their side look like an ideograph, which would stand as it is found
            if turns == 2 or not any(map(is_ideograph, line.reading.text)):
                lines[index] = _better(lines[index], line, page or 0.0)

    turn([i for i, line in enumerate(lines) if line.reading.confidence < (WELL if settled else SURE)], 2)
    if page is None:
        unread = [i for i, line in enumerate(lines) if line.reading.confidence < SIDEWAYS]
        turn(unread, 1)
        turn(unread, 3)
    return lines


def _look(pixels: NDArray[np.uint8], quads: Sequence[Quad], recognizer: Recognizer) -> list[OrientedLine]:
    strips = [cut_strip(pixels, quad) for quad in quads]
    return [OrientedLine(*parts) for parts in zip(quads, strips, recognizer.read(strips), strict=True)]


def _squarish(quad: Quad) -> bool:
    return bool(np.linalg.norm(quad[1] - quad[0]) <= SQUARISH * np.linalg.norm(quad[3] - quad[0]))


def _sure(line: OrientedLine) -> bool:
    return len(line.reading.text) >= SURE_LENGTH and line.reading.confidence >= SURE


def _plain(line: OrientedLine, usual: float) -> bool:
    """Whether a line reads well and runs as a picture's sure lines do."""
    return line.reading.confidence >= WELL and abs((line.angle - usual + 180) % 360 - 180) < ALIKE


def _weight(line: OrientedLine) -> float:
    return len(line.reading.text) * line.reading.confidence


def _lead(line: OrientedLine, other: OrientedLine) -> float:
    return line.evidence - other.evidence


def _better(line: OrientedLine, other: OrientedLine | None, page: float) -> OrientedLine:
    """The look with more evidence; of two that tie, the one that runs as the page does."""
    if other is None:
        return line
    if abs(_lead(line, other)) <= TIE:
        return min(line, other, key=lambda look: abs((look.angle - page + 180) % 360 - 180))
    return line if _lead(line, other) > 0 else other
