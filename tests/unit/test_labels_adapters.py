"""Classifiers and zero-shot pairs of one's own, on tiny networks made here."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from openrek.vision.image import Picture
from openrek.vision.labels import classifiers, taxonomy
from openrek.vision.labels.classifiers import Square, classify, label_of
from openrek.vision.labels.detect import of_ones_own
from openrek.vision.labels.zero_shot import FOLDER, zero_shot
from openrek.vision.look import Look
from openrek.vision.runtime import CardError, ModelUnavailableError, Runtime
from tests.unit.runtime_kit import write_card

RED = Picture.of(np.full((90, 120, 3), (255, 0, 0), np.uint8))
BLUE = Picture.of(np.full((90, 120, 3), (0, 0, 255), np.uint8))

MakeRuntime = Callable[[], Runtime]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[MakeRuntime]:
    """A runtime over the cards of tmp_path/cards, without network."""
    opened: list[Runtime] = []

    def make() -> Runtime:
        runtime = Runtime(cache=tmp_path / "cache", offline=True, threads=1, extra_cards=tmp_path / "cards")
        opened.append(runtime)
        return runtime

    (tmp_path / "cards").mkdir()
    yield make
    for runtime in opened:
        runtime.close()


def network(path: Path, inputs: list[Any], nodes: list[Any], width: int, **weights: Any) -> None:
    """An ONNX file with one output `out` (1 or N, width)."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", width])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())


def card(folder: Path, name: str, **more: Any) -> None:
    """A card for the file of this name that is there already."""
    write_card(folder, name, (folder / f"{name}.onnx").read_bytes(), f"file:{name}.onnx", **more)


def colours_to(path: Path, weight: Any, size: int = 32) -> None:
    """A network that maps a picture's mean red, green and blue by `weight` (3, C)."""
    weight = np.asarray(weight, np.float32)
    network(
        path,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["mean", "weight"], ["out"]),
        ],
        weight.shape[1],
        weight=weight,
    )


def classifier(folder: Path, classes: list[str], weight: Any, **preprocess: Any) -> None:
    colours_to(folder / "mine.onnx", weight)
    (folder / "mine.txt").write_text("\n".join(classes))
    preprocess = {"size": 32} | preprocess
    card(folder, "mine", task=classifiers.TASK, labels="mine.txt", preprocess=preprocess)


# --- classifiers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Golden Retriever", "Golden Retriever"),
        ("golden_retriever", "Golden Retriever"),
        ("automobile", "Car"),
        ("Strawberry, fresh", "Strawberry"),
        ("gizmo", ""),
    ],
)
def test_class_names_are_found_in_the_taxonomy(name: str, label: str) -> None:
    assert label_of(name) == label


