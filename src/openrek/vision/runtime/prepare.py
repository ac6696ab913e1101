"""Deterministic transformations of a downloaded model file.

A card names a step and its options; the prepared file is cached beside the downloaded one. A step's version is part of
the prepared file's name, so raise it whenever the step's output changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrek.vision.runtime.dlib_resnet import dlib_resnet
from openrek.vision.runtime.errors import CardError


@dataclass(frozen=True, slots=True)
class Step:
    """`run` reads the downloaded file and returns the bytes of the file to run."""

    name: str
    version: int
    run: Callable[[Path, Mapping[str, Any]], bytes]


def dynamic_input(source: Path, options: Mapping[str, Any]) -> bytes:
    """Free the input and output sizes of an ONNX file that was exported with fixed ones.

    Options: `shapes`, a table name -> list of dimensions (a number fixes, a name frees), and `rename`, a table
    old -> new name of inputs and outputs. Weights that are listed among the inputs, as files before ONNX IR version 4
    must do, are taken off the list, so that ONNX Runtime may treat them as constants and fuse batch normalisation.
    """
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    used = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name not in weights and value.name in used]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.value_info[:]  # the sizes inferred from the fixed input
    values = {value.name: value for value in [*graph.input, *graph.output]}
    for name, shape in options.get("shapes", {}).items():
        if name not in values:
            raise CardError(f"The step 'dynamic-input' names {name!r}, which is no input or output of {source.name}.")
        dimensions = values[name].type.tensor_type.shape
        del dimensions.dim[:]
        for size in shape:
            dimension = dimensions.dim.add()
            if isinstance(size, int):
                dimension.dim_value = size
            else:
                dimension.dim_param = size
    renamed: Mapping[str, str] = options.get("rename", {})
    for value in values.values():
        value.name = renamed.get(value.name, value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = renamed.get(name, name)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def dlib_face_recognition(source: Path, options: Mapping[str, Any]) -> bytes:
    """dlib's face recognition weights as ONNX; see `dlib_resnet`. No options."""
    return dlib_resnet(source)


STEPS: Mapping[str, Step] = {
    step.name: step for step in [Step("dynamic-input", 1, dynamic_input), Step("dlib-resnet", 1, dlib_face_recognition)]
}


def step_of(name: str) -> Step:
    """The step of this name; raises CardError where there is none."""
    try:
        return STEPS[name]
    except KeyError:
        raise CardError(f"There is no preparation step {name!r}; there are {', '.join(STEPS)}.") from None
