"""Labels of a video's samples."""

from fractions import Fraction
from typing import cast

from openrek.service.labels import LabelFilter, label_members
from openrek.service.video_analysers.base import Looks, Members, Samples
from openrek.vision.labels import FACE_SEARCH_SIDE, PICTURE_SIDE, detect_labels
from openrek.vision.video.frame import Frame


class LabelSamples(Samples):
    """What each sample shows, with ancestors and instances; best first, ties by name."""

    name = "labels"
    member = "Label"
    version = 2

    def __init__(
        self, looks: Looks, step: Fraction, *, min_confidence: float = 50.0, choice: LabelFilter | None = None
    ) -> None:
        """min_confidence: 0..100, inclusive; choice: the labels that are kept, all without it."""
        super().__init__(looks, step)
        looks.search_faces(FACE_SEARCH_SIDE)
        self._least = min_confidence
        self._choice = choice or LabelFilter()

    def members(self, frame: Frame) -> Members:
        look = self.looks.of(frame, PICTURE_SIDE)
        found = detect_labels(look)
        return cast(Members, label_members(found, look.picture, choice=self._choice, min_confidence=self._least))
