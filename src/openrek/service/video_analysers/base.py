"""What the analysers of single frames have in common.

They look at samples of a video, and each sample is looked at like a picture: what they observe are members of the
picture operation's answer, in ratios and 0..100, and their decision puts the time beside each.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from openrek.service.services import Services
from openrek.vision.look import Look
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo

Member = dict[str, Any]
"""A structure of the service model, by its members' names."""

Members = list[Member]


class Looks:
    """The newest frame's picture and models' answers, for all analysers that look at that frame."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._frame: Frame | None = None
        self._looks: dict[int | None, Look] = {}
        self._face_search_side = 1

    def search_faces(self, side: int) -> None:
        """Search faces at a longest side of at least this many pixels: what each analyser that wants faces says before
        the first frame, so that one search serves them all and costs no more than the keenest of them needs."""
        self._face_search_side = max(self._face_search_side, side)

    def of(self, frame: Frame, longest: int | None = None) -> Look:
        """What the models say of a frame reduced to `longest` pixels at most."""
        if self._frame is not frame:
            self._frame, self._looks = frame, {}
        if longest not in self._looks:
            picture = frame.picture(longest)
            self._looks[longest] = self._services.look(picture, face_search_side=self._face_search_side)
        return self._looks[longest]


class Samples:
    """An analyser (see `vision.video.analysis`) of single frames, `step` seconds apart.

    A subclass gives `name`, `member` (what an item calls its content) and `members`.
    """

    name: str
    member: str
    version = 1
    lead = 0
    hears = False

    def __init__(self, looks: Looks, step: Fraction) -> None:
        self.looks = looks
        self.step: Fraction | None = step

    def begin(self, info: VideoInfo) -> None:
        """Frames do not depend on each other: there is nothing to forget."""

    def members(self, frame: Frame) -> Members:
        """What a sample shows, in the order of the answer. Raises ModelError."""
        raise NotImplementedError

    def observe(self, frame: Frame) -> Members | None:
        """`members`; None where there are none, so that empty stretches cost nothing."""
        return self.members(frame) or None

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, Members]]) -> Iterator[Member]:
        """Items of the operation in the order of time, one for each member of each sample."""
        for number, members in observations:
            timestamp = info.clock.timestamp_ms(number)
            for member in members:
                yield {"Timestamp": timestamp, self.member: member}
