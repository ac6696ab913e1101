"""The pages of `docs/models` say what the cards say."""

from pathlib import Path

from openrek.vision.runtime import Catalogue
from openrek.vision.runtime.pages import main, render
from tests.unit.runtime_kit import write_card

FOLDER = Path(__file__).parents[2] / "docs" / "models"


def test_the_pages_are_current() -> None:
    """Otherwise run: python -m openrek.vision.runtime.pages docs/models"""
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")} == render(Catalogue())


def test_a_page_says_everything(tmp_path: Path) -> None:
    more = {
        "preprocess": {"mean": [0.5, 0.25]},
        "accuracy": [{"metric": "F1", "value": 0.875, "data": "a set", "command": "make a | b"}],
        "speed": [{"what": "a run", "value": 12.5, "unit": "ms", "machine": "a laptop"}],
        "blind_spots": ["The dark."],
        "inputs": [{"name": "x", "shape": ["n", 3], "about": "numbers"}],
    }
    write_card(tmp_path, "a", b"x", "https://example.org/a.onnx", **more)
    pages = render(Catalogue(folder=tmp_path))
    assert list(pages) == ["README.md", "a.md"]
    for text in (
        "Multiplies.",
        "`https://example.org/a.onnx`",
        "| `mean` | `[0.5, 0.25]` |",
        "| F1 | 0.875 | a set | `make a \\| b` |",
        "| a run | 12.5 ms | a laptop |  |",
        "- The dark.",
        "| `x` | float32 | n x 3 | numbers |",
    ):
        assert text in pages["a.md"]
    assert "| [a](a.md) | testing | 1 | base | Apache-2.0 | 0.0 MB |" in pages["README.md"]


def test_pages_are_written_and_old_ones_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("")
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", *(f"{name}.md" for name in Catalogue())}
