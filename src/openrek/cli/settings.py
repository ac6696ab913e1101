"""`openrek settings`: every setting, what it is now, its default, and what it does; also the page docs/settings.md."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from openrek.cli.common import JsonOption, console, settings_from
from openrek.settings import Settings

INTRODUCTION: Final = """\
# Settings

<!-- Made from the settings themselves by: openrek settings --markdown > docs/settings.md -->

Every setting is an environment variable; options of the command line go above them. Sizes are in bytes, times in
seconds unless the text says otherwise. Where no default stands here, the text says what holds. `openrek settings` shows
what is set, `openrek doctor` what is wrong with it.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. default: "" where there is none, or where it depends on the machine or the profile."""

    variable: str
    default: str
    about: str
    value: str
    given: bool


def settings(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
) -> None:
    """Every setting: its variable, what it is now, and what it does. Those that are set come first."""
    found = list(all_settings(settings_from()))
    if markdown:
        typer.echo(page(found), nl=False)
    elif as_json:
        shown = [
            {"Variable": each.variable, "Value": each.value, "Default": each.default, "Set": each.given}
            for each in found
        ]
        typer.echo(json.dumps({"Settings": shown}))
    else:
        table = Table(box=None, header_style="dim")
        for column in ("variable", "now", "what"):
            table.add_column(column, no_wrap=column == "variable", overflow="fold")
        for each in sorted(found, key=lambda setting: not setting.given):
            name = f"[bold]{each.variable}[/]" if each.given else each.variable
            table.add_row(name, escape(each.value), escape(each.about))
        console.print(table)


def all_settings(current: Settings) -> Iterator[Setting]:
    """Every setting in the order of `Settings`; addresses that are set may hold a password, and are not shown."""
    given = {name.upper() for name in os.environ}
    for name, field in Settings.model_fields.items():
        variable = f"OPENREK_{name.upper()}"
        default = "" if field.default_factory is not None else _text(field.default)
        value = _text(getattr(current, name))
        is_set = variable in given
        yield Setting(
            variable, default, field.description or "", "(set)" if is_set and "://" in value else value, is_set
        )


def page(found: list[Setting]) -> str:
    """docs/settings.md."""
    rows = [f"| `{each.variable}` | {each.default} | {each.about.replace('|', chr(92) + '|')} |" for each in found]
    return "\n".join([INTRODUCTION, "| variable | default | what |", "|---|---|---|", *rows]) + "\n"


def _text(value: Any) -> str:
    match value:
        case None | {}:
            return ""
        case bool():
            return str(value).lower()
        case StrEnum():
            return value.value
        case float():
            return f"{value:g}" if value < 1e6 else f"{value:.0f}"
        case _:
            return str(value)
