"""One decode feeds every analyser.

An analysis is many **observations** and one **decision**. Observations are made frame by frame and depend on nothing
but the frames shown, so a video may be cut into chunks that are observed in any order, on any machine; the decision
goes through all observations in frame order. Any chunking therefore gives the same result, to the byte.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Protocol, runtime_checkable

import cv2

from openrek.vision.video.clock import Clock
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo
from openrek.vision.video.packing import Packer, unpack
from openrek.vision.video.reader import VideoReader
from openrek.vision.video.shelf import Shelf

_BUNDLE, _BUNDLES = 16, 1
"""Decoded frames are handed over a bundle at a time, and one bundle may wait: changing threads for every frame costs
more than looking at some. A bundle is at most so many frames of one size ..."""
_BUNDLE_PIXELS = 8_000_000
"""... and as many as have so many pixels together, but at least one."""

Observation = Any
"""What an analyser makes of a frame: plain values, numpy arrays, or frozen dataclasses of them (see `packing`)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Frames start..end, both included, that are something; confidence 0..1."""

    kind: str
    start: int
    end: int
    confidence: float


@runtime_checkable
class Analyser(Protocol):
    """Something that looks at a video. One instance serves one run of frames at a time."""

    name: str
    """Identifies its observations; unique among analysers."""
    version: int
    """Goes up when observations change, so that kept ones are not mixed with new ones."""
    step: Fraction | None
    """Seconds between the frames it is shown; None for every frame (see `sampled`)."""
    lead: int
    """How many frames before a chunk it must be shown too (for differences); without meaning where `step` is set."""
    hears: bool
    """Whether `decide` needs `VideoInfo.loudness`."""

    def begin(self, info: VideoInfo) -> None:
        """Forget all frames shown so far; a run of consecutive frames follows."""

    def observe(self, frame: Frame) -> Observation | None:
        """Look at a frame. May depend on up to `lead` frames before it in the same run, and on nothing else."""

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, Observation]]) -> Any:
        """The result, from all (frame number, observation) in frame order; frames without an observation are absent.

        They can be gone through more than once, and need not fit into memory.
        """


@runtime_checkable
class BundleAnalyser(Analyser, Protocol):
    """An analyser of every frame (`step` is None) that looks at a bundle of them in less time than at each alone."""

    def observe_all(self, frames: Sequence[Frame]) -> Sequence[Observation | None]:
        """`observe` of consecutive frames of one size and format; how they are bundled changes nothing."""


def sampled(clock: Clock, frame: int, step: Fraction | None) -> bool:
    """Whether a frame is looked at: every frame without a step, else the frames shown at 0, step, 2 step ... seconds.

    The first frame is always looked at. It depends on the video's clock alone, never on where reading began.
    """
    if step is None or frame == 0:
        return True
    if clock.milliseconds is not None:
        now = Fraction(clock.timestamp_ms(frame), 1000)
        following = clock.timestamp_ms(frame + 1) if frame + 1 < clock.count else clock.end_ms
        after = Fraction(following, 1000)
    else:
        now, after = clock.start + frame / clock.rate, clock.start + (frame + 1) / clock.rate
    return -(-now // step) * step < after


class Cancelled(Exception):
    """The analysis was stopped by whoever asked for it."""


class _OneThread:
    """While anyone is within, OpenCV works in one thread: frames are too small to share out, and decoding needs the
    cores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._within:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._within += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                cv2.setNumThreads(self._before)


_one_thread = _OneThread()

Keep = Callable[[str, int, Observation], None]
"""Told the analyser's name, the frame's number, and what was observed."""


