"""Observations as bytes: compact, and safe to read back."""

import io
import pickle
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from fractions import Fraction
from typing import Any

_FORMAT = b"obs1"
_NUMPY = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


_SECTION = 1024
"""Observations that are packed and unpacked together, so that no more of them need be in memory."""
_PIECE = 1 << 16


class Packer:
    """Takes (frame number, observation) one by one and keeps them as bytes. Equal observations give equal bytes."""

    def __init__(self) -> None:
        self._packed = bytearray(_FORMAT)
        self._rows: list[tuple[int, Any]] = []

    def add(self, frame: int, observation: Any) -> None:
        """Keep one more."""
        self._rows.append((frame, observation))
        if len(self._rows) == _SECTION:
            self._close()

    def packed(self) -> bytes:
        """All of them. Nothing can be added any more."""
        if self._rows or len(self._packed) == len(_FORMAT):
            self._close()
        return bytes(self._packed)

    def _close(self) -> None:
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=5)
        pickler.fast = True  # no memo: the bytes then depend on values alone, not on which objects are shared
        pickler.dump(self._rows)
        self._packed += zlib.compress(buffer.getbuffer(), 3)
        self._rows = []


def pack(observations: Iterable[tuple[int, Any]]) -> bytes:
    """(frame number, observation) as bytes."""
    packer = Packer()
    for frame, observation in observations:
        packer.add(frame, observation)
    return packer.packed()


def unpack(blob: bytes) -> Iterator[tuple[int, Any]]:
    """The observations in packed bytes, one after the other. Raises ValueError where the bytes hold anything else."""
    if not blob.startswith(_FORMAT):
        raise ValueError("the bytes are no packed observations")
    place = len(_FORMAT)
    while place < len(blob):
        section, plain = zlib.decompressobj(), bytearray()
        try:
            while not section.eof:
                piece = blob[place : place + _PIECE]
                if not piece:
                    raise EOFError("they end too early")
                plain += section.decompress(piece)
                place += len(piece)
            rows = _PlainUnpickler(io.BytesIO(plain)).load()
        except (zlib.error, pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"the packed observations are damaged ({error})") from error
        place -= len(section.unused_data)
        yield from rows


class _PlainUnpickler(pickle.Unpickler):
    """Builds plain values, numpy arrays and this project's dataclasses, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _NUMPY:
            return super().find_class(module, name)
        if (module, name) == ("fractions", "Fraction"):
            return Fraction
        if module.startswith("openrek."):
            found = super().find_class(module, name)
            if isinstance(found, type) and is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in an observation")
