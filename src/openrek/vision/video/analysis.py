"""One decode feeds every analyser.

An analysis is many **observations** and one **decision**. Observations are made frame by frame and depend on nothing
but the frames shown, so a video may be cut into chunks that are observed in any order, on any machine; the decision
goes through all observations in frame order. Any chunking therefore gives the same result, to the byte.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from openrek.vision.video.clock import Clock
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo
from openrek.vision.video.reader import VideoReader

_BUNDLE, _BUNDLES = 4, 2
"""Decoded frames are handed over four at a time, and two such bundles may wait: changing threads for every frame costs
more than looking at some."""

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
        """The result, from all (frame number, observation) in frame order; frames without an observation are absent."""


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
    last = reader.info.frames if stop is None else min(stop, reader.info.frames)
    lead = max((analyser.lead for analyser in analysers if analyser.step is None), default=0)
    found: dict[str, list[tuple[int, Observation]]] = {analyser.name: [] for analyser in analysers}
    clock = reader.info.clock
    for analyser in analysers:
        analyser.begin(reader.info)
    for frame in _ahead(reader.frames(max(0, start - lead), last)):
        for analyser in analysers:
            if frame.index < start - (analyser.lead if analyser.step is None else 0):
                continue
            if not sampled(clock, frame.index, analyser.step):
                continue
            seen = analyser.observe(frame)
            if seen is not None and frame.index >= start:
                found[analyser.name].append((frame.index, seen))
        if progress is not None and frame.index >= start:
            progress(frame.index)
    return found


def analyse(
    reader: VideoReader,
    analysers: Sequence[Analyser],
    *,
    progress: Callable[[int], None] | None = None,
    chunk_seconds: float = 60.0,
) -> dict[str, Any]:
    """Observe a whole video chunk by chunk and decide; results by the analyser's name. Raises VideoError.

    Memory grows with the packed observations only, a few hundred bytes a second of video.
    """
    from openrek.vision.video.packing import pack, unpack

    blobs: dict[str, list[bytes]] = {analyser.name: [] for analyser in analysers}
    for chunk in reader.chunks(chunk_seconds):
        seen = observe(reader, analysers, chunk.start, chunk.stop, progress=progress)
        for name, observations in seen.items():
            blobs[name].append(pack(observations))
    info = reader.info
    if any(analyser.hears for analyser in analysers):
        info = reader.info_with_loudness()
    return {
        analyser.name: analyser.decide(info, (row for blob in blobs[analyser.name] for row in unpack(blob)))
        for analyser in analysers
    }


def _ahead(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, produced by a thread that runs a few frames ahead."""
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
            while (bundle := list(islice(frames, _BUNDLE))) and put(bundle):
                pass
        except BaseException as error:
            end = error
        finally:
            frames.close()  # type: ignore[attr-defined] # a generator, as the reader makes it
            put(end)

    thread = threading.Thread(target=produce, name="decode", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item
    finally:
        stopping.set()
        thread.join()
