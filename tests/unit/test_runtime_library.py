"""Model files: fetched once, verified always, never half there."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from openrek.vision.runtime import ModelUnavailableError
from openrek.vision.runtime.cache import STALE, State
from tests.unit.runtime_kit import FileServer, library, serving, sha256, tiny_model, wheel, write_card, write_index

MODEL = tiny_model()
OTHER = tiny_model(3.0)
NAME = "tiny_models-1.0-py3-none-any.whl"
PACKAGE = wheel({"tiny_models/a.onnx": MODEL, "tiny_models/b.onnx": OTHER})
PIPLESS = {"PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}


@pytest.fixture(autouse=True)
def _no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's configuration and proxies of this machine stay out."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in PIPLESS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    return tmp_path / "cards"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def index(server: FileServer, cards: Path) -> str:
    """An index with a package that holds the models a and b."""
    write_index(server.root / "simple", "tiny-models", {NAME: PACKAGE})
    write_card(cards, "a", MODEL, "pypi:tiny-models==1.0!tiny_models/a.onnx")
    write_card(cards, "b", OTHER, "pypi:tiny-models==1.0!tiny_models/b.onnx")
    return f"{server.url}/simple"


def files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "locks"
    )


def requests_for(server: FileServer, suffix: str) -> int:
    return sum(path.endswith(suffix) for path, _ in server.seen)


# --- packages ---------------------------------------------------------------------------------------------------------


def test_a_package_is_fetched_once_for_all_its_models(cards: Path, cache: Path, index: str, server: FileServer) -> None:
    reports: list[tuple[str, int, int | None]] = []
    with library(cards, cache, index_url=index, progress=lambda *report: reports.append(report)) as models:
        path = models.obtain(models.catalogue["a"])
        assert path == cache / "models" / "a" / sha256(MODEL)[:12] / "a.onnx"
        assert path.read_bytes() == MODEL
        assert models.obtain(models.catalogue["b"]).read_bytes() == OTHER
    assert requests_for(server, NAME) == 1
    assert reports[-1] == (NAME, len(PACKAGE), len(PACKAGE))
    assert files(cache) == [f"models/a/{sha256(MODEL)[:12]}/a.onnx", f"models/b/{sha256(OTHER)[:12]}/b.onnx"]


def test_a_warm_cache_needs_no_network(cards: Path, cache: Path, index: str, server: FileServer) -> None:
    with library(cards, cache, index_url=index) as models:
        models.pull(models.catalogue.values())
    seen = len(server.seen)
    with library(cards, cache, offline=True) as models:
        assert models.obtain(models.catalogue["a"]).read_bytes() == MODEL
    assert len(server.seen) == seen


def test_a_package_in_a_folder(cards: Path, cache: Path, index: str, server: FileServer) -> None:
    with library(cards, cache, index_url=(server.root / "simple").as_uri()) as models:
        assert models.obtain(models.catalogue["a"]).read_bytes() == MODEL
        assert models.state(models.catalogue["b"]) == State.PRESENT
    assert (server.root / "simple" / "tiny-models" / NAME).is_file()
    assert server.seen == []


def test_an_interrupted_package_is_resumed_by_the_next_process(
    cards: Path, cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tiny_model(ballast=400_000)
    package = wheel({"tiny_models/a.onnx": big, "tiny_models/noise": os.urandom(200_000)})
    write_index(server.root / "simple", "tiny-models", {NAME: package})
    write_card(cards, "a", big, "pypi:tiny-models==1.0!tiny_models/a.onnx")
    monkeypatch.setattr("openrek.vision.runtime.download.time.sleep", lambda _: None)
    server.faults[f"/simple/tiny-models/{NAME}"] = ["cut:60000", 500, 500, 500]
    with library(cards, cache, index_url=f"{server.url}/simple") as models:
        with pytest.raises(ModelUnavailableError, match="answers 500"):
            models.obtain(models.catalogue["a"])
        assert len(files(cache)) == 1  # the unfinished download
        assert models.obtain(models.catalogue["a"]).read_bytes() == big
    assert server.seen[-1][1] is not None
    assert len(files(cache)) == 1  # the model


def test_a_poisoned_unfinished_download_is_begun_again(
    cards: Path, cache: Path, index: str, server: FileServer
) -> None:
    with library(cards, cache, index_url=index) as models:
        part = models.cache.part(f"{index}/tiny-models/{NAME}", NAME)
        part.write_bytes(bytes(100))
        assert models.obtain(models.catalogue["a"]).read_bytes() == MODEL
    assert [asked for path, asked in server.seen if path.endswith(NAME)] == ["bytes=100-", None]


def test_other_content_in_the_package_is_refused(cards: Path, cache: Path, server: FileServer) -> None:
    write_index(server.root / "simple", "tiny-models", {NAME: wheel({"tiny_models/a.onnx": OTHER})})
    write_card(cards, "a", MODEL, "pypi:tiny-models==1.0!tiny_models/a.onnx")
    with library(cards, cache, index_url=f"{server.url}/simple") as models:
        with pytest.raises(ModelUnavailableError, match=rf"SHA-256 {sha256(OTHER)[:12]}.* says {sha256(MODEL)[:12]}"):
            models.obtain(models.catalogue["a"])
        assert models.state(models.catalogue["a"]) == State.MISSING
    assert files(cache) == []


def test_a_package_that_is_not_what_its_index_says_is_refused(
    cards: Path, cache: Path, index: str, server: FileServer
) -> None:
    server.faults[f"/simple/tiny-models/{NAME}"] = ["wrong"]
    with library(cards, cache, index_url=index) as models:
        with pytest.raises(ModelUnavailableError, match="the archive has SHA-256"):
            models.obtain(models.catalogue["a"])
        assert models.obtain(models.catalogue["a"]).read_bytes() == MODEL


# --- addresses and mirrors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{sha}/m.onnx", "owner/repo/raw/abc/m.onnx", "m.onnx"])
@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("decoy", [False, True])
def test_a_mirror_in_any_of_its_three_forms(
    cards: Path, cache: Path, server: FileServer, form: str, remote: bool, decoy: bool
) -> None:
    """`decoy`: another file of that name lies in the mirror's top folder and must not be taken."""
    write_card(cards, "m", MODEL, "https://nowhere.invalid/owner/repo/raw/abc/m.onnx")
    if decoy:
        (server.root / "m.onnx").write_bytes(OTHER)
    target = server.root / form.format(sha=sha256(MODEL))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(MODEL)
    mirror = f"{server.url}/" if remote else str(server.root)
    with library(cards, cache, mirror=mirror) as models:
        assert models.obtain(models.catalogue["m"]).read_bytes() == MODEL


