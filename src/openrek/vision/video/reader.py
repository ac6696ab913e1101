"""Reading a video: every frame with its exact number and presentation time.

What holds for every file:

- Frames are numbered from 0 in presentation order, by their presentation times; a frame that cannot be decoded keeps
  its number, so numbers do not depend on where reading started.
- Frames that the container's edit list leaves out are left out; a late start is kept in the times, and where the first
  frame is shown before time 0, times count from it.
- The picture is turned upright by the display matrix. `rgb` gives square pixels; `VideoInfo.width` and `height` are
  stored pixels.
- Damaged packets are skipped and counted. Frames come in ascending order even where times are broken.
- A file that does not say when its frames are shown (AVI) has them counted as they come out of the decoder.
- The file is opened by us and handed to FFmpeg as a stream of bytes: nothing in it can name another file or address.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Discard

from openrek.vision.image.orientation import swaps_sides
from openrek.vision.video.clock import regular_clock
from openrek.vision.video.errors import (
    DamagedVideoError,
    UnreadableVideoError,
    UnsupportedCodecError,
    VideoError,
    VideoTooLargeError,
)
from openrek.vision.video.frame import Frame
from openrek.vision.video.index import Key, PacketIndex, read_index
from openrek.vision.video.info import AudioStream, VideoInfo
from openrek.vision.video.sound import Loudness, LoudnessMeter, loudest
from openrek.vision.video.stream import display_orientation, film, open_container, packets, sample_aspect

MAX_PIXELS = 100_000_000
LOUDNESS_STEP = Fraction(1, 50)

_UNTIMED = frozenset({"avi"})
"""Containers that only say when packets are decoded; FFmpeg makes up when frames are shown, and wrongly where they are
stored in another order (H.264 with B-frames)."""
_FIRST_FRAMES = 50
"""Frames that tell whether the times of another container are such."""
_UNSEEKABLE = frozenset({"mpeg"})
"""Containers that say only of some frames when they are shown (MPEG program streams): what FFmpeg works out for the
others depends on where it began."""
_KEYS_BACK = 2
"""Key frames before the nearest one that reading falls back on: a stream that is refreshed bit by bit (H.264 recovery
points) calls frames key frames from which the picture becomes whole only later."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames start..stop-1 of a video; `start` is a key frame, so that reading can begin there."""

    start: int
    stop: int