def observe(
    reader: VideoReader,
    analysers: Sequence[Analyser],
    start: int = 0,
    stop: int | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> dict[str, list[tuple[int, Observation]]]:
    """Show frames start..stop-1 to all analysers, decoding each frame once. Decoding runs ahead in a thread of its own.

    progress: called with the number of each finished frame; may raise (`Cancelled`, say) to stop.
    Returns, by the analyser's name, (frame number, observation) in frame order. Raises VideoError.
    """
    found: dict[str, list[tuple[int, Observation]]] = {analyser.name: [] for analyser in analysers}
    _show(reader, analysers, start, stop, progress, lambda name, frame, seen: found[name].append((frame, seen)))
    return found


def observe_packed(
    reader: VideoReader,
    analysers: Sequence[Analyser],
    start: int = 0,
    stop: int | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> dict[str, bytes]:
    """`observe`, with the observations packed (see `packing`) as they are made, so that they take little memory."""
    found = {analyser.name: Packer() for analyser in analysers}
    _show(reader, analysers, start, stop, progress, lambda name, frame, seen: found[name].add(frame, seen))
    return {name: packer.packed() for name, packer in found.items()}


def _show(
    reader: VideoReader,
    analysers: Sequence[Analyser],
    start: int,
    stop: int | None,
    progress: Callable[[int], None] | None,
    keep: Keep,
) -> None:
    last = reader.info.frames if stop is None else min(stop, reader.info.frames)
    first = {one.name: start - (one.lead if one.step is None else 0) for one in analysers}
    bundled = [one for one in analysers if isinstance(one, BundleAnalyser)]
    others = [one for one in analysers if one not in bundled]
    clock = reader.info.clock
    for analyser in analysers:
        analyser.begin(reader.info)
    with _one_thread:
        for bundle in _ahead(reader.frames(max(0, min(first.values(), default=start)), last)):
            for one in bundled:
                shown = [frame for frame in bundle if frame.index >= first[one.name]]
                for frame, seen in zip(shown, one.observe_all(shown) if shown else (), strict=True):
                    if seen is not None and frame.index >= start:
                        keep(one.name, frame.index, seen)
            for frame in bundle:  # frame by frame, so that analysers can share what models say of one
                for analyser in others:
                    if frame.index >= first[analyser.name] and sampled(clock, frame.index, analyser.step):
                        seen = analyser.observe(frame)
                        if seen is not None and frame.index >= start:
                            keep(analyser.name, frame.index, seen)
                if progress is not None and frame.index >= start:
                    progress(frame.index)


class Observations:
    """All observations of an analyser in frame order, to be gone through as often as need be: `rows` begins anew."""

    def __init__(self, rows: Callable[[], Iterator[tuple[int, Observation]]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[int, Observation]]:
        return self._rows()


def analyse(
    reader: VideoReader,
    analysers: Sequence[Analyser],
    *,
    progress: Callable[[int], None] | None = None,
    chunk_seconds: float = 60.0,
) -> dict[str, Any]:
    """Observe a whole video chunk by chunk and decide; results by the analyser's name. Raises VideoError.

    Observations wait in a temporary file, so that memory does not grow with the video.
    """
    kept = {analyser.name: Shelf() for analyser in analysers}
    for chunk in reader.chunks(chunk_seconds):
        for name, packed in observe_packed(reader, analysers, chunk.start, chunk.stop, progress=progress).items():
            kept[name].add(packed)
    info = reader.info
    if any(analyser.hears for analyser in analysers):
        info = reader.info_with_loudness()
    return {one.name: one.decide(info, Observations(partial(_rows, kept[one.name]))) for one in analysers}


def _rows(shelf: Shelf) -> Iterator[tuple[int, Observation]]:
    return (row for packed in shelf.items() for row in unpack(packed))


def _ahead(frames: Generator[Frame]) -> Iterator[list[Frame]]:
    """The same frames in bundles, produced by a thread that runs ahead."""
    waiting: queue.Queue[list[Frame] | BaseException | None] = queue.Queue(_BUNDLES)
    stopping = threading.Event()

    def put(item: list[Frame] | BaseException | None) -> bool:
        while not stopping.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        end: BaseException | None = None
        try:
            for bundle in _bundles(frames):
                if not put(bundle):
                    break
        except BaseException as error:
            end = error
        finally:
            frames.close()
            put(end)

    thread = threading.Thread(target=produce, name="decode", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopping.set()
        thread.join()


def _bundles(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Consecutive frames of one size and format."""
    bundle: list[Frame] = []
    most, shape = 0, None
    for frame in frames:
        native = frame.native
        now = native.width, native.height, native.format.name
        if bundle and (len(bundle) >= most or now != shape):
            yield bundle
            bundle = []
        if now != shape:
            shape, most = now, max(1, min(_BUNDLE, _BUNDLE_PIXELS // (native.width * native.height)))
        bundle.append(frame)
    if bundle:
        yield bundle
