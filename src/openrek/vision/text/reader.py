"""The whole way: find rectangles, read them, make words and lines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openrek.vision.geometry import quad_angle, share_inside
from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime
from openrek.vision.text.detector import find_text, view_scale
from openrek.vision.text.direction import OrientedLine, page_angle, read_lines
from openrek.vision.text.layout import WordFilter, arrange, filter_words, size_classes
from openrek.vision.text.recognizer import Recognizer
from openrek.vision.text.result import Quad, TextResult, Word
from openrek.vision.text.sift import sift
from openrek.vision.text.words import split_words

DETECTOR, RECOGNIZER = "text-detector", "text-recognizer"
LONGEST = 4096  # a larger picture may be decoded at a reduced size
MAX_WORDS = 100
PORTION = 64  # rectangles read before looking whether there are enough words
READABLE = 110.0  # degrees either side of horizontal: the promised 90, and the tilt of hand-held pictures
ON_ITS_SIDE = 60.0  # degrees of tilt from which a picture is turned before it is read


def read_text(
    picture: Picture,
    runtime: Runtime,
    *,
    words: WordFilter | None = None,
    regions: Sequence[Quad] | None = None,
    limit: int = MAX_WORDS,
) -> TextResult:
    """Read the text of a picture: lines in reading order, of words with quads in pixels of `picture.pixels`.

    Text within 90 degrees of horizontal is read; upside-down text is not. words, regions, limit: see
    `layout.filter_words`; where there are more words than `limit`, smaller text is not even looked at.
    Raises what `Runtime.model` and `Model.run` raise.
    """
    recognizer = Recognizer(runtime.model(RECOGNIZER))
    view = _View(picture.pixels)
    portions = _portions(view, runtime, regions)
    lines = read_lines(view.pixels, portions[0], recognizer) if portions else []
    angle = page_angle(lines)
    if ON_ITS_SIDE < abs(angle) <= READABLE:  # the networks know level text best
        view = view.turned(1 if angle > 0 else -1)
        portions = _portions(view, runtime, regions)
        lines = read_lines(view.pixels, portions[0], recognizer) if portions else []

    pieces: list[list[Word]] = []
    result = TextResult()
    for number in range(len(portions)):
        if number:
            lines = read_lines(view.pixels, portions[number], recognizer)
        pieces += [view.words(line) for line in lines]
        result = filter_words(
            arrange(sift(pieces)), picture.width, picture.height, words=words, regions=regions, limit=limit
        )
        if len(result.words) >= limit:
            break
    return result


@dataclass(frozen=True)
class _View:
    """A picture as it is read: turned by so many quarters anticlockwise."""

    pixels: NDArray[np.uint8]
    quarters: int = 0

    def turned(self, quarters: int) -> "_View":
        return _View(np.ascontiguousarray(np.rot90(self.pixels, quarters)), quarters)

    def words(self, line: OrientedLine) -> list[Word]:
        """The words of a line, in pixels of the picture; none where it stands on its head there."""
        if abs(quad_angle(self.back(line.quad))) > READABLE:
            return []
        words = split_words(line, view_scale(self.pixels.shape[1], self.pixels.shape[0]))
        return [replace(word, quad=self.back(word.quad)) for word in words]

    def back(self, points: Quad) -> Quad:
        """From pixels of the view to pixels of the picture."""
        height, width = self.pixels.shape[:2]
        match self.quarters:
            case 1:
                return np.stack([height - points[..., 1], points[..., 0]], axis=-1)
            case -1:
                return np.stack([points[..., 1], width - points[..., 0]], axis=-1)
            case _:
                return points


def _portions(view: _View, runtime: Runtime, regions: Sequence[Quad] | None) -> list[list[Quad]]:
    """The rectangles that touch a region, in portions: the largest text first, text of like size from top to bottom."""
    quads = [
        quad
        for quad in find_text(view.pixels, runtime.model(DETECTOR)).quads
        if regions is None or any(share_inside(view.back(quad), region) > 0 for region in regions)
    ]
    heights = [float(np.linalg.norm(quad[3] - quad[0])) for quad in quads]
    ranks = size_classes(heights)
    order = sorted(range(len(quads)), key=lambda index: (ranks[index], float(quads[index][:, 1].mean())))
    return [[quads[index] for index in order[start : start + PORTION]] for start in range(0, len(order), PORTION)]
