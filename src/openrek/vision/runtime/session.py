"""ONNX Runtime sessions.

The settings were chosen by measurement (see docs/decisions/0005-model-runtime.md): threads that sleep rather than spin
while they wait, subnormal numbers as zero, and one memory arena for all sessions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrek.vision.runtime import memory, subnormals
from openrek.vision.runtime.errors import ModelRunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACCELERATORS = ("CUDAExecutionProvider", "OpenVINOExecutionProvider")
"""Execution providers taken where the installed ONNX Runtime has them, in this order, before the CPU's."""


def execution_providers() -> tuple[str, ...]:
    """The execution providers that sessions ask for, the preferred first."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return (*(provider for provider in ACCELERATORS if provider in available), "CPUExecutionProvider")


class Session:
    """One loaded ONNX file. `run` may be called from several threads at once; each run uses up to `threads` threads."""

    def __init__(self, name: str, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong arrives as an exception; the rest is noise
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(*subnormals.SESSION_ENTRY)
        memory.share(options)
        try:
            with (
                subnormals.as_zero()
            ):  # and back: ONNX Runtime would leave the mode on in the first thread that comes here
                self._session = onnxruntime.InferenceSession(str(path), options, providers=list(execution_providers()))
        except Exception as error:
            raise ModelRunError(f"The model {name!r} ({path}) cannot be loaded: {_reason(error)}.") from error
        self._name = name
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = 4
        self.providers = tuple(str(provider) for provider in self._session.get_providers())
        self.input_names = tuple(str(value.name) for value in self._session.get_inputs())
        self.output_names = tuple(str(value.name) for value in self._session.get_outputs())
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: "Mapping[str, NDArray[Any]]", outputs: Sequence[str] | None = None) -> "list[NDArray[Any]]":
        """The outputs named (default: all, in the file's order) for one set of inputs. Raises ModelRunError."""
        try:
            with subnormals.as_zero():
                results: list[NDArray[Any]] = self._session.run(
                    None if outputs is None else list(outputs), dict(feeds), self._run_options
                )
        except Exception as error:
            raise ModelRunError(f"The model {self._name!r} cannot be run: {_reason(error)}.") from error
        return results


def _reason(error: Exception) -> str:
    """ONNX Runtime's message without its code prefix, on one line."""
    text = " ".join(str(error).split())
    return text.removeprefix("[ONNXRuntimeError] : ").rstrip(".") or type(error).__name__
