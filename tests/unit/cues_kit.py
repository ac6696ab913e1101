"""Small clips with and without sound, made by the tests of technical cues."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video import Frame, VideoReader
from openrek.vision.video.analysis import Interval, analyse
from openrek.vision.video.cues import BlackRule, CueAnalyser

SOUND_RATE = 48_000


def frame_of(luma: NDArray[np.integer], *, pixels: str = "yuv420p", full: bool = False, matrix: int = 1,
             chroma: tuple[int, int] | None = None) -> Frame:  # fmt: skip
    """A frame with exactly these luma samples. luma: (H, W), even sides; chroma: Cb and Cr everywhere."""
    height, width = luma.shape
    native = av.VideoFrame(width, height, pixels)
    bits = native.format.components[0].bits
    middle = 1 << (bits - 1)
    kind = np.uint8 if bits == 8 else np.uint16
    for index, plane in enumerate(native.planes):
        stored = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
        stored.setflags(write=True)
        stored[:] = 0 if index == 0 else (chroma or (middle, middle))[index - 1]
        if index == 0:
            stored[:, :width] = luma
    native.color_range = 2 if full else 1
    native.colorspace = matrix
    return Frame(native, 0, Fraction(0), 0)


def write_clip(path: Path, frames: Iterable[NDArray[np.uint8]], *, rate: Fraction = Fraction(25),
               sound: NDArray[np.float32] | None = None, second: NDArray[np.float32] | None = None,
               times: Iterable[int] | None = None, pixels: str = "yuv420p") -> Path:  # fmt: skip
    """Encode RGB frames as H.264.

    sound, second: mono samples of one or two audio streams; times: of each frame in ms, where they are not regular.
    """
    frames = list(frames)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=rate)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pixels
        video.options = {"crf": "20", "preset": "ultrafast", "g": "12", "threads": "1"}
        if times is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        sounds = [samples for samples in (sound, second) if samples is not None]
        heard = [out.add_stream("aac", rate=SOUND_RATE, layout="mono") for _ in sounds]
        for number, pixel in enumerate(frames):
            native = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixel), "rgb24")
            if times is not None:
                native.pts, native.time_base = list(times)[number], Fraction(1, 1000)
            out.mux(video.encode(native))
        out.mux(video.encode())
        for stream, samples in zip(heard, sounds, strict=True):
            for start in range(0, len(samples), 1024):
                block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
                out.mux(stream.encode(block))
            out.mux(stream.encode())
    return path


def cues_of(
    path: Path, rule: BlackRule | None = None, *, seconds: float = 60.0, least: float = 0.5
) -> tuple[Interval, ...]:
    """The cues of a clip, observed in chunks of this length."""
    with VideoReader.open(path) as reader:
        found: tuple[Interval, ...] = analyse(reader, [CueAnalyser(rule, least)], chunk_seconds=seconds)["cues"]
    return found


def short(cues: Iterable[Interval]) -> list[tuple[str, int, int]]:
    """(kind, start, end) of each cue."""
    return [(str(cue.kind), cue.start, cue.end) for cue in cues]
