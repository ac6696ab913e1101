"""A large PNG as a row of small ones, so that its pixels are never in memory all at once.

The picture's data is inflated bit by bit, and each strip of rows becomes a PNG of its own, stored without compression.
A row's filter may look at the row above it (ISO/IEC 15948, clause 9): each strip but the first therefore begins with
the last row of the one before, unfiltered, which is dropped once it is decoded.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image.errors import UnreadableImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_UNFILTERED = b"\0"
_PLAIN = {1: (8, 0), 2: (16, 0), 3: (8, 2), 4: (8, 6), 6: (16, 2), 8: (16, 6)}
"""Depth and colour type as which samples of so many bytes a pixel can be read unchanged, whatever they mean."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a picture without interlacing are stored. row_bytes: samples of a row, without its filter byte;
    pixel_bytes: the distance at which filters look, 1 for samples smaller than a byte."""

    width: int
    height: int
    depth: int
    colour: int
    row_bytes: int
    pixel_bytes: int


def decoded_strips(layout: Layout, others: bytes, data: Iterable[memoryview], rows: int) -> Iterator[NDArray[Any]]:
    """Strips of `rows` rows from the top, each as OpenCV gives it with IMREAD_UNCHANGED.

    others: the chunks that stand between header and data; data: the content of the data chunks.
    Raises UnreadableImageError.
    """
    above = b""
    left = layout.height
    for raw in _inflated(layout, data, rows):
        count = len(raw) // (1 + layout.row_bytes) + bool(above)
        picture = _read(layout.width, count, layout.depth, layout.colour, others, above + raw)
        if picture is None:
            raise damaged(layout.width, layout.height)
        left -= count - bool(above)
        yield picture[1:] if above else picture
        if left:
            if others or (layout.depth, layout.colour) != _PLAIN[layout.pixel_bytes]:
                depth, colour = _PLAIN[layout.pixel_bytes]
                picture = _read(layout.row_bytes // layout.pixel_bytes, count, depth, colour, b"", above + raw)
                assert picture is not None
            above = _UNFILTERED + _samples(picture[-1])


def damaged(width: int, height: int) -> UnreadableImageError:
    """The error for data that does not hold the picture."""
    return UnreadableImageError(
        f"the PNG is damaged: its data does not decode to the {width} x {height} pixels its header promises"
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">L", len(content)), kind, content, struct.pack(">L", checksum)))


def _inflated(layout: Layout, data: Iterable[memoryview], rows: int) -> Iterator[bytes]:
    """Rows with their filter bytes, `rows` at a time, exactly as many as the picture has."""
    stream = zlib.decompressobj()
    left = layout.height * (1 + layout.row_bytes)
    wanted = min(rows * (1 + layout.row_bytes), left)
    strip: list[bytes] = []
    try:
        for piece in _portions(data):
            rest: bytes | memoryview = piece
            while found := stream.decompress(rest, wanted or 1):
                rest = stream.unconsumed_tail
                if not left:
                    return  # more than the picture needs; libpng does not mind either
                strip.append(found)
                wanted -= len(found)
                if not wanted:
                    yield b"".join(strip)
                    left -= sum(map(len, strip))
                    wanted = min(rows * (1 + layout.row_bytes), left)
                    strip.clear()
    except zlib.error as error:
        raise UnreadableImageError(f"the PNG is damaged: {error}") from error
    if left:
        raise damaged(layout.width, layout.height)


def _portions(data: Iterable[memoryview]) -> Iterator[memoryview]:
    """The data in pieces of 64 KiB at most: what zlib does not use of one at once, it copies."""
    return (whole[start : start + 0x10000] for whole in data for start in range(0, len(whole), 0x10000))


def _read(width: int, height: int, depth: int, colour: int, others: bytes, rows: bytes) -> NDArray[Any] | None:
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0))
    png = b"".join((SIGNATURE, header, others, chunk(b"IDAT", zlib.compress(rows, 0)), chunk(b"IEND", b"")))
    try:
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return picture if picture is not None and picture.shape[:2] == (height, width) else None


def _samples(row: NDArray[Any]) -> bytes:
    """A row of grey or BGR(A) samples as PNG stores them."""
    stored = row if row.ndim == 1 else row[:, [2, 1, 0, 3][: row.shape[1]]]
    return stored.astype(">u2").tobytes() if row.dtype == np.uint16 else stored.tobytes()
