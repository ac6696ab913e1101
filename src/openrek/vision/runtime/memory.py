"""The memory that runs work in: one arena for all sessions of the process, given back when it is not needed.

ONNX Runtime gives every session an arena of its own, which keeps the largest amount it ever needed. Here all sessions
share one (`session.use_env_allocators`), and `release` returns its unused regions to the system. See
docs/decisions/0005-model-runtime.md for the measurements.
"""

import ctypes
import threading
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnxruntime

# An ONNX file of one node, y = Identity(x), x of shape (1). Memory is given back at the end of a run, so one is needed.
IDENTITY = (
    b'\x08\x08\x12\x00:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02'
    b"\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

_lock = threading.Lock()


def share(options: "onnxruntime.SessionOptions") -> None:
    """Let a session that is made with these options work in the shared arena."""
    with _lock:
        _register()
    options.add_session_config_entry("session.use_env_allocators", "1")


def release() -> None:
    """Return the regions of the shared arena that no run is using to the system; takes well under a millisecond."""
    import numpy as np

    with _lock:
        session, shrink = _identity()
        session.run(None, {"x": np.zeros(1, np.float32)}, shrink)


def trim() -> None:
    """Return what unloaded models left in the C library's heap to the system; does nothing where glibc is not used."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def _register() -> None:
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    try:
        onnxruntime.create_and_register_allocator(place, None)
    except Exception:  # the program that uses this library has registered one already: that one is shared
        return


@cache
def _identity() -> tuple[Any, Any]:
    import onnxruntime

    _register()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    shrink = onnxruntime.RunOptions()
    shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return onnxruntime.InferenceSession(IDENTITY, options, providers=["CPUExecutionProvider"]), shrink
