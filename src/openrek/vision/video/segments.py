"""Shots and technical cues as rows with frames, milliseconds and time codes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from openrek.vision.video.analysis import Interval
from openrek.vision.video.clock import Clock
from openrek.vision.video.timecode import Timecode

Group = Literal["cue", "shot"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video in three notations.

    group: "shot" or "cue"; kind: the cue's name, "" for a shot; index: of a shot from 0 in order of time, else None.
    confidence: 0..1. Durations are differences, end minus start: a segment of frames 0..299 lasts 299 frames.
    """

    group: Group
    kind: str
    index: int | None
    confidence: float
    start_frame: int
    end_frame: int
    start_ms: int
    end_ms: int
    start_timecode: str
    end_timecode: str
    duration_timecode: str

    @property
    def title(self) -> str:
        """For people: the cue's name, or "Shot 1" for the first shot."""
        return self.kind if self.index is None else f"Shot {self.index + 1}"

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.end_frame - self.start_frame

    @property
    def duration_ms(self) -> int:
        """Length in milliseconds."""
        return self.end_ms - self.start_ms


def segments(
    clock: Clock,
    *,
    shots: Iterable[Interval] = (),
    cues: Iterable[Interval] = (),
    order: Sequence[Group] = ("cue", "shot"),
    least_shot: float = 0.0,
    least_cue: float = 0.0,
) -> list[Segment]:
    """One row per interval, grouped in the given order, each group in order of time.

    order: the groups wanted; a group named twice counts once.
    least_shot, least_cue: rows of less confidence are left out; neighbours are not merged, and shots keep their index.
    """
    rows: list[Segment] = []
    code = Timecode.of(clock.rate)
    for group in dict.fromkeys(order):
        found, least = (shots, least_shot) if group == "shot" else (cues, least_cue)
        for index, interval in enumerate(sorted(found, key=lambda each: (each.start, each.end))):
            if interval.confidence < least:
                continue
            rows.append(
                Segment(
                    group=group,
                    kind="" if group == "shot" else interval.kind,
                    index=index if group == "shot" else None,
                    confidence=interval.confidence,
                    start_frame=interval.start,
                    end_frame=interval.end,
                    start_ms=clock.timestamp_ms(interval.start),
                    end_ms=clock.timestamp_ms(interval.end),
                    start_timecode=code.format(interval.start),
                    end_timecode=code.format(interval.end),
                    duration_timecode=code.format(interval.end - interval.start),
                )
            )
    return rows
