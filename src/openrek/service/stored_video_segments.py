"""Shots and technical cues of stored videos: StartSegmentDetection, GetSegmentDetection."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openrek.contract.call import Call
from openrek.contract.errors import InvalidParameterException
from openrek.jobs import Job, Row
from openrek.service.services import Services
from openrek.service.stored_video import StoredVideo, stored_video, video_metadata

if TYPE_CHECKING:
    from openrek.vision.video import VideoInfo
    from openrek.vision.video.analysis import Analyser
    from openrek.vision.video.segments import Group, Segment

MODEL_VERSION: Final = "2.0"

CUE: Final = "TECHNICAL_CUE"
SHOT: Final = "SHOT"

MIN_CONFIDENCE: Final = 50.0
MAX_PIXEL_THRESHOLD: Final = 0.2
MIN_COVERAGE: Final = 99.0


@stored_video
class Segments(StoredVideo):
    """The groups in the order of the request, each in the order of time."""

    start = "StartSegmentDetection"
    get = "GetSegmentDetection"
    member = "Segments"

    def check(self, request: Mapping[str, Any], call: Call, services: Services) -> None:
        filters, types = request.get("Filters", {}), request["SegmentTypes"]
        for name, kind in (("TechnicalCueFilter", CUE), ("ShotFilter", SHOT)):
            if name in filters and kind not in types:
                raise InvalidParameterException(
                    f"Request has invalid parameters: Filters.{name} is only valid when SegmentTypes contains {kind}"
                )

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.vision.video.cues import BlackRule, CueAnalyser
        from openrek.vision.video.shots import ShotDetector

        types = job.parameters["SegmentTypes"]
        chosen: list[Analyser] = []
        if SHOT in types:
            chosen.append(ShotDetector())
        if CUE in types:
            cues = _filter(job, "TechnicalCueFilter")
            black = cues.get("BlackFrame", {})
            rule = BlackRule(
                black.get("MaxPixelThreshold", MAX_PIXEL_THRESHOLD),
                black.get("MinCoveragePercentage", MIN_COVERAGE),
                exact=bool(black),  # who names a threshold gets what the published test says, and nothing else
            )
            chosen.append(CueAnalyser(rule, _least(cues)))  # what is less sure is content: cues tile the video
        return chosen

    def rows(self, job: Job, info: "VideoInfo", decisions: Mapping[str, Any], services: Services) -> Iterable[Row]:
        from openrek.vision.video.segments import segments

        groups: dict[str, Group] = {CUE: "cue", SHOT: "shot"}
        found = segments(
            info.clock,
            shots=decisions.get("shots", ()),
            cues=decisions.get("cues", ()),
            order=[groups[kind] for kind in dict.fromkeys(job.parameters["SegmentTypes"])],
            least_shot=_least(_filter(job, "ShotFilter")),
        )
        return (Row(segment_member(each)) for each in found)

    def metadata(self, job: Job) -> dict[str, Any]:
        return {
            "VideoMetadata": [video_metadata(job)],
            "AudioMetadata": [
                {
                    "Codec": stream["codec"],
                    "DurationMillis": stream["duration_ms"],
                    "SampleRate": stream["sample_rate"],
                    "NumberOfChannels": stream["channels"],
                }
                for stream in job.plan["video"]["audio"]
            ],
            "SelectedSegmentTypes": [
                {"Type": kind, "ModelVersion": MODEL_VERSION} for kind in dict.fromkeys(job.parameters["SegmentTypes"])
            ],
        }


def segment_member(segment: "Segment") -> dict[str, Any]:
    """The member of the answer for one segment."""
    confidence = segment.confidence * 100
    which: dict[str, Any] = (
        {"Type": SHOT, "ShotSegment": {"Index": segment.index, "Confidence": confidence}}
        if segment.group == "shot"
        else {"Type": CUE, "TechnicalCueSegment": {"Type": segment.kind, "Confidence": confidence}}
    )
    return which | {
        "StartTimestampMillis": segment.start_ms,
        "EndTimestampMillis": segment.end_ms,
        "DurationMillis": segment.duration_ms,
        "StartTimecodeSMPTE": segment.start_timecode,
        "EndTimecodeSMPTE": segment.end_timecode,
        "DurationSMPTE": segment.duration_timecode,
        "StartFrameNumber": segment.start_frame,
        "EndFrameNumber": segment.end_frame,
        "DurationFrames": segment.frames,
    }


def _filter(job: Job, name: str) -> Mapping[str, Any]:
    chosen: Mapping[str, Any] = job.parameters.get("Filters", {}).get(name, {})
    return chosen


def _least(chosen: Mapping[str, Any]) -> float:
    return float(chosen.get("MinSegmentConfidence", MIN_CONFIDENCE)) / 100
