"""Object keys as file names, so that every key has one place below its bucket's folder, and no other.

An ordinary key is its own relative path: `holiday/beach.jpg` lies in the folder `holiday`. What a file system cannot
take, or would take as something else, is written as a reserved code of `%` and two hexadecimal digits:

| in the key                              | on disk                                                        |
|-----------------------------------------|----------------------------------------------------------------|
| control characters, `\\`                 | `%00` … `%1F`, `%7F`, `%5C`                                    |
| `%` that would begin a reserved code    | `%25`                                                          |
| the segments `.` and `..`               | `%2E`, `%2E%2E`                                                |
| an empty segment (`//`, first or last /)| `%2F`                                                          |
| a segment longer than a file name       | folders whose names end in `%2B`, each with a piece of it      |
| `a` beside `a/b`                        | the file `a%2F` beside the folder `a`                          |

The map is one-to-one: `decode_key` gives back the key, and None for a name that no key has.
"""

import re
from typing import Final, NamedTuple

MAX_KEY_BYTES: Final = 1024
"""S3's own limit, in UTF-8."""

MAX_SEGMENTS: Final = 256
"""A limit of this store: folders nest this deep at most."""

BESIDE: Final = "%2F"
"""Ends the name of a file that lies beside a folder of the same name; alone, it is an empty segment."""

CONTINUED: Final = "%2B"
"""Ends the name of a folder that holds the first part of a long segment."""

_LONGEST_NAME: Final = 255 - len(BESIDE)
_PIECE: Final = 240
_RESERVED: Final = re.compile(r"%(?:0[0-9A-F]|1[0-9A-F]|2[5BEF]|5C|7F)")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\]|%(?=(?:0[0-9A-F]|1[0-9A-F]|2[5BEF]|5C|7F))")


class InvalidKeyError(ValueError):
    """The key cannot be stored; the message says why."""


class KeyPath(NamedTuple):
    """Where a key lies below its bucket's folder: the folders from the top, and the file."""

    folders: tuple[str, ...]
    name: str

    @property
    def beside(self) -> str:
        """The file's name where `name` is a folder."""
        return self.name + BESIDE


def encode_key(key: str) -> KeyPath:
    """The place of a key. Raises InvalidKeyError for one that S3 or this store does not take."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKeyError("an object key must be valid Unicode") from error
    if not 1 <= size <= MAX_KEY_BYTES:
        raise InvalidKeyError(f"an object key has 1 to {MAX_KEY_BYTES} bytes in UTF-8, not {size}")
    segments = key.split("/")
    if len(segments) > MAX_SEGMENTS:
        raise InvalidKeyError(f"an object key of a folder of buckets has at most {MAX_SEGMENTS - 1} slashes")
    names = [name for segment in segments for name in _encode_segment(segment)]
    return KeyPath(tuple(names[:-1]), names[-1])


def decode_key(folders: tuple[str, ...], name: str) -> str | None:
    """The key that lies at a place; `name` without the ending BESIDE. None when no key does."""
    key = decode_folders(folders) + _decode(name)
    try:
        return key if encode_key(key) == (folders, name) else None
    except InvalidKeyError:
        return None


def decode_folders(folders: tuple[str, ...]) -> str:
    """What the keys of all files in a folder begin with."""
    return "".join(
        _decode(name.removesuffix(CONTINUED)) if name.endswith(CONTINUED) else _decode(name) + "/" for name in folders
    )


def _encode_segment(segment: str) -> list[str]:
    if segment == "":
        return [BESIDE]
    # what stays together: a reserved code, or one character
    parts = [f"%{ord(part):02X}" if _UNSAFE.match(segment, index) else part for index, part in enumerate(segment)]
    if sum(len(part.encode()) for part in parts) <= _LONGEST_NAME:
        return [_not_dots("".join(parts))]
    names: list[str] = []
    piece: list[str] = []
    size = 0
    for part in parts:
        if size + len(part.encode()) > _PIECE:
            names.append("".join(piece) + CONTINUED)
            piece, size = [], 0
        piece.append(part)
        size += len(part.encode())
    return [*names, _not_dots("".join(piece))]


def _not_dots(name: str) -> str:
    return "%2E" * len(name) if name in (".", "..") else name


def _decode(name: str) -> str:
    if name == BESIDE:
        return ""
    return _RESERVED.sub(lambda match: chr(int(match[0][1:], 16)), name)
