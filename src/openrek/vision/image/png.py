"""PNG (ISO/IEC 15948): header and integrity by chunk walk, pixels by libpng inside OpenCV.

Only the chunks that make the picture reach the decoder: colour profiles, gamma, compressed texts and animation frames
are left out, with whatever they could do. Checksums are verified here, so a refusal can name the chunk.
"""

import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openrek.vision.image.errors import UnreadableImageError

_SIGNATURE_LENGTH = 8
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ALPHA_TYPES = frozenset({4, 6})
_DEFLATE_RATIO = 1040
"""DEFLATE cannot compress beyond about 1032 : 1 (RFC 1951: 258 bytes in 2 bits)."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """`chunks` are (start, end) of the chunks to decode, each from its length field to past its checksum; `grey_key` is
    the transparent value of a grey picture, in the depth that the decoder gives."""

    width: int
    height: int
    alpha: bool
    grey_key: int | None
    chunks: tuple[tuple[int, int], ...]


def read_header(data: bytes) -> PngHeader:
    """Walk the chunks without reading picture data. Raises UnreadableImageError."""
    chunks: list[tuple[int, int]] = []
    kinds: set[bytes] = set()
    compressed = 0
    position = _SIGNATURE_LENGTH
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
    width, height, depth, colour = struct.unpack_from(">LLBB", data, start + 8)
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise UnreadableImageError(f"the PNG's header gives its size as {width} x {height}")
    if colour not in _CHANNELS:
        raise UnreadableImageError(f"the PNG's header gives colour type {colour}, which does not exist")
    raw = height * (1 + -(-width * depth * _CHANNELS[colour] // 8))
    if raw > (compressed + 1) * _DEFLATE_RATIO:
        raise UnreadableImageError(
            f"the PNG's header promises {width} x {height} pixels, but its {compressed} bytes of picture data "
            "cannot hold so many"
        )
    grey_key = _grey_key(data, chunks, depth) if colour == 0 else None
    return PngHeader(width, height, colour in _ALPHA_TYPES or b"tRNS" in kinds, grey_key, tuple(chunks))


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


def decode(data: bytes, header: PngHeader) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) RGB, transparency on white. Raises UnreadableImageError."""
    view = memoryview(data)
    for start, end in header.chunks:
        _check(data, start, end)
    essential = b"".join([view[:_SIGNATURE_LENGTH], *(view[start:end] for start, end in header.chunks)])
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(essential, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableImageError(f"the PNG cannot be decoded: {error.err or error}") from error
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        raise UnreadableImageError(
            f"the PNG is damaged: its data does not decode to the {header.width} x {header.height} pixels "
            "its header promises"
        )
    if header.grey_key is not None and decoded.ndim == 2:  # the decoder leaves this one kind of transparency alone
        decoded[decoded == header.grey_key] = 0xFFFF if decoded.dtype == np.uint16 else 0xFF
    pixels = np.asarray(np.right_shift(decoded, 8) if decoded.dtype == np.uint16 else decoded, np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if pixels.shape[2] == 4:
        return on_white(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA), np.uint8))
    if header.alpha:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite (H, W, 4) RGBA with straight alpha on white: (H, W, 3) RGB."""
    image = Image.fromarray(rgba)
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return np.array(ground, np.uint8)