def test_a_classifier_gives_labels_and_says_what_it_leaves_out(
    tmp_path: Path, made: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    weight = [[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0]]
    classifier(tmp_path / "cards", ["strawberry", "grass", "n001", "gizmo"], weight, names={"n001": "Sea"})
    runtime = made()
    with caplog.at_level(logging.WARNING):
        red = dict(classify(RED, runtime.model("mine")))
        blue = dict(classify(BLUE, runtime.model("mine")))
    assert max(red, key=lambda name: red[name]) == "Strawberry"
    assert red["Strawberry"] == pytest.approx(np.exp(4) / (np.exp(4) + 3), abs=1e-3)
    assert max(blue, key=lambda name: blue[name]) == "Sea"
    assert [record.getMessage() for record in caplog.records] == ["mine: 1 of 4 classes mean no label: gizmo"]


def test_a_classifier_is_a_source_of_labels(tmp_path: Path, made: MakeRuntime) -> None:
    classifier(tmp_path / "cards", ["strawberry", "sea"], [[9, 0], [0, 0], [0, 9]], activation="sigmoid", least=0.6)
    (found,) = of_ones_own(Look(BLUE, made()))
    assert dict(found) == pytest.approx({"Sea": 1 / (1 + np.exp(-9))}, abs=1e-3)


@pytest.mark.parametrize(
    ("classes", "preprocess", "message"),
    [
        (["sea"], {}, "has 2 outputs, and its labels file 1 lines"),
        (["sea", "grass"], {"names": {"tree": "Tree"}}, "names 'tree', which is no line of its labels file"),
        (["sea", "x"], {"names": {"x": "Gizmo"}}, "maps 'x' to 'Gizmo', which is no label"),
        (["sea", "grass"], {"activation": "tanh"}, "preprocess.activation"),
        (["sea", "grass"], {"colour": "RGB"}, "preprocess.colour"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, made: MakeRuntime, classes: list[str], preprocess: dict[str, Any], message: str
) -> None:
    classifier(tmp_path / "cards", classes, [[1, 0], [0, 0], [0, 1]], **preprocess)
    with pytest.raises(CardError, match=message):
        classify(RED, made().model("mine"))


def test_the_square_input() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, 50:150] = (255, 0, 51)
    squeezed = Square(size=64).input(Picture.of(pixels))
    assert squeezed.shape == (1, 3, 64, 64)
    assert 0 < squeezed[0, 0].mean() < 1
    crop = Square(size=64, fit="crop", layout="NHWC", mean=(0.5, 0, 0), std=(0.5, 1, 1)).input(Picture.of(pixels))
    assert crop.shape == (1, 64, 64, 3)
    assert crop[0].reshape(-1, 3) == pytest.approx(np.tile([1, 0, 0.2], (64 * 64, 1)))


# --- zero-shot pairs --------------------------------------------------------------------------------------------------

WORDS = {"umbrella": (0, 0, 1), "strawberry": (1, 0, 0), "grass": (0, 1, 0)}


def pair(folder: Path, **preprocess: Any) -> None:
    """Encoders into the space of colours: a picture is its mean colour, a text the colour of its last word."""
    tokenizers = pytest.importorskip("tokenizers", reason="reading words needs the package tokenizers")
    vocabulary = {"[UNK]": 0} | {word: number for number, word in enumerate(WORDS, 1)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.array([(0.01, 0.01, 0.01), *WORDS.values()], np.float32)
    network(
        folder / "texts.onnx",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", 5])],
        [
            helper.make_node("Gather", ["table", "tokens"], ["words"]),
            helper.make_node("ReduceSum", ["words", "axis"], ["out"], keepdims=0),
        ],
        3,
        table=table,
        axis=np.array([1], np.int64),
    )
    text = {"tokenizer": "tokenizer.json", "length": 5}
    card(folder, "texts", task="label-text-encoder", preprocess=text)
    colours_to(folder / "pictures.onnx", np.eye(3))
    image = {"size": 32, "text": "texts", "prompt": "a photo of {}"} | preprocess
    card(folder, "pictures", task="label-zero-shot", preprocess=image)


@pytest.mark.parametrize("preprocess", [{"scale": 60.0}, {"scale": 60.0, "bias": -50.0, "activation": "sigmoid"}])
def test_a_pair_names_what_its_texts_are_closest_to(
    tmp_path: Path, made: MakeRuntime, preprocess: dict[str, Any]
) -> None:
    pair(tmp_path / "cards", **preprocess)
    runtime = made()
    seen = {
        name: dict(zero_shot(picture, runtime.model("pictures"), runtime, taxonomy()))
        for name, picture in (("red", RED), ("blue", BLUE))
    }
    assert seen["blue"]["Umbrella"] > 0.9 > 0.05 > seen["blue"].get("Strawberry", 0)
    assert seen["red"]["Strawberry"] > 0.9 > 0.05 > seen["red"].get("Umbrella", 0)
    if "activation" not in preprocess:
        assert seen["red"]["Fruit"] >= seen["red"]["Strawberry"], "an ancestor sums its kinds"


def test_texts_are_encoded_once_and_kept(tmp_path: Path, made: MakeRuntime) -> None:
    pair(tmp_path / "cards", scale=60.0)
    first = made()
    found = zero_shot(BLUE, first.model("pictures"), first, taxonomy())
    (kept,) = (tmp_path / "cache" / FOLDER).iterdir()
    assert np.load(kept).shape == (len(taxonomy()), 3)
    second = made()
    assert zero_shot(BLUE, second.model("pictures"), second, taxonomy()) == found
    assert "texts" not in second.loaded(), "the text encoder was not needed again"
    kept.write_bytes(b"cut off")
    third = made()
    assert dict(zero_shot(BLUE, third.model("pictures"), third, taxonomy())) == pytest.approx(dict(found), abs=1e-3)


def test_a_measured_curve_is_applied(tmp_path: Path, made: MakeRuntime) -> None:
    pair(tmp_path / "cards", scale=60.0, knots=[[0, 0], [1, 0.7]])
    runtime = made()
    assert dict(zero_shot(BLUE, runtime.model("pictures"), runtime, taxonomy()))["Umbrella"] == pytest.approx(
        0.7, abs=0.02
    )


def test_encoders_that_do_not_belong_together_are_refused(tmp_path: Path, made: MakeRuntime) -> None:
    pair(tmp_path / "cards")
    colours_to(tmp_path / "cards" / "pictures.onnx", np.ones((3, 7)))
    preprocess = {"size": 32, "text": "texts"}
    card(tmp_path / "cards", "pictures", task="label-zero-shot", preprocess=preprocess)
    runtime = made()
    with pytest.raises(CardError, match="have 7 and 3 numbers"):
        zero_shot(RED, runtime.model("pictures"), runtime, taxonomy())


def test_without_the_tokenizer_library_a_sentence_says_so(
    tmp_path: Path, made: MakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair(tmp_path / "cards")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    runtime = made()
    with pytest.raises(ModelUnavailableError, match="zero-shot"):
        zero_shot(RED, runtime.model("pictures"), runtime, taxonomy())
