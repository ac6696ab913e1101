"""`openrek`: the command line's entry. A group of commands is a module of its own; heavy imports wait for a command."""

import sys
from typing import Annotated

import typer

from openrek import __version__
from openrek.cli import (
    buckets,
    celebrities,
    collections,
    demo,
    detect,
    doctor,
    faces,
    jobs,
    keys,
    labels,
    library,
    models,
    reviews,
    serve,
    settings,
    video,
    worker,
)
from openrek.cli.common import console_err, foreseeable, unfold_output

app = typer.Typer(
    name="openrek",
    help="The Amazon Rekognition API, answered on your own machine with real computer vision.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.add_typer(detect.app, name="detect")
app.add_typer(faces.app, name="faces")
app.add_typer(video.app, name="video")
app.command("index")(library.index)
app.command("search", context_settings=library.SEARCH_CONTEXT)(library.search_command)
app.command("labels")(labels.labels)
app.add_typer(models.app, name="models")
app.add_typer(celebrities.app, name="celebrities")
app.add_typer(collections.app, name="collections")
app.add_typer(reviews.app, name="reviews")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(buckets.app, name="buckets")
app.command("settings")(settings.settings)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openrek {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Settings come from OPENREK_* environment variables; `openrek settings` shows them all."""


def main() -> None:
    """Run the command line. A foreseeable failure is one sentence on standard error and exit status 1."""
    unfold_output()
    try:
        app()
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if not isinstance(error, foreseeable()):
            raise
        console_err.print("[bold red]openrek:[/] ", end="")
        console_err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
