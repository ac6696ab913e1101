"""Observations as bytes: compact, and safe to read back."""

import io
import pickle
import zlib
from collections.abc import Iterable
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


def pack(observations: Iterable[tuple[int, Any]]) -> bytes:
    """(frame number, observation) as bytes. Equal observations give equal bytes."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.fast = True  # no memo: the bytes then depend on values alone, not on which objects are shared
    pickler.dump(list(observations))
    return _FORMAT + zlib.compress(buffer.getvalue(), 3)


def unpack(blob: bytes) -> list[tuple[int, Any]]:
    """The observations in packed bytes. Raises ValueError where the bytes hold anything else."""
    if not blob.startswith(_FORMAT):
        raise ValueError("the bytes are no packed observations")
    try:
        rows = _PlainUnpickler(io.BytesIO(zlib.decompress(blob[len(_FORMAT) :]))).load()
    except (zlib.error, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"the packed observations are damaged ({error})") from error
    return list(rows)


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
