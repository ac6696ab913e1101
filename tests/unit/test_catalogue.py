"""The catalogue, and the project's own cards."""

import re
from pathlib import Path

import pytest

from openrek.vision.runtime import CardError, Catalogue, UnknownModelError
from openrek.vision.runtime.cards import AddressSource
from openrek.vision.runtime.prepare import STEPS
from tests.unit.runtime_kit import write_card

OWN = Catalogue()
PERMISSIVE = {"MIT", "Apache-2.0", "BSD-3-Clause", "CC0-1.0"}


def test_base_does_faces_and_text() -> None:
    assert {"centerface", "text-detector", "text-recognizer"} <= {card.name for card in OWN.pack("base")}


@pytest.mark.parametrize("name", list(OWN))
def test_own_cards_are_complete(name: str) -> None:
    card = OWN[name]
    assert card.licence in PERMISSIVE
    assert set(card.packs) <= {"base", "plus"}
    assert card.packs
    assert card.inputs
    assert card.outputs
    assert card.homepage.startswith("https://") or card.packaged
    assert card.summary.endswith(".")
    assert card.training_data.endswith(".")
    assert card.prepare is None or card.prepare.step in STEPS


@pytest.mark.parametrize("name", list(OWN))
def test_addresses_are_pinned_to_a_commit(name: str) -> None:
    for source in OWN[name].sources:
        if isinstance(source, AddressSource):
            assert re.search(r"/[0-9a-f]{40}/", source.url), source.url


@pytest.mark.parametrize("name", [name for name in OWN if OWN[name].packaged])
def test_files_beside_their_cards_are_the_ones_described(name: str, tmp_path: Path) -> None:
    from openrek.vision.runtime import ModelLibrary

    assert ModelLibrary(OWN, tmp_path).state(OWN[name]) == "present"


def test_packs_and_names_select_cards(tmp_path: Path) -> None:
    for name, packs in (("a", ["base"]), ("b", ["plus"]), ("c", ["base", "plus"]), ("d", [])):
        write_card(tmp_path, name, b"x", "file:x.onnx", packs=packs)
    catalogue = Catalogue(folder=tmp_path)
    assert list(catalogue) == ["a", "b", "c", "d"]
    assert catalogue.packs == ("base", "plus")
    assert [card.name for card in catalogue.pack("base")] == ["a", "c"]
    assert [card.name for card in catalogue.select(["plus", "d", "b"])] == ["b", "c", "d"]
    assert "e" not in catalogue
    assert 1 not in catalogue


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    write_card(tmp_path, "a", b"x", "file:x.onnx")
    catalogue = Catalogue(folder=tmp_path)
    with pytest.raises(UnknownModelError, match="no model 'z'; the catalogue has a"):
        catalogue["z"]
    with pytest.raises(UnknownModelError, match="no pack 'z'; the catalogue has base"):
        catalogue.pack("z")
    with pytest.raises(UnknownModelError, match="no model or pack 'z'; packs: base; models: a"):
        catalogue.select(["a", "z"])


def test_cards_of_ones_own_join(tmp_path: Path) -> None:
    write_card(tmp_path / "own", "mine", b"x", "file:x.onnx")
    assert set(Catalogue(tmp_path / "own")) == {*OWN, "mine"}
    assert set(Catalogue(tmp_path / "nowhere")) == set(OWN)


def test_a_name_stands_for_one_card(tmp_path: Path) -> None:
    write_card(tmp_path, "centerface", b"x", "file:x.onnx")
    with pytest.raises(CardError, match=r"bears the name of .*models/centerface\.toml"):
        Catalogue(tmp_path)
