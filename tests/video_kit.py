"""Small videos made for tests: every frame carries its own number, so that a test can read back what it was given."""

import io
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def numbered(number: int, width: int = 96, height: int = 64) -> Pixels:
    """A grey picture with its number in 12 bright or dark blocks along the top (bit 0 at the left)."""
    picture = np.full((height, width, 3), 90, np.uint8)
    size = width // 12
    for bit in range(12):
        picture[:size, bit * size : (bit + 1) * size] = 230 if number >> bit & 1 else 20
    return picture


def read_number(picture: Pixels) -> int:
    """The number in a picture of `numbered`."""
    size = picture.shape[1] // 12
    blocks = picture[2 : size - 2, : 12 * size].mean(axis=(0, 2)).reshape(12, size)[:, 2 : size - 2].mean(axis=1)
    return sum(1 << bit for bit, light in enumerate(blocks) if light > 125)


def encode(
    pictures: Iterable[Pixels],
    *,
    rate: Fraction = Fraction(25),
    format: str = "mp4",
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    tone: Sequence[tuple[float, float]] = (),
    seconds_of_sound: float = 0.0,
    options: dict[str, str] | None = None,
) -> bytes:
    """A video of these pictures.

    times: presentation time of each picture in units of `time_base`; evenly spaced where absent.
    tone: (start, end) in seconds of a 440 Hz tone in an AAC track of `seconds_of_sound`, silent elsewhere.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "12", "g": "24"} | (options or {}))
        sound = container.add_stream("aac", rate=48000, layout="mono") if seconds_of_sound else None
        stream.pix_fmt = pixel_format
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = times[number] if times is not None else number
            frame.time_base = time_base or 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _encode_sound(container, sound, tone, seconds_of_sound)
    return buffer.getvalue()


def _encode_sound(
    container: av.container.OutputContainer, stream: av.AudioStream, tone: Sequence[tuple[float, float]], seconds: float
) -> None:
    time = np.arange(int(48000 * seconds)) / 48000
    audible = np.zeros(len(time), bool)
    for start, end in tone:
        audible |= (time >= start) & (time < end)
    wave = (np.sin(2 * np.pi * 440 * time) * 0.5 * audible).astype(np.float32)
    for start in range(0, len(wave), 1024):
        samples = np.ascontiguousarray(wave[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def with_matrix(video: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 whose picture is shown through the display matrix (a b; c d)."""
    changed = bytearray(video)
    at = changed.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times and id, reserved to volume
    struct.pack_into(">9i", changed, at, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return bytes(changed)
