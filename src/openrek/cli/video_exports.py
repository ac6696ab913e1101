"""Segments of a video in the formats that editors, players and spreadsheets read."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from openrek.vision.video.clock import Clock
    from openrek.vision.video.info import VideoInfo
    from openrek.vision.video.segments import Segment

_COLUMNS = (
    *("group", "kind", "index", "confidence", "start_frame", "end_frame", "frames"),
    *("start_ms", "end_ms", "duration_ms", "start_timecode", "end_timecode", "duration_timecode"),
)
_REEL = "AX"
_MOST_EVENTS = 999


class Items:
    """The items of one result, kept on disk; to be gone through as often as need be."""

    def __init__(self, found: Iterable[Mapping[str, Any]]) -> None:
        from openrek.vision.video.shelf import Shelf

        self._shelf = Shelf()
        for item in found:
            self._shelf.add(orjson.dumps(item))

    def __len__(self) -> int:
        return len(self._shelf)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(orjson.loads, self._shelf.items())


def json_of(document: Mapping[str, Any], results: Mapping[str, Items]) -> Iterator[str]:
    """The pieces of a JSON document: `document` (not empty) and then each of `results` as a list, item by item."""
    yield json.dumps(document, indent=2, ensure_ascii=False).removesuffix("\n}")
    for name, items in results.items():
        yield f",\n  {json.dumps(name)}: ["
        for number, item in enumerate(items):
            written = json.dumps(item, indent=2, ensure_ascii=False).replace("\n", "\n    ")
            yield f"{',' if number else ''}\n    {written}"
        yield "\n  ]" if len(items) else "]"
    yield "\n}\n"


def segment_row(segment: "Segment") -> dict[str, Any]:
    """A segment as plain values, in the order of the columns; confidence 0..100."""
    known = asdict(segment) | {"frames": segment.frames, "duration_ms": segment.duration_ms}
    known["confidence"] = round(segment.confidence * 100, 2)
    return {name: known[name] for name in _COLUMNS}


def video_row(info: "VideoInfo") -> dict[str, Any]:
    """What is known of a video as plain values."""
    return {
        "codec": info.codec,
        "format": info.format,
        "duration_ms": info.duration_ms,
        "frames": info.frames,
        "frame_rate": float(info.rate),
        "frame_rate_exact": f"{info.rate.numerator}/{info.rate.denominator}",
        "variable_rate": not info.clock.constant,
        "width": info.width,
        "height": info.height,
        "color_range": info.color_range,
        "audio": [asdict(stream) for stream in info.audio],
    }


def csv_of(segments: Iterable["Segment"]) -> str:
    """Comma separated values with a header (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(segment_row(segment) for segment in segments)
    return text.getvalue()


def edls_of(title: str, clip: str, shots: Sequence["Segment"], rate: Fraction) -> Iterator[str]:
    """CMX 3600 edit decision lists: one cut event a shot, source and record at the shot's own place.

    Its out points are exclusive, as the format wants; what lies in a soft transition is left out of the events. The
    format numbers events with three digits, so that more shots go on in further lists.
    """
    from openrek.vision.video.timecode import Timecode

    code = Timecode.of(rate)
    for first in range(0, len(shots), _MOST_EVENTS):
        part = f" ({first // _MOST_EVENTS + 1})" if first else ""
        lines = [
            f"TITLE: {title[: 70 - len(part)]}{part}",
            f"FCM: {'DROP FRAME' if code.dropped else 'NON-DROP FRAME'}",
            "",
        ]
        for number, shot in enumerate(shots[first : first + _MOST_EVENTS], 1):
            start, end = code.format(shot.start_frame), code.format(shot.end_frame + 1)
            lines.append(f"{number:03}  {_REEL:<8} V     C        {start} {end} {start} {end}")
            lines.append(f"* FROM CLIP NAME: {clip}")
        yield "\r\n".join([*lines, ""])


def chapters_of(segments: Sequence["Segment"], clock: "Clock") -> str:
    """WebVTT chapters: each segment lasts until its last frame has been shown."""
    lines = ["WEBVTT", ""]
    for number, segment in enumerate(segments, 1):
        end = clock.timestamp_ms(segment.end_frame + 1) if segment.end_frame + 1 < clock.count else clock.end_ms
        if segment.group == "cue" and number < len(segments):
            end = segments[number].start_ms  # neighbouring cues share a frame, chapters a moment
        span = f"{_moment(segment.start_ms)} --> {_moment(max(end, segment.start_ms + 1))}"
        lines += [str(number), span, segment.title, ""]
    return "\n".join(lines)


def _moment(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
