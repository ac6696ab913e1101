"""Downloads over a server that breaks off, lies and stalls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openrek.vision.runtime.download import CHUNK, Client, DownloadError, NotThereError, download, is_loopback, shown
from openrek.vision.runtime.pipconfig import PipConfig
from tests.unit.runtime_kit import FileServer, serving

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "m.onnx").write_bytes(CONTENT)
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=(5.0, 1.0)) as client:
        client.trust_env = False
        yield client


def fetch(client: Client, server: FileServer, part: Path, *, limit: int = len(CONTENT)) -> tuple[bool, list[int]]:
    reports: list[int] = []
    resumed = download(
        client,
        f"{server.url}/m.onnx",
        part,
        limit=limit,
        report=lambda done, total: reports.append(done),
        pause=0.01,
    )
    return resumed, reports


def test_a_whole_file(client: Client, server: FileServer, tmp_path: Path) -> None:
    resumed, reports = fetch(client, server, tmp_path / "part")
    assert not resumed
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert reports[0] == 0
    assert reports[-1] == len(CONTENT)
    assert reports == sorted(reports)


def test_it_goes_on_where_an_earlier_process_stopped(client: Client, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:1000])
    resumed, reports = fetch(client, server, tmp_path / "part")
    assert resumed
    assert server.seen == [("/m.onnx", "bytes=1000-")]
    assert reports[0] == 1000
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_it_goes_on_after_breaks(client: Client, server: FileServer, tmp_path: Path) -> None:
    server.faults["/m.onnx"] = ["cut:300000", "cut:200000"]
    fetch(client, server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    places = [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for _, asked in server.seen]
    assert places[0] == 0
    assert 300_000 - CHUNK < places[1] <= 300_000
    assert places[1] + 200_000 - CHUNK < places[2] <= places[1] + 200_000


def test_a_server_that_cannot_resume_begins_again(client: Client, server: FileServer, tmp_path: Path) -> None:
    server.faults["/m.onnx"] = ["cut:300000", "norange"]
    resumed, _ = fetch(client, server, tmp_path / "part")
    assert not resumed
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_server_that_resumes_elsewhere_is_not_believed(client: Client, server: FileServer, tmp_path: Path) -> None:
    server.faults["/m.onnx"] = ["cut:300000", "elsewhere"]
    fetch(client, server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_complete_part_needs_no_bytes(client: Client, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT)
    resumed, reports = fetch(client, server, tmp_path / "part")
    assert resumed
    assert reports == []


def test_a_part_longer_than_the_file_is_thrown_away(client: Client, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT + b"more")
    fetch(client, server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_stalled_server_is_left_and_asked_again(client: Client, server: FileServer, tmp_path: Path) -> None:
    server.faults["/m.onnx"] = ["stall"]
    resumed, _ = fetch(client, server, tmp_path / "part")
    assert resumed
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_server_that_always_breaks_off_is_given_up(client: Client, server: FileServer, tmp_path: Path) -> None:
    server.faults["/m.onnx"] = ["cut:20000"] * 5
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch(client, server, tmp_path / "part")
    assert len(server.seen) == 4
    kept = (tmp_path / "part").read_bytes()  # for the next try
    assert len(kept) >= 4 * CHUNK
    assert CONTENT.startswith(kept)


def test_busy_servers_are_asked_again(client: Client, server: FileServer, tmp_path: Path) -> None:
    server.faults["/m.onnx"] = [503, 429]
    fetch(client, server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_clear_no_is_not_asked_again(client: Client, server: FileServer, tmp_path: Path, status: int) -> None:
    server.faults["/m.onnx"] = [status] * 4
    with pytest.raises(NotThereError, match=rf"/m\.onnx answers {status}"):
        fetch(client, server, tmp_path / "part")
    assert len(server.seen) == 1


def test_nothing_longer_than_expected_is_taken(client: Client, server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is 1048576 bytes long where at most 1000 are expected"):
        fetch(client, server, tmp_path / "part", limit=1000)
    assert not (tmp_path / "part").exists()


def test_no_server(client: Client, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1 cannot be reached \(Connection refused\)$"):
        download(client, "http://127.0.0.1:9/m", tmp_path / "part", limit=1, report=lambda *_: None, pause=0.0)


@pytest.mark.parametrize("url", ["http://example.org/m", "ftp://127.0.0.1/m", "file:///etc/passwd", "https:///m"])
def test_only_https_leaves_the_machine(client: Client, url: str) -> None:
    with pytest.raises(DownloadError, match="is not an https address"):
        client.get(url)


def test_hosts_that_pip_trusts_may_speak_http() -> None:
    with Client(PipConfig(trusted_hosts=("pypi.lan", "other.lan:8080"))) as client:
        client.check("http://pypi.lan/simple")
        client.check("http://other.lan:8080/simple")
        with pytest.raises(DownloadError):
            client.check("http://other.lan/simple")


def test_redirects_are_followed_on_this_machine_and_not_down_to_http(
    client: Client, server: FileServer, tmp_path: Path
) -> None:
    (server.root / "other.onnx").write_bytes(CONTENT)
    server.faults["/m.onnx"] = [f"{server.url}/other.onnx"]
    fetch(client, server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    server.faults["/m.onnx"] = ["http://example.org/m.onnx"]
    with pytest.raises(DownloadError, match=r"http://example\.org/m\.onnx is not an https address"):
        fetch(client, server, tmp_path / "new")
    server.faults["/m.onnx"] = [f"{server.url}/m.onnx"] * 20
    with pytest.raises(DownloadError, match="redirects in circles"):
        fetch(client, server, tmp_path / "new")


def test_credentials_go_to_their_host_and_into_no_message(client: Client, server: FileServer) -> None:
    host = server.url.removeprefix("http://")
    client.get(f"http://jo:secret@{host}/m.onnx")
    client.get(f"{server.url}/m.onnx")
    assert server.headers[0]["Authorization"] == server.headers[1]["Authorization"] == "Basic am86c2VjcmV0"
    assert shown(f"http://jo:secret@{host}/m.onnx?token=secret#x") == f"http://{host}/m.onnx"


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "example.org", "127.0.0.1.example.org", "", None))


def test_pips_certificates_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    with Client(PipConfig(cert="/pip.pem")) as client:
        assert client.merge_environment_settings("https://x", {}, True, None, None)["verify"] == "/pip.pem"
    with Client() as client:
        assert client.merge_environment_settings("https://x", {}, True, None, None)["verify"] == "/requests.pem"
