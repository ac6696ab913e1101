"""Byte strings kept on disk in order, for what is made bit by bit and would not fit into memory."""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from weakref import finalize

_IN_MEMORY = 1 << 24
"""Bytes that need no file yet."""


class Shelf:
    """Takes byte strings one after the other, and gives them back in that order as often as need be."""

    def __init__(self) -> None:
        # closed when nobody can read it any more, and gone from the disk with it
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by finalize
        self._lengths: list[int] = []
        finalize(self, self._file.close)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, item: bytes) -> None:
        """Put one more at the end."""
        self._file.seek(0, 2)
        self._file.write(item)
        self._lengths.append(len(item))

    def items(self) -> Iterator[bytes]:
        """All of them in order; several may go through them at the same time, in one thread."""
        place = 0
        for length in self._lengths:
            self._file.seek(place)
            yield self._file.read(length)
            place += length