class VideoReader:
    """A video file, opened. Use as a context manager.

    Each pass (`frames`, `loudness`) opens the file anew, so passes over a path are independent of each other; a file
    object has one position and therefore takes one pass at a time.
    """

    def __init__(
        self,
        source: Path | BinaryIO,
        *,
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
        progress: Callable[[], None] | None = None,
    ) -> None:
        """source: a path, or a binary file that can seek, which stays the caller's to close.

        threads: of the decoder; None lets FFmpeg choose (one a core). progress: called again and again while the file
        is gone through, which takes long where it is long or slow to read; may raise to stop.
        Raises VideoError where no frame can be read, and OSError where the file cannot be.
        """
        self._source = source
        self._threads = threads
        self._progress = progress
        self._opened: list[BinaryIO] = []
        self._failures = 0
        self._lost: set[int] = set()
        try:
            self._first = self._decode_first(max_pixels)
            self._index, self.info = self._describe()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(
        cls,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
        progress: Callable[[], None] | None = None,
    ) -> "VideoReader":
        """Open a file by its path, or a binary file that can seek. Raises VideoError and OSError."""
        if isinstance(source, (str, os.PathLike)):
            source = Path(source)
        return cls(source, threads=threads, max_pixels=max_pixels, progress=progress)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def corrupt(self) -> int:
        """Packets that could not be read or decoded, of all that was read so far; how often changes nothing."""
        return self._index.damaged + len(self._lost)

    def corrupt_in(self, start: int, stop: int) -> int:
        """How many of frames start..stop-1, where they were read, could not be decoded."""
        return sum(start <= frame < stop for frame in self._lost)

    @property
    def unnumbered(self) -> int:
        """Packets that could not be read, of the whole file; no frame's number stands for them."""
        return self._index.damaged

    def close(self) -> None:
        """Close every file this reader opened."""
        while self._opened:
            self._opened.pop().close()

    def frames(self, start: int = 0, stop: int | None = None) -> Generator[Frame]:
        """Decode frames start..stop-1 (to the end without `stop`), in presentation order.

        Reading begins at the key frame at or before `start`. A frame that cannot be decoded is left out.
        Raises DamagedVideoError where no frame of a whole pass can be decoded.
        """
        last = self._index.count if stop is None else min(stop, self._index.count)
        if start >= last:
            return
        none_yet = start == 0 and stop is None
        failures = self._failures
        missing: list[int] = []
        expected = start
        with closing(self._numbered_from(start, last)) as numbered:
            for number, native in numbered:
                none_yet = False
                missing.extend(range(expected, number))
                expected = number + 1
                yield self._frame(native, number)
        if self._failures > failures:  # else what is missing is no frame of its own, but one of two fields
            self._lost.update(missing, range(expected, last))
        if none_yet:
            raise DamagedVideoError("not one frame of the video can be decoded")

    def firsts(self, spans: Sequence[tuple[int, int]]) -> Iterator[Frame | None]:
        """Of each span of frames start..stop-1 the first frame that can be decoded; None where none can.

        spans: in order, none overlapping another.
        """
        if self._index.keys:
            for start, stop in spans:
                with closing(self.frames(start, stop)) as some:
                    yield next(some, None)
            return
        with closing(self.frames()) as every:  # nothing can be skipped, so they are gone through once
            frame = next(every, None)
            for start, stop in spans:
                while frame is not None and frame.index < start:
                    frame = next(every, None)
                yield frame if frame is not None and frame.index < stop else None

    def chunks(self, seconds: float = 60.0) -> list[Chunk]:
        """Cut the video at key frames into chunks of at least this length (the last may be shorter).

        Reading all chunks gives exactly the frames of one whole pass, with the same numbers. A file whose frames have
        no reliable times is one chunk.
        """
        least = max(1, round(seconds * float(self.info.rate)))
        starts = [0]
        for key in self._index.keys:
            if key.frame - starts[-1] >= least:
                starts.append(key.frame)
        return [Chunk(a, b) for a, b in zip(starts, [*starts[1:], self._index.count], strict=True)]

    def loudness(self, step: Fraction = LOUDNESS_STEP) -> Loudness:
        """Decode the sound and measure its level in blocks of `step` seconds, up to the end of the last frame; no block
        without an audio stream."""
        container, file = self._container()
        try:
            streams = list(container.streams.audio)
            streams = [stream for stream in streams if stream.codec_context is not None]
            end = Fraction(self.info.duration_ms, 1000)
            meters = {stream.index: LoudnessMeter(step, end) for stream in streams}
            if not meters:
                return Loudness(step, np.zeros(0, np.float32))
            zero = float(self._zero)
            film(container).discard = Discard.all  # spare the demuxer the pictures
            for packet in self._packets(container, *streams):
                if packet is None:
                    continue
                try:
                    decoded = packet.decode()
                except FFmpegError:
                    continue
                for frame in cast("list[av.AudioFrame]", decoded):
                    if (time := frame.time) is not None:
                        meters[packet.stream_index].add(frame, time - zero)
            return Loudness(step, loudest(meter.dbfs() for meter in meters.values()))
        finally:
            container.close()
            self._release(file)

    def info_with_loudness(self) -> VideoInfo:
        """`info` with the loudness of the sound, measured at the first call."""
        if self.info.loudness is None:
            self.info = replace(self.info, loudness=self.loudness())
        return self.info

    def _numbered_from(self, start: int, last: int) -> Generator[tuple[int, av.VideoFrame]]:
        """Frames start..last-1 with their numbers, read from the nearest key frame that really gives frame `start`."""
        keys: Sequence[Key | None] = self._index.keys_before(start, 1 + _KEYS_BACK) or [None]
        for place, key in enumerate(keys, 1):
            with closing(self._numbered(key, start, last)) as found:
                first = next(found, None)
                if place < len(keys) and (first is None or first[0] > start):
                    continue
                if first is not None:
                    yield first
                    yield from found
                return

    def _numbered(self, key: Key | None, start: int, last: int) -> Generator[tuple[int, av.VideoFrame]]:
        """Frames start..last-1 with their numbers, read from a key frame, or from the file's first packet on."""
        container, file = self._container()
        try:
            stream = film(container)
            reached = key is None or key.frame == 0 or self._seek(container, stream, key)
            if reached:
                for number, native in _ascending(self._counted(container, stream), last):
                    if number >= start:
                        yield number, native
        finally:
            container.close()
            self._release(file)
        if not reached:
            yield from self._numbered(None, start, last)

    def _seek(self, container: av.container.InputContainer, stream: av.VideoStream, key: Key) -> bool:
        """Whether the place could be reached; a damaged index may lead nowhere in a file that can be read through."""
        self._prepare(container, stream)
        try:
            container.seek(key.dts, stream=stream, backward=True)
        except FFmpegError:
            return False
        return True

    def _counted(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        number = -1
        for native in self._decoded(container, stream):
            number = self._index.number(native.pts, number)
            yield number, native

    def _frame(self, native: av.VideoFrame, number: int) -> Frame:
        clock = self.info.clock
        time: Fraction | None = None
        if self._index.pts is None and not clock.constant:
            time = Fraction(clock.timestamp_ms(number), 1000)
        elif native.pts is not None and native.time_base is not None and not clock.constant:
            time = native.pts * native.time_base - self._zero
        return Frame(native, number, time, None, self._orientation, self._display, clock)

    def _share_out(self, stream: av.VideoStream) -> None:
        """Let several frames be decoded at once; it has to be said before the first one is."""
        if not stream.codec_context.is_open:
            stream.thread_type = "AUTO"
            if self._threads is not None:
                stream.codec_context.thread_count = self._threads

    def _decoded(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        self._share_out(stream)
        for packet in packets(container, stream):
            if packet is None or packet.is_corrupt:
                self._failures += 1
                continue
            try:
                decoded = packet.decode()
            except FFmpegError:
                self._failures += 1
                continue
            yield from cast("list[av.VideoFrame]", decoded)

    def _decode_first(self, max_pixels: int) -> av.VideoFrame:
        container, file = self._container()
        try:
            stream = film(container)
            if stream.codec_context is None:
                raise UnsupportedCodecError("the video stream's codec is unknown")
            width, height = stream.width, stream.height
            if width * height > max_pixels:
                raise VideoTooLargeError(
                    f"the video has {width} x {height} pixels a frame; at most {max_pixels:,} are decoded"
                )
            start = container.start_time or 0
            # broadcast streams count from an arbitrary moment
            self._zero = Fraction(start, av.time_base) if container.format.name == "mpegts" else Fraction(0)
            stream.thread_count = 1
            for native in self._decoded(container, stream):
                self._orientation = display_orientation(native, stream.codec_context.codec.canonical_name)
                self._display = sample_aspect(native, stream)
                return native
        finally:
            container.close()
            self._release(file)
        raise DamagedVideoError("not one frame of the video can be decoded")

    def _prepare(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        """Let the decoder see the file's first packet before it begins elsewhere.

        It may say which version of x264 made the file, and some made 4:4:4 films that can only be decoded by who knows.
        A palette comes with it alone.
        """
        if stream.codec_context.name == "h264" or self._first.format.name == "pal8":
            self._share_out(stream)
            with suppress(FFmpegError, StopIteration):
                next(container.demux(stream)).decode()
            stream.codec_context.flush_buffers()

    def _shown_backwards(self) -> bool:
        """Whether the first frames, in the order in which the decoder gives them, have times that go back."""
        container, file = self._container()
        try:
            before = None
            for native in islice(self._decoded(container, film(container)), _FIRST_FRAMES):
                if native.pts is not None and before is not None and native.pts < before:
                    return True
                before = native.pts
            return False
        finally:
            container.close()
            self._release(file)

    def _describe(self, timed: bool = True) -> tuple[PacketIndex, VideoInfo]:
        """Read all packets, and what the container says. timed: whether its presentation times are its own."""
        container, file = self._container()
        try:
            stream = film(container)
            context = stream.codec_context
            hints = tuple(
                Fraction(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate and 0 < rate <= 1000
            )
            timed = timed and not _UNTIMED & set(container.format.name.split(","))
            time_base = Fraction(stream.time_base or 1)
            index = read_index(self._packets(container, stream), time_base, self._zero, hints, timed=timed)
            if _UNSEEKABLE & set(container.format.name.split(",")):
                index = replace(index, keys=())
            if index.pts is not None and index.stored_in_order and context.has_b_frames and self._shown_backwards():
                return self._describe(timed=False)
            clock = index.clock
            if clock is not None and clock.start < 0:  # times in results are not negative
                self._zero += clock.start
                return self._describe(timed)
            if clock is None:
                rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
                clock = regular_clock(rate, max(index.count, 1))
            first = self._first
            width, height = first.width, first.height
            display = self._display
            if swaps_sides(self._orientation):
                width, height, display = height, width, (display[1], display[0])
            audio = tuple(
                AudioStream(
                    sound.codec_context.codec.canonical_name,
                    _milliseconds(sound.duration, sound.time_base, container.duration) or clock.end_ms,
                    sound.sample_rate,
                    sound.channels,
                )
                for sound in container.streams.audio
                if sound.codec_context is not None
            )
            info = VideoInfo(
                codec=context.codec.canonical_name,
                format=container.format.long_name,
                containers=frozenset(container.format.name.split(",")),
                duration_ms=clock.end_ms,
                width=width,
                height=height,
                display_width=display[0],
                display_height=display[1],
                color_range="FULL" if Frame(first, 0).full_range else "LIMITED",
                pixel_format=first.format.name,
                clock=clock,
                audio=audio,
            )
            return index, info
        finally:
            container.close()
            self._release(file)

    def _packets(
        self, container: av.container.InputContainer, *streams: av.stream.Stream
    ) -> Iterator["av.Packet[av.stream.Stream] | None"]:
        for packet in packets(container, *streams):
            if self._progress is not None:
                self._progress()
            yield packet

    def _container(self) -> tuple[av.container.InputContainer, BinaryIO]:
        if isinstance(self._source, Path):
            file: BinaryIO = self._source.open("rb")
            self._opened.append(file)
        else:
            file = self._source
            file.seek(0)
        try:
            return open_container(file), file
        except VideoError:
            self._release(file)
            raise

    def _release(self, file: BinaryIO) -> None:
        if file in self._opened:
            self._opened.remove(file)
            file.close()


def _ascending(numbered: Iterator[tuple[int, av.VideoFrame]], last: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Those before frame `last` whose numbers ascend; where times are broken, a frame that is ahead of the next one, or
    behind the last one, is left out."""
    held: tuple[int, av.VideoFrame] | None = None
    given = -1
    for number, native in numbered:
        if number <= given or (held is not None and number == held[0]):
            continue
        if held is not None and held[0] < number:
            if held[0] >= last:  # two of them: this is no broken time, but the end
                return
            yield held
            given = held[0]
        held = number, native
    if held is not None and held[0] < last:
        yield held


def _milliseconds(duration: int | None, time_base: Fraction | None, container_duration: int | None) -> int:
    if duration is not None and time_base is not None:
        return int(duration * time_base * 1000)
    return (container_duration or 0) // 1000


__all__ = ["LOUDNESS_STEP", "MAX_PIXELS", "Chunk", "UnreadableVideoError", "VideoReader"]
