"""Opening a container and reading its packets, without trusting it."""

import errno
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
from av.error import FFmpegError
from av.sidedata.sidedata import SideData
from av.stream import Disposition

from openrek.vision.video.errors import NoVideoError, UnreadableVideoError

_BUFFER = 1 << 18
_STRANGEST_ASPECT = 8
_GIVE_UP = 20
_REFUSED = frozenset({"hls", "dash", "concat", "tty", "webvtt", "srt", "ass", "data", "image2", "sdp", "rtsp"})
"""Demuxers that open other files or addresses, or that read any text as a video."""

_ORIENTATIONS = {
    # (a, b, c, d) of the display matrix, signs only -> EXIF orientation
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}

_ROTATIONS = {0: 1, 90: 8, -90: 6, 180: 3, -180: 3}

_STILL_PICTURE_CODECS = frozenset({"png", "apng", "mjpeg", "tiff", "webp", "jpeg2000", "jpegls", "jpegxl", "gif"})
"""Their frames may carry a named colour profile, and PyAV 18 frees such names twice once side data was asked for."""


class _Source:
    """A file as FFmpeg reads it. A place that no file has, which broken ones name, is an error that FFmpeg lives with;
    as an exception it would be the end of reading."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self.seekable = file.read, file.tell, file.seekable
        self._seek = file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except ValueError:
            return -errno.EINVAL
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return -errno.EINVAL


def open_container(file: BinaryIO) -> av.container.InputContainer:
    """Open a binary file. Raises UnreadableVideoError."""
    start = file.read(1)
    file.seek(0)
    if not start:
        raise UnreadableVideoError("the file is empty")
    try:
        container = av.open(
            _Source(file),
            "r",
            buffer_size=_BUFFER,
            metadata_errors="replace",  # titles in other encodings than UTF-8 are common, and nobody reads them here
            options={"protocol_whitelist": "none"},
        )
    except FFmpegError as error:
        raise UnreadableVideoError(
            f"the file is no video that can be opened: truncated, damaged or of an unknown format ({error.strerror})"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise UnreadableVideoError(f"the file is no video that can be opened ({error})") from error
    if _REFUSED & set(container.format.name.split(",")):
        name = container.format.long_name or container.format.name
        container.close()
        raise UnreadableVideoError(f"the file is no video but {name}")
    return container


def film(container: av.container.InputContainer) -> av.VideoStream:
    """The video stream that is looked at: the first one that is no cover picture of the sound. Raises NoVideoError."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    kinds = sorted({"cover picture" if stream.type == "video" else stream.type for stream in container.streams})
    raise NoVideoError(f"the file has no video stream{', only ' if kinds else ' and no other'}{' and '.join(kinds)}")


def packets(
    container: av.container.InputContainer, *streams: av.stream.Stream
) -> Iterator["av.Packet[av.stream.Stream] | None"]:
    """The packets of these streams in stored order, the flushing ones last; None where some could not be read.

    Reading goes on after damage, until nothing comes any more.
    """
    failures = 0
    while failures < _GIVE_UP:
        try:
            for packet in container.demux(*streams):
                failures = 0
                yield packet
            return
        except IndexError:  # a packet of a stream that the file's head did not announce: none of these
            continue
        except FFmpegError:
            failures += 1
            yield None
    for stream in streams:  # what the decoder still holds
        flush = av.Packet()
        flush.stream = stream
        yield flush


def display_orientation(frame: av.VideoFrame, codec: str) -> int:
    """How to turn a frame upright, as EXIF orientation 1..8, by its display matrix (ISO/IEC 14496-12 8.2.2)."""
    if codec in _STILL_PICTURE_CODECS:
        return _ROTATIONS.get(round(frame.rotation / 90) * 90, 1)
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    largest = max(abs(a), abs(b), abs(c), abs(d)) or 1
    return _ORIENTATIONS.get((round(a / largest), round(b / largest), round(c / largest), round(d / largest)), 1)


def sample_aspect(frame: av.VideoFrame, stream: av.VideoStream) -> tuple[int, int]:
    """Width and height of the stored picture stretched to square pixels; only ever enlarged."""
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if aspect <= 0 or not Fraction(1, _STRANGEST_ASPECT) <= aspect <= _STRANGEST_ASPECT:
        aspect = Fraction(1)
    if aspect >= 1:
        return max(1, round(frame.width * aspect)), frame.height
    return frame.width, max(1, round(frame.height / aspect))
