"""What can be wrong with a video."""


class VideoError(ValueError):
    """Base of all failures to open or read a video; the message says what is wrong, in one sentence."""


class UnreadableVideoError(VideoError):
    """The bytes are no video file that can be opened: empty, truncated before its tables, or of no known format."""


class NoVideoError(VideoError):
    """The file has no video stream, only sound or data."""


class DamagedVideoError(VideoError):
    """The file has a video stream, but not one of its frames can be decoded."""


class UnsupportedFormatError(VideoError):
    """The container is not one of those asked for."""


class UnsupportedCodecError(VideoError):
    """The video stream's codec is unknown, or not one of those asked for."""


class VideoTooLargeError(VideoError):
    """The video's picture is larger than the limit."""
