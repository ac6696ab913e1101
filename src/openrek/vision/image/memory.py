"""A bound on the memory that decoders take at once, however many threads decode."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from openrek.vision.image.errors import ImageMemoryError


class DecodingMemory:
    """Room that decoding shares: each picture takes the bytes it is estimated to need and waits until they are free.

    limit: bytes in all. Thread-safe.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._changed = threading.Condition()
        self._door = threading.Lock()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold `size` bytes. Raises ImageMemoryError where they can never be had."""
        if size > self.limit:
            raise ImageMemoryError(size, self.limit)
        with self._door, self._changed:  # one waits at a time, so that small pictures do not keep a large one out
            self._changed.wait_for(lambda: self._used + size <= self.limit)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify()
