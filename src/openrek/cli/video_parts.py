"""What `openrek video analyze` can look for: one entry an option, so that a new analyser is one more entry."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openrek.cli.video_pictures import Box, VideoMark

if TYPE_CHECKING:
    from openrek.service.video_analysers.base import Looks
    from openrek.settings import Settings
    from openrek.vision.video.analysis import Analyser
    from openrek.vision.video.info import VideoInfo

Item = Mapping[str, Any]
"""A result: an item of the Get operation's list, by the members' names."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to look for.

    analyser: makes it; its imports wait until then. step: the setting of the seconds between the frames it looks at,
    where it does not look at all of them. marks: what to draw of one item, where its result has items.
    """

    name: str
    analyser: "Callable[[Looks, Settings], Analyser]"
    step: str = ""
    marks: Callable[[Item], Iterable[VideoMark]] | None = None
    called: str | None = None
    """The analyser's own name, where it is another one."""
    tracked: bool = False
    """Whether the key of a mark names one thing through the video."""

    @property
    def result(self) -> str:
        """The name of the result."""
        return self.called or self.name

    def frame_marks(self, result: Iterable[Item], info: "VideoInfo") -> Iterator[tuple[int, VideoMark]]:
        """(frame, mark) to draw on the annotated copy, in the order of frames."""
        if self.marks is not None:
            for item in result:
                frame = info.clock.frame_at(item["Timestamp"])
                for mark in self.marks(item):
                    yield frame, mark


# --- what finds -------------------------------------------------------------------------------------------------------


def _shots(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.vision.video.shots import ShotDetector

    return ShotDetector()


def _cues(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.vision.video.cues import CueAnalyser

    return CueAnalyser()


def _labels(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.service.video_analysers.labels import LabelSamples

    return LabelSamples(looks, settings.exact("label_step"))


def _faces(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.service.video_analysers.faces import FaceSamples

    return FaceSamples(looks, settings.exact("face_step"), attributes=("ALL",))


def _people(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.service.video_analysers.persons import PersonSamples

    return PersonSamples(looks, settings.exact("face_step"))


def _text(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.service.video_analysers.text import TextSamples

    return TextSamples(looks, settings.exact("text_step"))


def _moderation(looks: "Looks", settings: "Settings") -> "Analyser":
    from openrek.service.video_analysers.moderation import ModerationSamples

    return ModerationSamples(looks, settings.exact("label_step"), nudenet=settings.nudenet)


# --- what is drawn ----------------------------------------------------------------------------------------------------


def _box(member: Item) -> Box:
    box = member["BoundingBox"]
    return box["Left"], box["Top"], box["Width"], box["Height"]


def _label_marks(item: Item) -> Iterator[VideoMark]:
    """Boxes alone: names without a place would cover the picture. An ancestor repeats the boxes of what is below it."""
    label = item["Label"]
    if not label["Parents"] or label["Name"] == "Person":
        for instance in label["Instances"]:
            yield VideoMark(label["Name"], label["Name"], _box(instance))


def _face_marks(item: Item) -> Iterator[VideoMark]:
    face = item["Face"]
    years, mood = face.get("AgeRange"), face.get("Emotions")
    words = [f"{years['Low']}-{years['High']}" if years else "", mood[0]["Type"].lower() if mood else ""]
    yield VideoMark(" ".join(["face", *filter(None, words)]), "face", _box(face))


def _person_marks(item: Item) -> Iterator[VideoMark]:
    person = item["Person"]
    yield VideoMark(f"person {person['Index']}", f"person {person['Index']}", _box(person))


def _text_marks(item: Item) -> Iterator[VideoMark]:
    text = item["TextDetection"]
    if text["Type"] == "LINE":
        yield VideoMark(text["DetectedText"], "text", _box(text["Geometry"]))


def _moderation_marks(item: Item) -> Iterator[VideoMark]:
    label = item["ModerationLabel"]
    if label["TaxonomyLevel"] == 1:
        yield VideoMark(f"{label['Name']} {label['Confidence']:.0f}%", "moderation")


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part("shots", _shots),
        Part("cues", _cues),
        Part("labels", _labels, "label_step", _label_marks),
        Part("faces", _faces, "face_step", _face_marks),
        Part("people", _people, "face_step", _person_marks, "persons", tracked=True),
        Part("text", _text, "text_step", _text_marks),
        Part("moderation", _moderation, "label_step", _moderation_marks),
    )
}
"""By name. Shots and cues become segments; what others find becomes rows of their own."""
