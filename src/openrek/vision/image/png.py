"""PNG (ISO/IEC 15948): header and integrity by chunk walk, pixels by libpng inside OpenCV.

Only the chunks that make the picture reach the decoder: colour profiles, gamma, compressed texts and animation frames
are left out, with whatever they could do. Checksums are verified here, so a refusal can name the chunk.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openrek.vision.image.errors import UnreadableImageError
from openrek.vision.image.png_strips import SIGNATURE, Layout, damaged, decoded_strips
from openrek.vision.image.shrink import assemble, reduced, row_ranges, strip_rows

MOST_WHOLE = 64 * 2**20
"""Bytes of samples up to which a picture is decoded whole; a larger one comes in strips, unless it is interlaced."""

STRIPS_MEMORY = 32 * 2**20
"""Bytes that decoding in strips takes, about, beside the picture that comes out."""

_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ALPHA_TYPES = frozenset({4, 6})
_DEFLATE_RATIO = 1040
"""DEFLATE cannot compress beyond about 1032 : 1 (RFC 1951: 258 bytes in 2 bits)."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """`chunks` are (start, end) of the chunks to decode, each from its length field to past its checksum; `grey_key` is
    the transparent value of a grey picture, in the depth that the decoder gives; `in_rows` is false where the picture
    is interlaced, or of no known compression."""

    width: int
    height: int
    alpha: bool
    in_rows: bool
    grey_key: int | None
    layout: Layout
    chunks: tuple[tuple[int, int], ...]


def read_header(data: bytes) -> PngHeader:
    """Walk the chunks without reading picture data. Raises UnreadableImageError."""
    chunks: list[tuple[int, int]] = []
    kinds: set[bytes] = set()
    compressed = 0
    position = len(SIGNATURE)
    while b"IEND" not in kinds:
        if position + 12 > len(data):
            raise UnreadableImageError(f"the PNG is truncated: it ends at byte {len(data)} without its end chunk")
        length, kind = struct.unpack_from(">L4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise UnreadableImageError(
                f"the PNG is truncated: its chunk {kind!r} at byte {position} claims {length} bytes, "
                f"but only {len(data) - position - 8} follow"
            )
        if not chunks and kind != b"IHDR":
            raise UnreadableImageError(f"the PNG starts with chunk {kind!r}; the standard wants IHDR first")
        if kind in _KEPT:
            chunks.append((position, end))
            kinds.add(kind)
            compressed += length if kind == b"IDAT" else 0
        position = end
    return _header(data, chunks, kinds, compressed)


def _header(data: bytes, chunks: list[tuple[int, int]], kinds: set[bytes], compressed: int) -> PngHeader:
    start, end = chunks[0]
    if end - start != 25:
        raise UnreadableImageError(f"the PNG's header chunk has {end - start - 12} bytes; it must have 13")
    _check(data, start, end)
    width, height, depth, colour, *methods = struct.unpack_from(">LLBBBBB", data, start + 8)
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise UnreadableImageError(f"the PNG's header gives its size as {width} x {height}")
    if colour not in _CHANNELS:
        raise UnreadableImageError(f"the PNG's header gives colour type {colour}, which does not exist")
    bits = depth * _CHANNELS[colour]
    layout = Layout(width, height, depth, colour, row_bytes=-(-width * bits // 8), pixel_bytes=max(1, bits // 8))
    if height * (1 + layout.row_bytes) > (compressed + 1) * _DEFLATE_RATIO:
        raise UnreadableImageError(
            f"the PNG's header promises {width} x {height} pixels, but its {compressed} bytes of picture data "
            "cannot hold so many"
        )
    grey_key = _grey_key(data, chunks, depth) if colour == 0 else None
    alpha = colour in _ALPHA_TYPES or b"tRNS" in kinds
    return PngHeader(width, height, alpha, not any(methods), grey_key, layout, tuple(chunks))


def _grey_key(data: bytes, chunks: list[tuple[int, int]], depth: int) -> int | None:
    for start, end in chunks:
        if data[start + 4 : start + 8] == b"tRNS" and end - start == 14:
            (value,) = struct.unpack_from(">H", data, start + 8)
            return int(value) * 255 // ((1 << depth) - 1) if depth < 8 else int(value)
    return None


def _check(data: bytes, start: int, end: int) -> None:
    (expected,) = struct.unpack_from(">L", data, end - 4)
    if zlib.crc32(memoryview(data)[start + 4 : end - 4]) != expected:
        raise UnreadableImageError(
            f"the PNG is damaged: the checksum of its chunk {data[start + 4 : start + 8]!r} at byte {start} is wrong"
        )


def decode(data: bytes, header: PngHeader, reduction: int = 1) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) RGB at 1 / `reduction`, transparency on white. Raises UnreadableImageError."""
    for start, end in header.chunks:
        _check(data, start, end)
    strips = _strips_of_large(data, header) if _by_strips(header) else _strips(data, header)
    return assemble(strips, header.width, header.height, reduction)


def _by_strips(header: PngHeader) -> bool:
    return header.in_rows and header.height * header.layout.row_bytes > MOST_WHOLE


def _strips_of_large(data: bytes, header: PngHeader) -> Iterator[NDArray[np.uint8]]:
    view = memoryview(data)
    others: list[memoryview] = []
    compressed: list[memoryview] = []
    for start, end in header.chunks:
        match data[start + 4 : start + 8]:
            case b"IDAT":
                compressed.append(view[start + 8 : end - 4])
            case b"PLTE" | b"tRNS":
                others.append(view[start:end])
    for decoded in decoded_strips(header.layout, b"".join(others), compressed, strip_rows(header.width)):
        yield _rgb(decoded, header.grey_key)


def _strips(data: bytes, header: PngHeader) -> Iterator[NDArray[np.uint8]]:
    view = memoryview(data)
    essential = b"".join([SIGNATURE, *(view[start:end] for start, end in header.chunks)])
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(essential, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableImageError(f"the PNG cannot be decoded: {error.err or error}") from error
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        raise damaged(header.width, header.height)
    if not header.alpha:
        yield np.asarray(decoded, np.uint8)
        return
    for start, end in row_ranges(header.height, strip_rows(header.width)):
        yield _rgb(decoded[start:end], header.grey_key)


def _rgb(decoded: NDArray[Any], grey_key: int | None) -> NDArray[np.uint8]:
    """A strip as OpenCV gives it unchanged (grey, BGR or BGRA, of 8 or 16 bits) as 8-bit RGB on white."""
    if grey_key is not None and decoded.ndim == 2:  # the decoder leaves this one kind of transparency alone
        decoded = np.where(decoded == grey_key, decoded.dtype.type(np.iinfo(decoded.dtype).max), decoded)
    pixels = np.asarray(np.right_shift(decoded, 8) if decoded.dtype == np.uint16 else decoded, np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if pixels.shape[2] == 4:
        return on_white(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA), np.uint8))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def memory_needed(header: PngHeader, reduction: int) -> int:
    """Bytes that decoding takes, about."""
    columns, rows = reduced((header.width, header.height), reduction)
    if _by_strips(header):
        return 3 * columns * rows + STRIPS_MEMORY
    pixel = (4 * max(1, header.layout.depth // 8)) if header.alpha else 3
    return 3 * columns * rows + 2 * pixel * header.width * header.height  # OpenCV copies what it decoded


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite (H, W, 4) RGBA with straight alpha on white: (H, W, 3) RGB."""
    image = Image.fromarray(rgba)
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return np.array(ground, np.uint8)
