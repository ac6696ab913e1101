"""The documents tell the truth: the README's table is the registry's, its commands exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from openrek.cli.main import app
from openrek.contract.model import operation_names
from openrek.service.operation import load_operations
from openrek.settings import Settings

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


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> Iterator[str]:
    """The commands of openrek that a page shows: in blocks of code and between backquotes."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                if part.strip().startswith("openrek "):
                    yield re.split(r" #| \.\.\.", part.strip())[0]
    for quoted in re.findall(r"`(openrek [^`]+)`", re.sub(r"\s+", " ", text)):
        yield quoted.replace(" ...", "")


def test_commands_are_found_in_pages() -> None:
    shown = set(commands(ROOT / "README.md"))
    assert {"openrek detect faces family.jpg --draw family-faces.png", "openrek worker"} <= shown
    assert len(shown) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_pages_show_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for shown in commands(page):
        command = root
        words = shlex.split(shown)[1:]
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            names = words.pop(0).split("|")
            assert set(names) <= set(command.commands), f"{shown}: there is no {names}"
            command = command.commands[names[0]]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        if command.name == "search":
            continue  # words of a search may begin with a minus
        options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known | {"--help"}, shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_pages_name_exist(page: Path) -> None:
    named = set(re.findall(r"\bOPENREK_[A-Z0-9_]+\b", page.read_text(encoding="utf-8")))
    known = {f"OPENREK_{name.upper()}" for name in Settings.model_fields} | {"OPENREK_TEST_MEDIA"}
    assert named <= known


def test_every_decision_is_numbered_and_titled() -> None:
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        assert path.read_text().startswith(f"# {path.name[:4]}: "), path.name
