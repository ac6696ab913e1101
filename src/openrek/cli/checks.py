"""What `openrek doctor` looks at: of each thing, whether it is well, and how to mend it. A check changes nothing."""

import importlib.metadata
import os
import platform
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from openrek import __version__
from openrek.settings import MIB, Settings

ROOM: Final = 200 * MIB
"""Free space under which a folder counts as full."""

MEMORY: Final = 1024 * MIB
"""Available memory under which a server with all models may be ended by the system."""


class State(StrEnum):
    GOOD = "good"
    NOTE = "note"  # worth knowing; everything works, or will when it is needed
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` is a command or a setting that mends it."""

    area: str
    state: State
    text: str
    fix: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def good(area: str, text: str) -> Finding:
    return Finding(area, State.GOOD, text)


def note(area: str, text: str, fix: str = "") -> Finding:
    return Finding(area, State.NOTE, text, fix)


def wrong(area: str, text: str, fix: str) -> Finding:
    return Finding(area, State.WRONG, text, fix)


def check_program(_: Settings) -> Iterator[Finding]:
    """openrek, Python, and every package that openrek requires, in a version that it accepts."""
    from packaging.requirements import Requirement

    yield good("program", f"openrek {__version__} in {Path(__file__).parent.parent}")
    yield good("program", f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}")
    try:
        lines = importlib.metadata.requires("openrek") or []
    except importlib.metadata.PackageNotFoundError:
        yield wrong("program", "openrek is not installed as a package", "pip install -e .")
        return
    found: list[str] = []
    for requirement in map(Requirement, lines):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        fix = f"pip install '{requirement.name}{requirement.specifier}'"
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield wrong("program", f"the package {requirement.name} is not installed", fix)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} {version}")
        else:
            yield wrong("program", f"{requirement.name} {version} is not {requirement.specifier}", fix)
    yield good("program", ", ".join(found))


def check_settings(settings: Settings) -> Iterator[Finding]:
    """The settings that are not at their default, and variables that look like settings but are none."""
    known = {f"OPENREK_{name.upper()}" for name in Settings.model_fields}
    given = sorted(name for name in os.environ if name.upper() in known)
    shown = [f"{name}={'(set)' if '://' in os.environ[name] else os.environ[name]}" for name in given]
    yield good("settings", f"profile {settings.profile}; " + (", ".join(shown) or "all at their defaults"))
    for name in sorted(os.environ):
        if name.startswith("OPENREK_") and name.upper() not in known and not name.startswith("OPENREK_TEST_"):
            yield note("settings", f"{name} is not a setting of openrek and has no effect", f"unset {name}")


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Cores, threads, memory and execution providers."""
    import onnxruntime

    from openrek.vision.runtime.hardware import usable_cores
    from openrek.vision.runtime.runtime import THREADS
    from openrek.vision.runtime.session import execution_providers

    cores = usable_cores()
    threads = settings.threads or min(cores, THREADS)
    yield good("machine", f"{cores} cores may be used, of {os.cpu_count()} processors; {threads} threads a model run")
    if threads > cores:
        yield note("machine", f"OPENREK_THREADS={threads} is more than the {cores} cores", "unset OPENREK_THREADS")
    memory = available_memory()
    if memory is not None:
        text = f"{memory / MIB:.0f} MiB of memory available"
        if memory < MEMORY:
            yield note("machine", text, "close other programs or raise the container's memory limit")
        else:
            yield good("machine", text)
    yield good("machine", f"ONNX Runtime {onnxruntime.__version__} runs models on {', '.join(execution_providers())}")
    builds = [name for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino") if _installed(name)]
    if len(builds) > 1:
        fix = f"pip uninstall --yes {' '.join(builds)} && pip install {builds[-1]}"
        yield wrong("machine", f"{' and '.join(builds)} are both installed and overwrite each other's files", fix)


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes this process may still take: of the machine and of its container. None where the system does not say."""
    amounts: list[int] = []
    try:
        lines = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines())
        amounts.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            amounts.append(max(0, int(limit) - int((cgroup / "memory.current").read_text())))
    except (OSError, ValueError):
        pass
    return min(amounts, default=None)


def check_folders(settings: Settings) -> Iterator[Finding]:
    """Home and cache: there or makeable, writable, private, with room."""
    for area, folder, variable in (("home", settings.home, "OPENREK_HOME"), ("cache", settings.cache, "OPENREK_CACHE")):
        elsewhere = f"set {variable} to another folder"
        if not folder.exists():
            parent = next(parent for parent in folder.absolute().parents if parent.exists())
            if os.access(parent, os.W_OK | os.X_OK) and parent.is_dir():
                yield note(area, f"{folder} is not there yet; the first use makes it")
            else:
                yield wrong(area, f"{folder} is not there and cannot be made in {parent}", elsewhere)
            continue
        if not folder.is_dir():
            yield wrong(area, f"{folder} is not a folder", elsewhere)
            continue
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield wrong(area, f"{folder} cannot be read and written by this user", f"chown -R $(id -u) '{folder}'")
        if area == "home" and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield wrong(area, f"{folder} can be written by other users", f"chmod go-w '{folder}'")
        free = shutil.disk_usage(folder).free
        if free < ROOM:
            yield wrong(area, f"{folder} has only {free / MIB:.0f} MiB free", f"free some space, or {elsewhere}")
        else:
            yield good(area, f"{folder}, {free / 1024 / MIB:.1f} GiB free")


def check_database(settings: Settings) -> Iterator[Finding]:
    """The metadata database: reachable, whole, and of a schema that this version knows."""
    from openrek.store.schema import HEAD

    address = settings.database_address
    if not address.startswith("sqlite:///"):
        yield from _check_server_database(address, HEAD)
        return
    path = Path(address.removeprefix("sqlite:///"))
    if not path.exists():
        yield note("database", f"{path} is not there yet; the first start makes it")
        return
    if path.stat().st_mode & 0o077:
        yield wrong("database", f"{path} can be read by other users and holds secrets", f"chmod 600 '{path}'")
    restore = "restore it from a backup, or set OPENREK_HOME to a new folder"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        yield wrong("database", f"{path} cannot be read: {error}", restore)
        return
    if verdict != "ok":
        yield wrong("database", f"{path} is damaged: {verdict}", restore)
    else:
        yield _revision(str(path), str(revision[0]) if revision else None, HEAD)


def _check_server_database(address: str, head: str) -> Iterator[Finding]:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

    fix = "check OPENREK_DATABASE_URL and that the server runs"
    try:
        url = sqlalchemy.make_url(address)
        shown = url.render_as_string(hide_password=True)
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        engine = sqlalchemy.create_engine(url)
    except ArgumentError:
        yield wrong("database", "OPENREK_DATABASE_URL is not a database address", "use postgresql://user@host/name")
        return
    except (ImportError, SQLAlchemyError):
        yield wrong("database", f"the driver for {shown} is not installed", "pip install 'openrek[postgresql]'")
        return
    try:
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                yield note("database", f"{shown} has no tables yet; the first start makes them")
                return
            revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        yield _revision(shown, revision and str(revision), head)
    except DBAPIError as error:
        yield wrong("database", f"{shown} cannot be reached: {' '.join(str(error.orig).split())}", fix)
    finally:
        engine.dispose()


def _revision(where: str, revision: str | None, head: str) -> Finding:
    if revision is not None and revision > head:
        text = f"{where} has schema revision {revision}, newer than this openrek's {head}"
        return wrong("database", text, "pip install --upgrade openrek")
    if revision != head:
        return note("database", f"{where} has schema revision {revision}; the next start brings it to {head}")
    return good("database", f"{where}, schema revision {revision}")


def check_models(settings: Settings) -> Iterator[Finding]:
    """Every model of the catalogue: here and whole, or how it will come here."""
    from openrek.cli.models import library_from
    from openrek.service.services import check_detector
    from openrek.vision.runtime import ModelError

    try:
        library = library_from(settings)
    except ModelError as error:
        yield wrong("models", str(error), f"correct or remove the card in {settings.home / 'models.d'}")
        return
    try:
        check_detector(settings, library.catalogue)
    except ModelError as error:
        yield wrong("models", str(error), "set OPENREK_DETECTOR to one of these, or unset it")
    states = {name: library.state(card).value for name, card in library.catalogue.items()}
    present = [name for name, state in states.items() if state == "present"]
    if present:
        yield good("models", f"here and whole: {', '.join(present)}")
    for name, state in states.items():
        card = library.catalogue[name]
        if state == "corrupt" or (state == "missing" and card.packaged):
            text = f"the file of {name} ({library.cache.original(card)}) is {state}"
            yield wrong("models", text, library.pull_command(name) if not card.packaged else "install openrek again")
    missing = [card for card in library.catalogue.values() if states[card.name] == "missing" and not card.packaged]
    needed = [card for card in missing if "base" in card.packs or card.name == settings.detector]
    if others := [card.name for card in missing if card not in needed]:
        yield note("models", f"not fetched, and not needed: {', '.join(others)}", library.pull_command("plus"))
    if settings.model_mirror and "://" not in settings.model_mirror and not Path(settings.model_mirror).is_dir():
        yield wrong(
            "models", f"the mirror folder {settings.model_mirror} does not exist", "correct OPENREK_MODEL_MIRROR"
        )
    if needed:
        text = f"not fetched yet: {', '.join(card.name for card in needed)}"
        names = dict.fromkeys("base" if "base" in card.packs else card.name for card in needed)
        pull = library.pull_command(*names)
        if settings.offline:
            yield wrong("models", f"{text}, and downloading is off", pull)
        else:
            yield note("models", f"{text}; the first use does", pull)


def check_moderation(settings: Settings) -> Iterator[Finding]:
    """What moderation cannot see, and NudeNet where it is asked for."""
    from openrek.cli.blind import blind_sentence
    from openrek.vision.moderation import nudity
    from openrek.vision.runtime import ModelError

    try:
        yield note("moderation", blind_sentence(settings))
    except ModelError as error:
        yield wrong("moderation", str(error), f"correct or remove the card in {settings.home / 'models.d'}")
    if settings.nudenet and not nudity.installed():
        yield wrong(
            "moderation", "OPENREK_NUDENET is on, but NudeNet is not installed", "pip install 'openrek[nudenet]'"
        )


def check_index(settings: Settings) -> Iterator[Finding]:
    """Whether the package index has what the base models are taken from."""
    from openrek.cli.models import library_from
    from openrek.vision.runtime import ModelError
    from openrek.vision.runtime.cards import PackageSource
    from openrek.vision.runtime.download import Client, DownloadError
    from openrek.vision.runtime.packages import PackageIndex
    from openrek.vision.runtime.pipconfig import read_pip_config

    if settings.offline:
        yield note("index", "not asked, because downloading is off (OPENREK_OFFLINE)")
        return
    try:
        library = library_from(settings)
    except ModelError:
        return  # said by check_models
    cards = library.catalogue.pack("base")
    complete = all(library.state(card).value == "present" for card in cards)
    releases = {(s.project, s.version) for card in cards for s in card.sources if isinstance(s, PackageSource)}
    pip = read_pip_config()
    with Client(pip, timeout=(5.0, 10.0)) as client:
        index = PackageIndex(client, pip, settings.index_url)
        for project, version in sorted(releases):
            try:
                package = next(index.find(project, version))
            except DownloadError as error:
                text = f"no package index gives {project} {version}: {error}"
                fix = "check the network and pip's configuration, or set OPENREK_INDEX_URL or OPENREK_MODEL_MIRROR"
                yield note("index", text) if complete else wrong("index", text, fix)
            else:
                yield good("index", f"{project} {version} can be had ({package.filename})")


def check_port(settings: Settings) -> Iterator[Finding]:
    """Whether `openrek serve` could listen."""
    address = f"{settings.host} port {settings.port}"
    try:
        family, kind, _, _, where = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
    except OSError as error:
        if _answers(settings):
            yield good("port", f"an openrek server answers on {address}")
        else:
            text = f"cannot listen on {address}: {error.strerror or error}"
            yield wrong("port", text, f"openrek serve --port {(settings.port + 1) % 65536}")
    else:
        yield good("port", f"{address} is free")


def _answers(settings: Settings) -> bool:
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between us and ourselves
            answer = session.get(f"http://{settings.host}:{settings.port}/health", timeout=2)
            return bool(answer.json().get("version"))
    except (requests.RequestException, ValueError, AttributeError):
        return False


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


CHECKS: Final[tuple[Check, ...]] = (
    check_program,
    check_settings,
    check_machine,
    check_folders,
    check_database,
    check_models,
    check_moderation,
    check_index,
    check_port,
)


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check; one that fails itself is a finding, not an end."""
    for check in CHECKS:
        area = check.__name__.removeprefix("check_")
        try:
            yield from check(settings)
        except Exception as error:
            yield wrong(area, f"the check failed: {type(error).__name__}: {error}", "report this as a bug")
