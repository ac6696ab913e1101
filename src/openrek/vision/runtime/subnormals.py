"""Subnormal numbers as zero while a network runs.

Networks that end activations in long tails (GELU, softmax, sigmoid) produce float32 values under 1.2e-38, which Intel
processors compute in microcode, tens of times slower than others; as zeros they change no result that is used. ONNX
Runtime sets the mode in the threads that it starts (`session.set_denormal_as_zero`), not in the one that calls it. See
docs/decisions/0005-model-runtime.md for the measurements.
"""

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

SESSION_ENTRY = ("session.set_denormal_as_zero", "1")
"""What the configuration of a session needs for the threads of its own."""

_FENV_WORDS = 8  # fenv_t of the x86-64 ABI of Linux: 28 bytes of the x87 unit, then the register MXCSR
_MXCSR = 7
_FLUSH_TO_ZERO = 1 << 15
_DENORMALS_ARE_ZERO = 1 << 6


@contextmanager
def as_zero() -> Iterator[None]:
    """Within this block the calling thread reads and writes subnormal numbers as zero; afterwards it does what it did
    before. Does nothing on other systems than Linux on x86-64. Costs about five microseconds."""
    functions = _functions()
    if functions is None:
        yield
        return
    get, put = functions
    before = (ctypes.c_uint32 * _FENV_WORDS)()
    get(before)
    within = (ctypes.c_uint32 * _FENV_WORDS)(*before)
    within[_MXCSR] |= _FLUSH_TO_ZERO | _DENORMALS_ARE_ZERO
    put(within)
    try:
        yield
    finally:
        put(before)


@cache
def _functions() -> "tuple[Callable[..., int], Callable[..., int]] | None":
    """`fegetenv` and `fesetenv` of the C library, called with the interpreter's lock held: they take no time."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        library = ctypes.PyDLL("libm.so.6")
        return library.fegetenv, library.fesetenv
    except (OSError, AttributeError):
        return None
