"""The whole way: find rectangles, read them, make words and lines."""

from collections.abc import Sequence

import numpy as np

from openrek.vision.geometry import share_inside
from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime
from openrek.vision.text.detector import find_text
from openrek.vision.text.direction import read_lines
from openrek.vision.text.layout import WordFilter, arrange, filter_words
from openrek.vision.text.recognizer import Recognizer
from openrek.vision.text.result import Quad, TextResult, Word
from openrek.vision.text.sift import sift
from openrek.vision.text.words import split_words

DETECTOR, RECOGNIZER = "text-detector", "text-recognizer"
LONGEST = 4096  # a larger picture may be decoded at a reduced size
MAX_WORDS = 100
CHUNK = 64  # rectangles read before looking whether there are enough words


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
    rectangles = find_text(picture.pixels, runtime.model(DETECTOR))
    quads = [quad for quad in rectangles.quads if _touches(quad, regions)]
    recognizer = Recognizer(runtime.model(RECOGNIZER))
    pieces: list[list[Word]] = []
    result = TextResult()
    for chunk in _chunks(quads):
        pieces += [split_words(line) for line in read_lines(picture.pixels, chunk, recognizer)]
        result = filter_words(
            arrange(sift(pieces)), picture.width, picture.height, words=words, regions=regions, limit=limit
        )
        if len(result.words) >= limit:
            break
    return result


def _touches(quad: Quad, regions: Sequence[Quad] | None) -> bool:
    return regions is None or any(share_inside(quad, region) > 0 for region in regions)


def _chunks(quads: list[Quad]) -> list[list[Quad]]:
    """Rectangles in portions, the highest text first."""
    height = [float(np.linalg.norm(quad[3] - quad[0])) for quad in quads]
    order = sorted(range(len(quads)), key=lambda index: -height[index])
    return [[quads[index] for index in order[start : start + CHUNK]] for start in range(0, len(order), CHUNK)]
