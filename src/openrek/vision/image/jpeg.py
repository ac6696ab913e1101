"""JPEG (ITU-T T.81): header by marker walk, pixels by libjpeg-turbo inside simplejpeg.

libjpeg fills what a stream lacks with grey and only warns. simplejpeg hands its warnings on, so that pictures which are
not all there can be refused; it converts CMYK and YCCK with Adobe's inversion. Its pixels are those of OpenCV, which
decodes what it does not take.
"""

import re
import struct
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from openrek.vision.image.errors import UnreadableImageError
from openrek.vision.image.orientation import exif_orientation, swaps_sides, upright
from openrek.vision.image.shrink import reduced

MAX_SCANS, LARGE_MAX_SCANS, MAX_SCANNED_PIXELS = 100, 20, 2_000_000_000
"""Progressive encoders write about ten scans. Each is a pass over all coefficients, so many scans of a large picture
are an attack: beyond `LARGE_MAX_SCANS`, scans x pixels must not exceed `MAX_SCANNED_PIXELS`."""

MOST_LEFT_OVER = 4096
"""Bytes that may be left over in a scan whose pixels are all there: some cameras pad it. More of them show that codes
were lost on the way."""

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither a stuffed byte nor a restart nor fill
_END = b"\xff\xd9"
_NO_END = "Premature end of JPEG file"
_TOO_SHORT = "premature end of data segment"
_DAMAGE = re.compile(r"bad (Huffman|arithmetic) code|instead of RST", re.IGNORECASE)
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker")
_REDUCTIONS = {
    1: cv2.IMREAD_COLOR_RGB,
    # the reduction is a bit of its own beside the colour bit
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """`width` and `height` of the upright picture; `many_scans`: its coefficients are all kept until the last scan."""

    width: int
    height: int
    orientation: int
    components: int
    many_scans: bool


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers up to the first scan. Raises UnreadableImageError."""
    orientation: int | None = None
    frame: tuple[int, int, int] | None = None
    coding = 0
    position = 2
    while True:
        position = data.find(b"\xff", position)  # like libjpeg, pass over stray bytes between segments
        while 0 <= position < len(data) and data[position] == 0xFF:
            position += 1
        if not 0 <= position < len(data):
            raise UnreadableImageError("the JPEG is truncated: it ends inside its header")
        marker = data[position]
        position += 1
        if marker in _STANDALONE or marker in (0x00, _SOI):
            continue
        if marker == _EOI:
            raise UnreadableImageError("the JPEG ends before any picture data")
        if marker == _SOS:
            break
        if position + 2 > len(data):
            raise UnreadableImageError("the JPEG is truncated: it ends inside its header")
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            raise UnreadableImageError(
                f"the JPEG is truncated or damaged: its segment at byte {position - 2} of {len(data)} "
                f"claims {length} bytes"
            )
        if marker in _SOF:
            frame, coding = _frame(data, position, length), marker
        elif marker == _APP1 and orientation is None and data.startswith(b"Exif\0\0", position + 2):
            orientation = exif_orientation(data[position + 2 : position + length])
        position += length
    if frame is None:
        raise UnreadableImageError("the JPEG has a scan but no frame header before it")
    width, height, components = frame
    one_scan = coding in _SEQUENTIAL and data[position + 2 : position + 3] == bytes([components])
    # what trails the picture (a phone's video clip, say) may hold the marker by chance: then count exactly
    most = min(MAX_SCANS, max(LARGE_MAX_SCANS, MAX_SCANNED_PIXELS // (width * height)))
    if not one_scan and data.count(b"\xff\xda", position) >= most:
        _refuse_many_scans(data, position, most)
    orientation = orientation or 1
    if swaps_sides(orientation):
        width, height = height, width
    return JpegHeader(width, height, orientation, components, not one_scan)


def _refuse_many_scans(data: bytes, position: int, most: int) -> None:
    scans = 1
    while True:
        found = _MARKER_IN_SCAN.search(data, position)
        if found is None or data[found.end() - 1] == _EOI:
            return
        position = found.end()
        if data[position - 1] == _SOS:
            scans += 1
            if scans > most:
                raise UnreadableImageError(
                    f"the JPEG has more than {most} scans, the most that are decoded at its size"
                )
        position += int.from_bytes(data[position : position + 2], "big")


def _frame(data: bytes, position: int, length: int) -> tuple[int, int, int]:
    """Width, height and number of components in a frame header."""
    if length < 8:
        raise UnreadableImageError(f"the JPEG's frame header has {length} bytes; it needs at least 8")
    precision, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    if width == 0 or height == 0:
        raise UnreadableImageError(f"the JPEG's header gives its size as {width} x {height}")
    if precision != 8:
        raise UnreadableImageError(f"the JPEG has {precision} bits a sample; 8 are supported")
    return width, height, components


def decode(data: bytes, header: JpegHeader, reduction: int = 1) -> NDArray[np.uint8]:
    """Upright pixels (H, W, 3) RGB at 1 / `reduction`: 1, 2, 4 or 8.

    The reduction happens in the inverse DCT, so the smaller picture is cheaper and free of aliasing.
    Raises UnreadableImageError.
    """
    size = reduced((header.width, header.height), reduction)
    columns, rows = reversed(size) if swaps_sides(header.orientation) else size
    pixels = _pixels(data, header, (rows, columns), reduction)
    turned = upright(pixels, header.orientation)
    if turned.shape != (size[1], size[0], 3):
        raise UnreadableImageError(f"the JPEG decodes to {turned.shape[1]} x {turned.shape[0]}, not its header's size")
    return turned


def _pixels(data: bytes, header: JpegHeader, least: tuple[int, int], reduction: int) -> NDArray[np.uint8]:
    rows, columns = least if reduction > 1 else (0, 0)  # the decoder reduces as far as leaves so many
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", min_height=rows, min_width=columns), np.uint8)
    except ValueError as error:  # the decoder's first warning counts as an error
        said = str(error)
    if _NO_END in said and not data.endswith(_END):
        return _pixels(data + _END, header, least, reduction)  # where more than this is missing, it shows now
    if _TOO_SHORT in said:
        raise UnreadableImageError(
            f"the JPEG is truncated or damaged: its data ends before the {header.width} x {header.height} pixels "
            "of its header are filled"
        )
    left_over = _LEFT_OVER.search(said)
    if _DAMAGE.search(said) or (left_over and int(left_over[1]) > MOST_LEFT_OVER):
        raise UnreadableImageError(f"the JPEG is damaged: the decoder says {said!r}")
    return _tolerant(data, reduction, said)


def _tolerant(data: bytes, reduction: int, said: str) -> NDArray[np.uint8]:
    """Pixels in spite of a warning that is about none of them, and of rare kinds that only OpenCV takes (sampling
    factors that TurboJPEG has no name for): there, data that ends early goes unnoticed if an end is put behind it."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCTIONS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UnreadableImageError(f"the JPEG cannot be decoded: {error.err or error}") from error
    if pixels is None:
        raise UnreadableImageError(f"the JPEG is truncated, damaged or not supported: the decoder says {said!r}")
    return np.asarray(pixels, np.uint8)


def memory_needed(header: JpegHeader, reduction: int) -> int:
    """Bytes that decoding takes, about."""
    columns, rows = reduced((header.width, header.height), reduction)
    coefficients = 2 * header.components * header.width * header.height if header.many_scans else 0
    copies = 3 * (2 if header.orientation > 1 else 1) + (4 if header.components == 4 else 0)
    return coefficients + copies * columns * rows
