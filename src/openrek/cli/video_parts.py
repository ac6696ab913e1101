"""What `openrek video analyze` can look for: one entry an option, so that a new analyser is one more entry."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openrek.cli.video_pictures import VideoMark

if TYPE_CHECKING:
    from openrek.vision.runtime import Runtime
    from openrek.vision.video.analysis import Analyser
    from openrek.vision.video.info import VideoInfo

Rows = list[dict[str, Any]]


def _no_rows(result: Any, info: "VideoInfo") -> Rows:
    return []


def _no_marks(result: Any, info: "VideoInfo") -> Iterable[tuple[int, VideoMark]]:
    return ()


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to look for.

    analyser: makes it; its imports wait until then. rows: the result as plain values for JSON. marks: (frame, mark) to
    draw on the annotated copy, in order of frames.
    """

    name: str
    analyser: Callable[["Runtime"], "Analyser"]
    rows: Callable[[Any, "VideoInfo"], Rows] = field(default=_no_rows)
    marks: Callable[[Any, "VideoInfo"], Iterable[tuple[int, VideoMark]]] = field(default=_no_marks)


def _shots(runtime: "Runtime") -> "Analyser":
    from openrek.vision.video.shots import ShotDetector

    return ShotDetector()


def _cues(runtime: "Runtime") -> "Analyser":
    from openrek.vision.video.cues import CueAnalyser

    return CueAnalyser()


PARTS: Mapping[str, Part] = {part.name: part for part in (Part("shots", _shots), Part("cues", _cues))}
"""By name. Shots and cues become segments; what others find becomes rows of their own."""