def test_a_mirror_serves_packaged_models_too_and_offline(cards: Path, cache: Path, index: str, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.onnx").write_bytes(MODEL)
    with library(cards, cache, mirror=str(tmp_path / "mirror"), offline=True) as models:
        assert models.obtain(models.catalogue["a"]).read_bytes() == MODEL
        with pytest.raises(ModelUnavailableError, match=r"the mirror folder .* has no b\.onnx"):
            models.obtain(models.catalogue["b"])


def test_what_the_mirror_lacks_comes_from_the_source(cards: Path, cache: Path, index: str, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.onnx").write_bytes(OTHER)
    with library(cards, cache, mirror=str(tmp_path / "mirror"), index_url=index) as models:
        assert models.obtain(models.catalogue["a"]).read_bytes() == MODEL


def test_a_mirror_out_of_reach_is_asked_for_one_name_only(
    cards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("openrek.vision.runtime.download.time.sleep", pauses.append)
    write_card(cards, "m", MODEL, "https://127.0.0.1:9/owner/m.onnx")
    said = r"^The model 'm' is not in the cache .*Connection refused"
    mirrored = library(cards, cache, mirror="http://127.0.0.1:9/")
    with mirrored as models, pytest.raises(ModelUnavailableError, match=said):
        models.obtain(models.catalogue["m"])
    assert pauses == [0.5, 1.0, 2.0] * 2  # for the mirror, then for the source


# --- sentences --------------------------------------------------------------------------------------------------------


def test_offline_and_empty_says_what_to_do(cards: Path, cache: Path, index: str) -> None:
    with library(cards, cache, offline=True) as models, pytest.raises(ModelUnavailableError) as caught:
        models.obtain(models.catalogue["a"])
    assert str(caught.value) == (
        f"The model 'a' is not in the cache ({cache}) and downloading is off (OPENREK_OFFLINE): run "
        "`OPENREK_OFFLINE=0 openrek models pull base` once with a network, or set OPENREK_MODEL_MIRROR to a folder "
        "that holds a.onnx."
    )
    assert not cache.exists()


def test_no_network_says_what_to_do(cards: Path, cache: Path, index: str) -> None:
    offline = library(cards, cache, index_url="http://127.0.0.1:9/")
    with offline as models, pytest.raises(ModelUnavailableError) as caught:
        models.obtain(models.catalogue["a"])
    assert str(caught.value) == (
        f"The model 'a' is not in the cache ({cache}) and could not be fetched (127.0.0.1 cannot be reached "
        "(Connection refused)): run `openrek models pull base` with a network, or set OPENREK_MODEL_MIRROR to a folder "
        "that holds a.onnx."
    )


@pytest.mark.parametrize("content", [None, OTHER])
def test_a_file_beside_its_card(cards: Path, cache: Path, content: bytes | None) -> None:
    write_card(cards, "own", MODEL, "file:own.onnx")
    if content is not None:
        (cards / "own.onnx").write_bytes(content)
    with library(cards, cache) as models:
        with pytest.raises(ModelUnavailableError, match=r"own\.onnx, is not .*: put it right"):
            models.obtain(models.catalogue["own"])
        (cards / "own.onnx").write_bytes(MODEL)
        assert models.obtain(models.catalogue["own"]) == cards / "own.onnx"
    assert not cache.exists()


def test_a_cache_that_cannot_be_made(cards: Path, tmp_path: Path, index: str) -> None:
    (tmp_path / "taken").write_text("a file where the cache should be")
    said = r"cannot be stored in the cache .*OPENREK_CACHE"
    with (
        library(cards, tmp_path / "taken", index_url=index) as models,
        pytest.raises(ModelUnavailableError, match=said),
    ):
        models.obtain(models.catalogue["a"])


# --- damage -----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 10)])
def test_a_damaged_file_is_fetched_again(cards: Path, cache: Path, index: str, damage) -> None:
    with library(cards, cache, index_url=index) as models:
        card = models.catalogue["a"]
        damage(models.obtain(card))
        assert models.state(card) == State.CORRUPT
        assert models.obtain(card).read_bytes() == MODEL
        damage(models.obtain(card))
        models.pull([card])
        assert models.state(card) == State.PRESENT


def test_a_damaged_file_offline_is_said(cards: Path, cache: Path, index: str) -> None:
    with library(cards, cache, index_url=index) as models:
        flip(models.obtain(models.catalogue["a"]))
    said = "'a' is damaged in the cache"
    with library(cards, cache, offline=True) as models, pytest.raises(ModelUnavailableError, match=said):
        models.obtain(models.catalogue["a"])


def test_what_crashes_left_long_ago_is_removed(cards: Path, cache: Path, index: str) -> None:
    with library(cards, cache, index_url=index) as models:
        old = models.obtain(models.catalogue["a"]).with_name(".a.onnx-1.tmp")
        new = models.cache.part("x", "x.whl")
        for path in (old, new):
            path.write_text("half")
        os.utime(old, (0, time.time() - STALE - 1))
        models.pull([])
    assert not old.exists()
    assert new.exists()


# --- preparation ------------------------------------------------------------------------------------------------------


FIXED = tiny_model(fixed=True)
FREE = {"step": "dynamic-input", "options": {"shapes": {"x": ["batch", 3]}, "rename": {"x": "image", "y": "score"}}}


@pytest.fixture
def fixed(cards: Path, server: FileServer) -> str:
    (server.root / "fixed.onnx").write_bytes(FIXED)
    write_card(cards, "fixed", FIXED, "https://nowhere.invalid/fixed.onnx", prepare=FREE)
    return server.url


def test_a_prepared_file_is_made_once(cards: Path, cache: Path, fixed: str) -> None:
    with library(cards, cache, mirror=fixed) as models:
        path = models.obtain(models.catalogue["fixed"])
        made = path.stat().st_mtime_ns
        assert models.obtain(models.catalogue["fixed"]).stat().st_mtime_ns == made
    graph = onnx.load(str(path)).graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["score"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_damaged_prepared_file_is_made_again(cards: Path, cache: Path, fixed: str) -> None:
    with library(cards, cache, mirror=fixed) as models:
        card = models.catalogue["fixed"]
        path = models.obtain(card)
        whole = path.read_bytes()
        flip(path)
        assert models.state(card) == State.CORRUPT
        assert models.obtain(card).read_bytes() == whole
        path.with_name(path.name + ".json").write_text("{")
        assert models.state(card) == State.CORRUPT
        models.pull([card])
        assert models.state(card) == State.PRESENT
        path.unlink()
        assert models.state(card) == State.PRESENT  # made when needed
        models.cache.original(card).unlink()
        assert models.state(card) == State.MISSING


def test_other_options_are_another_file(cards: Path, cache: Path, fixed: str) -> None:
    with library(cards, cache, mirror=fixed) as models:
        first = models.obtain(models.catalogue["fixed"])
    more = {"step": "dynamic-input", "options": {"shapes": {"x": ["n", 3]}}}
    write_card(cards, "fixed", FIXED, "https://nowhere.invalid/fixed.onnx", prepare=more)
    with library(cards, cache, offline=True) as models:
        assert models.obtain(models.catalogue["fixed"]) != first


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ({"step": "magic"}, "no preparation step 'magic'; there are dynamic-input"),
        ({"step": "dynamic-input", "options": {"shapes": {"z": [1]}}}, "names 'z', which is no input or output"),
    ],
)
def test_preparations_that_cannot_be(cards: Path, cache: Path, fixed: str, prepare: object, said: str) -> None:
    write_card(cards, "fixed", FIXED, "https://nowhere.invalid/fixed.onnx", prepare=prepare)
    with library(cards, cache, mirror=fixed) as models, pytest.raises(Exception, match=said):
        models.obtain(models.catalogue["fixed"])


def test_a_file_that_is_no_onnx_cannot_be_prepared(cards: Path, cache: Path, server: FileServer) -> None:
    (server.root / "fixed.onnx").write_bytes(b"junk" * 10)
    write_card(cards, "fixed", b"junk" * 10, "https://nowhere.invalid/fixed.onnx", prepare=FREE)
    said = "'dynamic-input' cannot prepare the file of the model 'fixed'"
    with library(cards, cache, mirror=server.url) as models, pytest.raises(ModelUnavailableError, match=said):
        models.obtain(models.catalogue["fixed"])


# --- several at once, and kill -9 -------------------------------------------------------------------------------------


def test_threads_fetch_once(cards: Path, cache: Path, index: str, server: FileServer) -> None:
    server.faults[f"/simple/tiny-models/{NAME}"] = ["slow"]
    with library(cards, cache, index_url=index) as models:
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda name=name: found.append(models.obtain(models.catalogue[name]).read_bytes()))
            for name in "abab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted([MODEL, OTHER, MODEL, OTHER])
    assert requests_for(server, NAME) == 1


PULL = """
import sys
from pathlib import Path
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.library import ModelLibrary
models = ModelLibrary(Catalogue(folder=Path(sys.argv[1])), Path(sys.argv[2]), index_url=sys.argv[3])
models.pull(models.catalogue.values())
models.close()
"""


def pulling(cards: Path, cache: Path, index: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", PULL, str(cards), str(cache), index], env=os.environ | PIPLESS)


def test_two_processes_fetch_once(cards: Path, cache: Path, index: str, server: FileServer) -> None:
    server.faults[f"/simple/tiny-models/{NAME}"] = ["slow"]
    with pulling(cards, cache, index) as first, pulling(cards, cache, index) as second:
        assert (first.wait(30), second.wait(30)) == (0, 0)
    assert requests_for(server, NAME) == 1
    with library(cards, cache, offline=True) as models:
        assert [models.state(card) for card in models.catalogue.values()] == [State.PRESENT] * 2


def test_a_killed_pull_leaves_nothing_wrong_and_is_resumed(cards: Path, cache: Path, server: FileServer) -> None:
    big = tiny_model(ballast=1_000_000)
    package = wheel({"tiny_models/noise": os.urandom(1_000_000), "tiny_models/a.onnx": big})
    write_index(server.root / "simple", "tiny-models", {NAME: package})
    write_card(cards, "a", big, "pypi:tiny-models==1.0!tiny_models/a.onnx")
    index = f"{server.url}/simple"
    server.faults[f"/simple/tiny-models/{NAME}"] = ["slow"]
    with pulling(cards, cache, index) as process:
        deadline = time.monotonic() + 30
        while not any(part.stat().st_size > 100_000 for part in cache.glob("downloads/*.part")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    with library(cards, cache, offline=True) as models:
        assert models.state(models.catalogue["a"]) == State.MISSING
    with pulling(cards, cache, index) as process:  # the dead process holds no lock
        assert process.wait(30) == 0
    assert server.seen[-1][1] is not None
    with library(cards, cache, offline=True) as models:
        assert models.obtain(models.catalogue["a"]).read_bytes() == big
    assert len(files(cache)) == 1
