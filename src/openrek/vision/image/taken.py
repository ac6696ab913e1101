"""When a photo was taken: the date in its EXIF block (EXIF 2.32, DateTimeOriginal, else DateTime)."""

import re
import struct
from datetime import datetime
from typing import Final

_DATE_TIME, _EXIF_DIRECTORY, _DATE_TIME_ORIGINAL = 0x0132, 0x8769, 0x9003
_ASCII, _LONG = 2, 4
_MOST_ENTRIES: Final = 512
# where the block starts: JPEG and HEIF, PNG (after the chunk's name), WebP (after the chunk's name and size)
_BLOCK: Final = re.compile(rb"(?:Exif\0\0|eXIf|EXIF.{4}(?:Exif\0\0)?)(?=II\*\0|MM\0\*)", re.DOTALL)
_TIFF: Final = (b"II*\0", b"MM\0*")


def date_taken(data: bytes) -> datetime | None:
    """Local time of the camera, from an encoded picture of any format; None where it says none or the block is broken.

    Only two directories are read, each at most 512 entries, whatever the bytes claim.
    """
    if data.startswith(_TIFF):
        return _date(data)
    found = _BLOCK.search(data)
    return _date(data[found.end() : found.end() + 0x10000]) if found else None


def _date(tiff: bytes) -> datetime | None:
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        first = _directory(tiff, order, start)
        original: bytes | None = None
        if (pointer := first.get(_EXIF_DIRECTORY)) is not None:
            (place,) = struct.unpack(f"{order}L", pointer)
            original = _directory(tiff, order, place).get(_DATE_TIME_ORIGINAL)
    except struct.error:
        return None
    return _parsed(original) or _parsed(first.get(_DATE_TIME))


def _directory(tiff: bytes, order: str, start: int) -> dict[int, bytes]:
    """The raw values of one directory's text and pointer entries by tag."""
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    values: dict[int, bytes] = {}
    for number in range(min(entries, _MOST_ENTRIES)):
        at = start + 2 + 12 * number
        tag, kind, count = struct.unpack_from(f"{order}HHL", tiff, at)
        if kind == _LONG and count == 1:
            values[tag] = tiff[at + 8 : at + 12]
        elif kind == _ASCII and 4 < count <= 64:
            (place,) = struct.unpack_from(f"{order}L", tiff, at + 8)
            values[tag] = tiff[place : place + count]
    return values


def _parsed(value: bytes | None) -> datetime | None:
    """`2024:07:21 15:04:05`; cameras without a clock write zeros or blanks."""
    try:
        return datetime.strptime((value or b"")[:19].decode("ascii"), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
