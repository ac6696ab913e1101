"""Faces of a video's samples."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, cast

from openrek.service.face_attributes import selected_attributes
from openrek.service.faces import face_details
from openrek.service.video_analysers.base import Looks, Members, Samples
from openrek.vision.faces import PICTURE_SIDE, SEARCH_SIDE
from openrek.vision.video.frame import Frame

NEVER: Final = frozenset({"FACE_OCCLUDED", "EYE_DIRECTION"})
"""Attributes that Rekognition never gives for faces in videos."""


class FaceSamples(Samples):
    """The faces of each sample, the largest first."""

    name = "faces"
    member = "Face"

    def __init__(self, looks: Looks, step: Fraction, *, attributes: Sequence[str] = ()) -> None:
        """attributes: as in a request; ALL gives every attribute that videos have."""
        super().__init__(looks, step)
        looks.search_faces(SEARCH_SIDE)
        self._attributes = tuple(name for name in selected_attributes(attributes) if name not in NEVER)

    def members(self, frame: Frame) -> Members:
        look = self.looks.of(frame, PICTURE_SIDE)
        return cast(Members, face_details(look.picture, look.faces, self._attributes, look.runtime))
