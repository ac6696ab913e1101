"""`openrek serve`: its options become settings before anything is opened."""

import pytest
import typer
from typer.testing import CliRunner

from openrek.cli import serve
from openrek.cli.main import app
from openrek.settings import Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that a start would have listened with."""
    seen: list[Settings] = []

    def listen(settings: Settings) -> None:
        seen.append(settings)
        raise typer.Exit

    monkeypatch.setattr(serve, "listen", listen)
    return seen


@pytest.mark.parametrize("option", ["--job-workers", "--workers"])
def test_processes_for_stored_video_are_job_workers(asked: list[Settings], option: str) -> None:
    """OPENREK_WORKERS is something else; the option's former name still works."""
    CliRunner().invoke(app, ["serve", option, "3"])
    assert [(settings.job_workers, settings.workers) for settings in asked] == [(3, None)]


def test_the_former_name_is_not_offered() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--job-workers" in shown
    assert " --workers" not in shown
