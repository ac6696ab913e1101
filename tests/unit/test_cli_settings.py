"""`openrek settings` and the page of all settings."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openrek.cli.common import UserError, console, console_err, settings_from
from openrek.cli.main import app, main
from openrek.cli.settings import all_settings, page
from openrek.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"OPENREK_{name.upper()}", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def test_the_page_is_current() -> None:
    """Otherwise run: openrek settings --markdown > docs/settings.md"""
    assert PAGE.read_text(encoding="utf-8") == page(list(all_settings(Settings())))
    shown = CliRunner().invoke(app, ["settings", "--markdown"])
    assert shown.stdout == PAGE.read_text(encoding="utf-8")


def test_every_setting_is_explained() -> None:
    found = list(all_settings(Settings()))
    assert len(found) == len(Settings.model_fields)
    assert [each.variable for each in found if not each.about] == []


def test_names_are_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = CliRunner().invoke(app, ["settings"]).stdout.split()
    assert {each.variable for each in all_settings(Settings())} <= set(words)


def test_a_file_or_a_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for each in (console, console_err):
        monkeypatch.setattr(each, "_width", None)  # put back afterwards
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr("sys.argv", ["openrek", "settings"])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(Settings.model_fields)
    assert any(line.rstrip().endswith("4 GiB under relaxed") for line in lines)


def test_what_is_set_comes_first_and_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENREK_DATABASE_URL", "postgresql://me:secret@host/name")
    monkeypatch.setenv("OPENREK_CHUNK_SECONDS", "30")
    shown = CliRunner().invoke(app, ["settings"]).stdout
    lines = [line.split() for line in shown.splitlines() if line.startswith(" OPENREK_")]  # a narrow table wraps
    assert [line[:2] for line in lines[:2]] == [["OPENREK_DATABASE_URL", "(set)"], ["OPENREK_CHUNK_SECONDS", "30"]]
    assert "secret" not in shown
    answer = json.loads(CliRunner().invoke(app, ["settings", "--json"]).stdout)["Settings"]
    chunk = {"Variable": "OPENREK_CHUNK_SECONDS", "Value": "30", "Default": "60", "Set": True}
    assert chunk in answer
    assert [each["Variable"] for each in answer if each["Set"]] == ["OPENREK_DATABASE_URL", "OPENREK_CHUNK_SECONDS"]
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize("region", ["eu/x", "", "eu west", "eu-", "a:b", "é"])
def test_a_region_that_no_signature_can_name_is_refused(region: str) -> None:
    with pytest.raises(UserError, match="region: String should match pattern"):
        settings_from(region=region)


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "local", "x"])
def test_regions(region: str) -> None:
    assert settings_from(region=region).region == region
