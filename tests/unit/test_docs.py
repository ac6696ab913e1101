"""The documents tell the truth: the README's table is the registry's, its commands exist."""

import re
from pathlib import Path

from openrek.contract.model import operation_names
from openrek.service.operation import load_operations

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def table() -> dict[str, str]:
    """Operation -> state, from the README's table of operations."""
    rows = re.findall(r"^\| ([A-Z][A-Za-z]+) \| (\S+)", README, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "an operation stands twice in the README"
    return dict(rows)


def test_readme_lists_all_operations() -> None:
    assert set(table()) == set(operation_names())
    assert len(table()) == 75


def test_readme_says_what_works() -> None:
    built = set(load_operations())
    assert {name for name, state in table().items() if state in ("yes", "partly")} == built
    assert {name for name, state in table().items() if state == "501"} == set(operation_names()) - built


def test_readme_names_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", README)) <= targets
    assert {"demo", "serve", "test", "lint", "bench", "clean"} <= targets


def test_every_decision_is_numbered_and_titled() -> None:
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        assert path.read_text().startswith(f"# {path.name[:4]}: "), path.name
