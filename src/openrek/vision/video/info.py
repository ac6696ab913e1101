"""What is known of a video beside its pictures."""

from dataclasses import dataclass, field
from fractions import Fraction

from openrek.vision.video.clock import Clock
from openrek.vision.video.errors import UnsupportedCodecError, UnsupportedFormatError
from openrek.vision.video.sound import Loudness

_AWS_CONTAINERS = frozenset({"mov", "mp4", "avi"})


@dataclass(frozen=True, slots=True)
class AudioStream:
    """One audio stream: codec name ("aac"), length, samples a second, channels."""

    codec: str
    duration_ms: int
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """One video file.

    codec: FFmpeg's name ("h264"); format: the container's long name ("QuickTime / MOV"); containers: its short names.
    duration_ms: from the file's time 0 to the end of the last frame.
    width, height: stored pixels, turned upright by the display matrix; not stretched by the sample aspect.
    display_width, display_height: upright with square pixels, the shape that `Frame.rgb` gives.
    color_range: "FULL" or "LIMITED" (also where the file does not say).
    clock: frame numbers to times.
    loudness: of the sound, where it was measured (`VideoReader.loudness`).
    """

    codec: str
    format: str
    containers: frozenset[str]
    duration_ms: int
    width: int
    height: int
    display_width: int
    display_height: int
    color_range: str
    pixel_format: str
    clock: Clock
    audio: tuple[AudioStream, ...] = ()
    loudness: Loudness | None = field(default=None, repr=False)

    @property
    def rate(self) -> Fraction:
        """Frames a second, exactly; the average where it varies."""
        return self.clock.rate

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.clock.count


def check_profile(info: VideoInfo, aws: bool = True) -> None:
    """Hold a video to Rekognition's formats: H.264 in MP4, MOV or AVI.

    aws: False accepts every container and codec that FFmpeg reads. How long a video may be is the caller's to say.
    A sound track in another codec than AAC is accepted: nothing but the silence of black frames depends on it.
    Raises UnsupportedFormatError or UnsupportedCodecError.
    """
    if not aws:
        return
    if not info.containers & _AWS_CONTAINERS:
        raise UnsupportedFormatError(f"the container is {info.format}; MP4 and MOV are supported")
    if info.codec != "h264":
        raise UnsupportedCodecError(f"the video codec is {info.codec}; h264 is supported")
