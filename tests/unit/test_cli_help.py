"""The help of every command: complete sentences, and nothing of them lost to markup."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from openrek.cli.main import app


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*words, name))


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_says_all_of_what_was_written(words: tuple[str, ...]) -> None:
    """Text in brackets, such as a variable's name, is no markup."""
    command = ALL[words]
    shown = " ".join(CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "400"}).stdout.split())
    shown = " ".join(shown.replace("│", " ").split())
    assert command.help
    for option in command.params:
        if getattr(option, "hidden", False) or option.name == "help":
            continue
        assert option.help, f"{option.name} is not explained"
        for word in option.help.replace("\\[", "[").split():
            assert word in shown, f"{word!r} of {option.name} is lost"


def test_there_are_all_commands() -> None:
    assert len(ALL) > 40
