"""What the commands share: consoles, settings with overrides, the runtime, and errors a person can act on."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console

from openrek.settings import Settings

if TYPE_CHECKING:
    from openrek.service.services import Services

console = Console()
console_err = Console(stderr=True)

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the database, keys and buckets \\[env: OPENREK_HOME].", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


WIDE: Final = 100_000
"""Columns of an output that is no terminal."""


class UserError(Exception):
    """A failure whose message is all a person needs: printed as one sentence, exit status 1."""


def counted(count: int, what: str) -> str:
    """ "1 frame", "2 frames", "12,000 frames"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def settings_from(**overrides: Any) -> Settings:
    """The settings of the environment, with the options that were given above them (None means not given)."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} (got {item['input']!r})"
            for item in error.errors()
        )
        raise UserError(f"the settings are not valid: {problems}") from error
    except SettingsError as error:  # a variable that has to be JSON
        raise UserError(f"the settings are not valid: {error}: {error.__cause__}") from error


def unfold_output() -> None:
    """Let no table be cut where the output goes to a file or to another program, unless COLUMNS says how wide it is."""
    for each in (console, console_err):
        if not each.is_terminal and "COLUMNS" not in os.environ:
            each.width = WIDE


@cache
def foreseeable() -> tuple[type[Exception], ...]:
    """The error families of the lower floors whose messages are written for the person at the keyboard."""
    from openrek.jobs.errors import JobStateError
    from openrek.store.errors import StoreError
    from openrek.vision.image import ImageError
    from openrek.vision.runtime import ModelError

    return (UserError, JobStateError, StoreError, ImageError, ModelError)


def services_from(settings: Settings) -> "Services":
    """What handlers work with, for commands that need no server; downloads of models show bars on standard error."""
    from openrek.cli.progress import DownloadBars
    from openrek.service.services import Services

    return Services(settings, progress=DownloadBars())
