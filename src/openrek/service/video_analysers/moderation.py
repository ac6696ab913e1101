"""Unsafe content of a video's samples."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

from openrek.service.moderation import content_type_members, label_members
from openrek.service.video_analysers.base import Looks, Member, Members, Samples
from openrek.vision.moderation import PICTURE_SIDE, moderate
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo


class ModerationSamples(Samples):
    """The moderation labels of each sample with their ancestors, surest first, and how the sample is drawn."""

    name = "moderation"
    member = "ModerationLabel"

    def __init__(self, looks: Looks, step: Fraction, *, min_confidence: float = 50.0, nudenet: bool = False) -> None:
        """min_confidence: 0..100, inclusive; nudenet: whether the NudeNet package is asked too."""
        super().__init__(looks, step)
        self._least = min_confidence
        self._nudenet = nudenet

    def members(self, frame: Frame) -> Members:
        """Labels, each with the sample's content types: a sample without a label is no item."""
        found = moderate(self.looks.of(frame, PICTURE_SIDE), nudenet=self._nudenet)
        kinds = content_type_members(found.content_types)
        labels = cast(Members, label_members(found.labels, min_confidence=self._least))
        return [{self.member: label, "ContentTypes": kinds} for label in labels]

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, Members]]) -> Iterator[Member]:
        """ContentModerationDetection items in the order of time."""
        for number, members in observations:
            timestamp = info.clock.timestamp_ms(number)
            for member in members:
                yield {"Timestamp": timestamp, **member}
