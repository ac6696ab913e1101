"""A block of rows in one memory-mapped file: codes, numbers, scales, errors and check sums, one array after another.

Rows are appended, never moved; a row that is taken out is overwritten, so that nothing of a deleted face stays. The
file has its full size from the start: a full disk is an error when it is made and not a signal while it is written to.
"""

import mmap
import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.store.vector_changes import Floats
from openrek.store.vectors.base import Numbers
from openrek.store.vectors.quantise import ZERO, Quantised
from openrek.store.vectors.scan import Rows

CHECK_CHUNK: Final = 1 << 16


class DamagedError(Exception):
    """A file of an index is not what was written."""


class Segment:
    """Up to `capacity` rows; `used` of them are in use or were. In memory only without a path.

    Not safe for two writers at a time. A reader takes `rows(n)` with an n that it knows to be written.
    """

    def __init__(self, path: Path | None, capacity: int, width: int, *, used: int = 0, make: bool = True) -> None:
        """Make a file, or map one that is there. Raises OSError, DamagedError for a file of another size."""
        self.path = path
        self.capacity = capacity
        self.used = used
        size = capacity * (width + 8 + 4 + 4 + 4)
        self._memory = _map(path, size, make=make)
        arrays = np.frombuffer(self._memory, np.uint8)
        ends = np.cumsum([capacity * 8, capacity * width, capacity * 4, capacity * 4]).tolist()
        numbers, codes, scales, errors, checks = np.split(arrays, ends)
        self.codes: NDArray[np.uint8] = codes.reshape(capacity, width)
        self.numbers: Numbers = numbers.view(np.int64)
        self.scales: Floats = scales.view(np.float32)
        self.errors: Floats = errors.view(np.float32)
        self.checks: NDArray[np.uint32] = checks.view(np.uint32)

    @property
    def free(self) -> int:
        return self.capacity - self.used

    def rows(self, start: int, stop: int) -> Rows:
        """The rows of a range, not copied."""
        return Rows(self.codes, self.numbers, self.scales, self.errors).part(start, stop)

    def append(self, numbers: Numbers, quantised: Quantised) -> None:
        """Put rows behind the last one; there must be room."""
        part = slice(self.used, self.used + len(numbers))
        self.codes[part] = quantised.codes
        self.scales[part] = quantised.scales
        self.checks[part] = _checks(quantised.codes, numbers, quantised.scales, quantised.errors)
        self.numbers[part] = numbers
        self.errors[part] = quantised.errors
        self.used += len(numbers)

    def remove(self, numbers: Numbers, stop: int | None = None) -> int:
        """Take rows (of the first `stop`) out and overwrite them; how many there were."""
        known = self.numbers[: self.used if stop is None else stop]
        if len(numbers) <= 8:  # a comparison with each is faster than sorting
            found = np.concatenate([np.nonzero(known == number)[0] for number in numbers])
        else:
            found = np.nonzero(np.isin(known, numbers))[0]
        # first what keeps the row out of a search, also of one that is under way
        self.errors[found] = -np.inf
        self.numbers[found] = -1
        self.scales[found] = 0
        self.codes[found] = ZERO
        return len(found)

    def verify(self) -> int:
        """Hold each row against its check sum; the number of rows in use. Raises DamagedError."""
        alive = 0
        for start in range(0, self.used, CHECK_CHUNK):
            part = slice(start, min(self.used, start + CHECK_CHUNK))
            codes, numbers, scales, errors = self.rows(part.start, part.stop)
            out = np.isneginf(errors)
            sums = _checks(codes, numbers, scales, errors)
            if not np.all(out | (sums == self.checks[part])):
                raise DamagedError(f"rows of {self.path} are damaged")
            alive += int(len(out) - out.sum())
        return alive

    def flush(self) -> None:
        """Write to the disk, and wait for it."""
        if self.path is not None:
            self._memory.flush()


def _map(path: Path | None, size: int, *, make: bool) -> mmap.mmap:
    if path is None:
        return mmap.mmap(-1, size)
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if make else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        if make:
            _allocate(descriptor, size)
        elif os.fstat(descriptor).st_size != size:
            raise DamagedError(f"{path} has {os.fstat(descriptor).st_size} bytes in place of {size}")
        return mmap.mmap(descriptor, size)
    except OSError:
        if make:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    zeros = bytes(1 << 20)  # macOS has no such call
    for start in range(0, size, len(zeros)):
        os.write(descriptor, zeros[: size - start])


def _checks(codes: NDArray[np.uint8], numbers: Numbers, scales: Floats, errors: Floats) -> NDArray[np.uint32]:
    """A sum over each row in which every 4 bytes count by an odd factor of their place: (N,) uint32."""
    words = np.ascontiguousarray(codes).view(np.uint32)
    factors = (np.arange(words.shape[1] + 4, dtype=np.uint32) * np.uint32(0x9E3779B2)) | np.uint32(1)
    sums = (words * factors[4:]).sum(axis=1, dtype=np.uint32)
    low, high = np.ascontiguousarray(numbers).view(np.uint32).reshape(-1, 2).T
    bits = scales.view(np.uint32), errors.view(np.uint32)
    for part, factor in zip((low, high, *bits), factors[:4], strict=True):
        sums += part * factor
    return np.asarray(sums + np.uint32(0x85EBCA6B), np.uint32)
