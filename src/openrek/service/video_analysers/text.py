"""Text of a video's samples."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, cast

import numpy as np

from openrek.service.text import text_detections
from openrek.service.video_analysers.base import Looks, Members, Samples
from openrek.vision.text import LONGEST, Quad, WordFilter, read_text
from openrek.vision.video.frame import Frame

MIN_CONFIDENCE: Final = 80.0
"""Least confidence (0..100) of a word in videos where the request gives none."""


class TextSamples(Samples):
    """The lines and words of each sample; ids count from 0 in each."""

    name = "text"
    member = "TextDetection"

    def __init__(
        self, looks: Looks, step: Fraction, *, words: WordFilter | None = None, regions: Sequence[Quad] = ()
    ) -> None:
        """words: which are kept; regions: (P, 2) outlines in ratios of the picture's sides, everywhere without any."""
        super().__init__(looks, step)
        self._words = words or WordFilter(confidence=MIN_CONFIDENCE / 100)
        self._regions = tuple(regions)

    def members(self, frame: Frame) -> Members:
        look = self.looks.of(frame, LONGEST)
        picture = look.picture
        sides = np.array([picture.width, picture.height], np.float32)
        regions = [region * sides for region in self._regions] or None
        return cast(
            Members, text_detections(read_text(picture, look.runtime, words=self._words, regions=regions), picture)
        )
