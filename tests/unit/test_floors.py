"""The floors of the house: a module imports only from its own floor or one below."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "openrek"

# what each part may import of openrek, besides itself
ALLOWED = {
    "contract": set(),
    "vision": set(),
    "settings": set(),
    "store": {"contract", "settings"},
    "jobs": {"contract", "vision", "store", "settings"},
    "service": {"contract", "vision", "store", "jobs", "settings"},
    "wire": {"contract", "settings"},
    "app": {"contract", "vision", "store", "jobs", "service", "wire", "settings"},
    "cli": {"contract", "vision", "store", "jobs", "service", "wire", "app", "settings"},
    "__main__": {"cli"},
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imported_parts(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative imports hide the floor"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("openrek.") and name.count(".") >= 1}
    return parts - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_downward(path: Path) -> None:
    part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    wrong = imported_parts(path) - ALLOWED[part] - {part}
    assert not wrong, f"{part} must not import {sorted(wrong)}"


def test_every_part_has_a_floor() -> None:
    parts = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__pycache__", "__init__", "py.typed"} == set(ALLOWED)


def test_files_have_one_concern() -> None:
    long = {str(p.relative_to(SOURCE)): n for p in modules() if (n := len(p.read_text().splitlines())) > 500}
    assert not long, f"files over 500 lines: {long}"
