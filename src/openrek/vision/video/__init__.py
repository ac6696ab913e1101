"""Stored video: frames with exact numbers and times, time codes, shots, cues and the analysis that feeds on one decode.

Needs PyAV: `pip install 'openrek[video]'`.
"""

try:
    import av as _av  # noqa: F401 - only whether it is there
except ImportError as error:
    raise ImportError("reading video needs PyAV, which is not installed: pip install 'openrek[video]'") from error

from openrek.vision.video.analysis import Analyser, Interval, analyse, observe
from openrek.vision.video.errors import (
    DamagedVideoError,
    NoVideoError,
    UnreadableVideoError,
    UnsupportedCodecError,
    UnsupportedFormatError,
    VideoError,
    VideoTooLargeError,
)
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import AudioStream, VideoInfo, check_profile
from openrek.vision.video.reader import Chunk, VideoReader

__all__ = [
    "Analyser",
    "AudioStream",
    "Chunk",
    "DamagedVideoError",
    "Frame",
    "Interval",
    "NoVideoError",
    "UnreadableVideoError",
    "UnsupportedCodecError",
    "UnsupportedFormatError",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "VideoTooLargeError",
    "analyse",
    "check_profile",
    "observe",
]
