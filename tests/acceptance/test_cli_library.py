"""Two commands make a folder of real photos a searchable library."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.test_server import openrek


@pytest.fixture(scope="module")
def library(photos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An album of known photos with a broken one, indexed; the index file lies beside it."""
    album = tmp_path_factory.mktemp("library") / "album"
    (album / "trip").mkdir(parents=True)
    for name, place in (
        ("chelsea", album),
        ("astronaut", album),
        ("coffee", album),
        ("china", album / "trip"),
        ("text", album),
    ):
        shutil.copy(photos[name], place)
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    done = openrek("index", str(album), "--index", str(album.parent / "library.db"))
    assert done.returncode == 0, done.stderr
    assert "broken.jpg" in done.stderr
    assert "5 looked at, 1 could not be read" in done.stdout
    return album.parent / "library.db"


def found(library: Path, *query: str) -> list[str]:
    done = openrek("search", *query, "--index", str(library), "--json")
    assert done.returncode == 0, done.stderr
    return [Path(json.loads(line)["Files"][0]).stem for line in done.stdout.splitlines()]


def test_a_cat_is_found_by_its_name_its_ancestor_and_an_alias(library: Path) -> None:
    assert found(library, "cat")[0] == "chelsea"
    assert found(library, "animal")[0] == "chelsea"
    assert found(library, "feline") == found(library, "cat")


def test_faces_text_and_exclusions(library: Path) -> None:
    assert found(library, "faces:1") == ["astronaut"]
    assert found(library, "person", "-cat")[0] == "astronaut"
    assert found(library, "file:trip") == ["china"]
    assert "chelsea" not in found(library, "-cat")


def test_the_contact_sheet_shows_what_was_found(library: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = openrek("search", "cat", "--index", str(library), "--sheet", str(sheet), "--max", "1")
    assert done.returncode == 0, done.stderr
    assert "chelsea" in done.stdout
    with Image.open(sheet) as drawn, Image.open(library.parent / "album" / "chelsea.png") as cat:
        tile = drawn.convert("RGB").crop((16, 16, 216, 216))
        middle = tile.crop((10, 80, 190, 120)).resize((1, 1)).getpixel((0, 0))
        expected = cat.convert("RGB").crop((20, 120, 430, 180)).resize((1, 1)).getpixel((0, 0))
    assert isinstance(middle, tuple)
    assert isinstance(expected, tuple)
    assert max(abs(a - b) for a, b in zip(middle, expected, strict=True)) < 30


def test_a_second_run_looks_at_nothing(library: Path) -> None:
    done = openrek("index", str(library.parent / "album"), "--index", str(library), "--json")
    answer = json.loads(done.stdout)
    assert (answer["Known"], answer["Looked"], answer["Failed"]) == (5, 0, 1)
