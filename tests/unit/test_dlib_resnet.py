"""dlib's recognition network out of its own file format, against plain numpy and, where it is installed, dlib."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from openrek.vision.runtime.dlib_resnet import LEVELS, MEAN, dlib_resnet
from openrek.vision.runtime.errors import CardError
from openrek.vision.runtime.prepare import STEPS

Floats = NDArray[np.float32]


def written(value: int) -> bytes:
    """An integer as dlib writes it: a byte of sign and length, then the value."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def text(value: str) -> bytes:
    return written(len(value)) + value.encode()


def tensor(values: Floats, *shape: int) -> bytes:
    return b"".join(map(written, [2, *shape])) + values.astype("<f4").tobytes()


class Network:
    """Random weights for every layer, the file that dlib would write for them, and the network in numpy."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        shapes = [(32, 3, 7)]
        inputs = 32
        for filters, blocks, _ in LEVELS:
            for _ in range(blocks):
                shapes += [(filters, inputs, 3), (filters, filters, 3)]
                inputs = filters
        self.layers = []
        for filters, inputs, side in shapes:
            size = inputs * side * side
            weight = random.normal(0, (2 / size) ** 0.5, (filters, inputs, side, side)).astype(np.float32)
            bias, beta = random.normal(0, 0.1, (2, filters)).astype(np.float32)
            gamma = random.uniform(0.3, 0.7, filters).astype(np.float32)
            self.layers.append((weight, bias, gamma, beta))
        self.dense = random.normal(0, 0.1, (256, 128)).astype(np.float32)

    def file(self) -> bytes:
        parts = [
            written(1),
            written(1),
            text("loss_metric_2"),
            b"\x03\x0a\xd7\xa3\x81\x1c",
            text("input_rgb_image_sized"),
        ]
        for weight, bias, gamma, beta in self.layers:
            filters = np.concatenate([weight.ravel(), bias])
            parts += [
                text("con_4"),
                tensor(filters, len(filters), 1, 1, 1),
                written(len(bias)),
                written(weight.shape[2]),
            ]
            affine = np.concatenate([gamma, beta])
            parts += [text("affine_"), tensor(affine, len(affine), 1, 1, 1), text("relu_")]
        parts += [text("fc_2"), written(128), written(256), tensor(self.dense, 256, 128, 1, 1), written(-4)]
        return b"".join(parts)

    def run(self, image: Floats) -> Floats:
        """(3, 150, 150) RGB -> (128,), as dlib's documentation describes the layers."""
        layers: Iterator[tuple[Floats, Floats, Floats, Floats]] = iter(self.layers)
        x = (image.astype(np.float64) - MEAN[:, None, None]) / 256
        x = np.maximum(convolve(x, next(layers), 2, 0), 0)
        x = windows(x, 3, 2).max(axis=(3, 4))
        for _, blocks, halved in LEVELS:
            for block in range(blocks):
                down = halved and block == 0
                y = np.maximum(convolve(x, next(layers), 2 if down else 1, 0 if down else 1), 0)
                y = convolve(y, next(layers), 1, 1)
                if down:
                    x = windows(x, 2, 2).mean(axis=(3, 4))
                total = np.zeros(np.maximum(x.shape, y.shape))
                for each in (x, y):
                    total[tuple(slice(0, size) for size in each.shape)] += each
                x = np.maximum(total, 0)
        return np.asarray(x.mean(axis=(1, 2)) @ self.dense, np.float32)


def windows(x: NDArray[np.float64], side: int, stride: int) -> NDArray[np.float64]:
    return np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]


def convolve(
    x: NDArray[np.float64], layer: tuple[Floats, Floats, Floats, Floats], stride: int, padding: int
) -> NDArray[np.float64]:
    weight, bias, gamma, beta = layer
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    y = np.einsum("cyxij,fcij->fyx", windows(x, weight.shape[2], stride), weight, optimize=True)
    return np.asarray((y + bias[:, None, None]) * gamma[:, None, None] + beta[:, None, None])


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(5)


def test_the_converted_network_computes_what_the_layers_say(network: Network, tmp_path: Path) -> None:
    source = tmp_path / "network.dat"
    source.write_bytes(network.file())
    converted = session(dlib_resnet(source))
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, 150, 150)).astype(np.float32)
    (found,) = converted.run(None, {"image": images})
    expected = np.stack([network.run(image) for image in images])
    assert found.shape == (2, 128)
    assert np.abs(expected).max() > 0.1
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_conversion_is_deterministic_and_a_step_of_the_runtime(network: Network, tmp_path: Path) -> None:
    source = tmp_path / "network.dat"
    source.write_bytes(network.file())
    assert STEPS["dlib-resnet"].run(source, {}) == dlib_resnet(source)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "no dense layer", "too few layers"])
def test_another_file_is_refused_in_one_sentence(network: Network, tmp_path: Path, damage: str) -> None:
    whole = network.file()
    source = tmp_path / "network.dat"
    source.write_bytes(
        {
            "empty": b"",
            "text": b"not a network at all " * 50,
            "truncated": whole[: len(whole) // 2],
            "no dense layer": whole[: whole.rindex(b"fc_2")],
            "too few layers": whole[whole.index(b"affine_", 30000) :],
        }[damage]
    )
    with pytest.raises(CardError, match=r"network\.dat is not dlib's face recognition network"):
        dlib_resnet(source)


def test_against_dlib_itself() -> None:
    """Development check, number by number: needs the package dlib and the published weights of face_recognition_models
    (`pip install dlib face-recognition-models`)."""
    dlib = pytest.importorskip("dlib", reason="the comparison with dlib itself needs dlib")
    models = pytest.importorskip("face_recognition_models", reason="its weights are in that package")
    path = models.face_recognition_model_location()
    reference = dlib.face_recognition_model_v1(path)
    converted = session(dlib_resnet(Path(path)))
    images = np.random.default_rng(4).integers(0, 256, (8, 150, 150, 3), np.uint8)
    images = (images // 4 + np.linspace(0, 180, 150, dtype=np.uint8)[None, :, None, None]).astype(np.uint8)
    for image in images:
        expected = np.array(reference.compute_face_descriptor(image))
        (found,) = converted.run(None, {"image": image.transpose(2, 0, 1)[None].astype(np.float32)})
        assert found[0] == pytest.approx(expected, abs=2e-6)
