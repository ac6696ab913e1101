"""ONNX Runtime sessions."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from openrek.vision.runtime.errors import ModelRunError


def default_threads() -> int:
    return len(os.sched_getaffinity(0))


class Session:
    """One loaded ONNX file. `run` may be called from several threads at once."""

    def __init__(self, name: str, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelRunError(f"The model {name!r} ({path}) cannot be loaded: {error}.") from error
        self._name = name
        self.input_names = tuple(str(value.name) for value in self._session.get_inputs())
        self.output_names = tuple(str(value.name) for value in self._session.get_outputs())
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        try:
            results = self._session.run(list(outputs) if outputs is not None else None, dict(feeds))
        except Exception as error:
            raise ModelRunError(f"The model {self._name!r} cannot be run: {error}.") from error
        return [np.asarray(result) for result in results]
