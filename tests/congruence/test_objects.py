"""One script on both object stores: the folder of buckets, and S3 as moto's server speaks it in a process beside us."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import boto3
import pytest

from openrek.store.objects import (
    FolderStore,
    ObjectNotFoundError,
    ObjectStore,
    ObjectStoreError,
    ObjectTooLargeError,
    S3Store,
)

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

LIMIT = 1_000_000


class Side(Protocol):
    """A store, and the owner's way of putting things into it."""

    store: ObjectStore

    def create_bucket(self, bucket: str, versioning: bool) -> None: ...
    def put(self, bucket: str, key: str, content: bytes) -> str | None: ...
    def delete(self, bucket: str, key: str) -> None: ...


class FolderSide:
    def __init__(self, root: Path) -> None:
        self.store = FolderStore(root)

    def create_bucket(self, bucket: str, versioning: bool) -> None:
        self.store.create_bucket(bucket, versioning=versioning)

    def put(self, bucket: str, key: str, content: bytes) -> str | None:
        return self.store.put(bucket, key, content).version

    def delete(self, bucket: str, key: str) -> None:
        self.store.delete(bucket, key)


class S3Side:
    def __init__(self, endpoint: str) -> None:
        self.store = S3Store(endpoint)
        self._client: S3Client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")

    def create_bucket(self, bucket: str, versioning: bool) -> None:
        self._client.create_bucket(Bucket=bucket)
        if versioning:
            self._client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, bucket: str, key: str, content: bytes) -> str | None:
        return self._client.put_object(Bucket=bucket, Key=key, Body=content).get("VersionId")

    def delete(self, bucket: str, key: str) -> None:
        self._client.delete_object(Bucket=bucket, Key=key)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's server on a free port, with made-up credentials for it in the environment."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in credentials.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        try:
            wait_for(endpoint, server)
            yield endpoint
        finally:
            server.terminate()
            server.wait(timeout=30)


def wait_for(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "moto's server did not start"
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("moto's server did not answer within 60 s")


@pytest.fixture(scope="module")
def s3_side(s3_endpoint: str) -> S3Side:
    return S3Side(s3_endpoint)


@pytest.fixture(params=["folder", "s3"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Side:
    side: FolderSide | S3Side
    if request.param == "folder":
        side = FolderSide(tmp_path / "buckets")
    else:
        side = request.getfixturevalue("s3_side")
        assert isinstance(side.store, S3Store)
        reset = urllib.request.Request(f"{side.store.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset, timeout=30).close()
    side.create_bucket("photos", False)
    side.create_bucket("kept", True)
    return side


def test_what_was_put_is_read(side: Side) -> None:
    before = datetime.now(UTC).timestamp()
    for content in (b"", b"x", os.urandom(300_000)):
        side.put("photos", "k", content)
        assert side.store.read("photos", "k", limit=LIMIT) == content
        info = side.store.head("photos", "k")
        assert info.size == len(content)
        assert info.version is None
        assert info.last_modified.utcoffset() is not None
        assert before - 2 < info.last_modified.timestamp() < before + 60


def test_what_was_put_is_opened_as_a_stream(side: Side) -> None:
    content = os.urandom(300_000)
    side.put("photos", "k", content)
    with side.store.open("photos", "k") as (info, stream):
        assert info == side.store.head("photos", "k")
        first = stream.read(100_000)
        assert first + stream.read() == content
        assert stream.read(10) == b""
    with pytest.raises(ObjectNotFoundError), side.store.open("photos", "missing"):
        pass
    assert side.store.local == isinstance(side, FolderSide)


@pytest.mark.parametrize(
    "key",
    [
        "photo.jpg",
        "2024/summer/beach 1.jpg",
        "été/図 1.png",
        "100%.jpg",
        "a%2Fb",
        "a%20b+c&d=e?f#g",
        ".hidden",
        "folder/",
        "trailing.",
        " space ",
        "~!@$^*()_-={}[]|;:',<>",
        "x" * 1024,
    ],
)
def test_keys_of_all_kinds(side: Side, key: str) -> None:
    side.put("photos", key, b"content")
    assert side.store.read("photos", key, limit=LIMIT) == b"content"
    assert side.store.head("photos", key).size == 7


def test_keys_that_differ_little_are_different(side: Side) -> None:
    names = ["a", "A", "a/b", "a/b/c", "a ", "á", "a\u0301"]
    for number, key in enumerate(names):
        side.put("photos", key, str(number).encode())
    for number, key in enumerate(names):
        assert side.store.read("photos", key, limit=LIMIT) == str(number).encode()


@pytest.mark.parametrize(
    ("bucket", "key", "version"),
    [
        ("absent", "k", None),
        ("photos", "absent", None),
        ("photos", "k/", None),
        ("photos", "K", None),
        ("photos", "folder", None),
        ("photos", "../kept/k", None),
        ("Photos", "k", None),
        ("..", "photos/k", None),
        ("photos/k", "x", None),
        ("", "k", None),
        ("photos", "", None),
        ("photos", "\ud800", None),
        ("photos", "k", "absent"),
        ("kept", "k", "absent"),
        ("kept", "k", "3HL4kqtJvjVBH40Nrjfkd"),
    ],
)
def test_what_is_not_there_is_not_found(side: Side, bucket: str, key: str, version: str | None) -> None:
    for name in ("k", "folder/k"):
        side.put("photos", name, b"x")
    side.put("kept", "k", b"x")
    with pytest.raises(ObjectNotFoundError):
        side.store.read(bucket, key, version, limit=LIMIT)
    with pytest.raises(ObjectNotFoundError):
        side.store.head(bucket, key, version)


def test_the_limit_counts_every_byte(side: Side) -> None:
    side.put("photos", "k", b"x" * 1000)
    assert len(side.store.read("photos", "k", limit=1000)) == 1000
    with pytest.raises(ObjectTooLargeError, match="has 1000 bytes; the limit is 999"):
        side.store.read("photos", "k", limit=999)
    assert side.store.read("photos", "k", limit=1000) == b"x" * 1000  # the connection is still good


def test_an_etag_changes_with_the_content(side: Side) -> None:
    side.put("photos", "k", b"one")
    first = side.store.head("photos", "k")
    assert side.store.head("photos", "k").etag == first.etag
    side.put("photos", "k", b"two")
    assert side.store.head("photos", "k").etag != first.etag


def test_versions(side: Side) -> None:
    versions = [side.put("kept", "k", content) for content in (b"1", b"22", b"333")]
    assert len(set(versions)) == 3
    assert [side.store.read("kept", "k", version, limit=LIMIT) for version in versions] == [b"1", b"22", b"333"]
    heads = [side.store.head("kept", "k", version) for version in versions]
    assert [(info.size, info.version) for info in heads] == list(zip((1, 2, 3), versions, strict=True))
    assert side.store.read("kept", "k", limit=LIMIT) == b"333"
    assert side.store.head("kept", "k").version == versions[-1]


def test_a_removed_object_is_not_found_but_its_versions_are(side: Side) -> None:
    versions = [side.put("kept", "k", content) for content in (b"1", b"22")]
    side.delete("kept", "k")
    with pytest.raises(ObjectNotFoundError):
        side.store.read("kept", "k", limit=LIMIT)
    with pytest.raises(ObjectNotFoundError):
        side.store.head("kept", "k")
    assert [side.store.read("kept", "k", version, limit=LIMIT) for version in versions] == [b"1", b"22"]


def test_without_versioning_there_is_the_version_null(side: Side) -> None:
    side.put("photos", "k", b"x")
    assert side.store.read("photos", "k", "null", limit=LIMIT) == b"x"


# --- failures that only S3 has --------------------------------------------------------------------------------------


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


class Unreliable(BaseHTTPRequestHandler):
    """Answers that a real store gives on a bad day, by key."""

    def do_GET(self) -> None:
        key = self.path.rsplit("/", 1)[-1]
        if key == "forbidden":
            self.send_error(403)
            return
        if key == "expired":
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b"<Error><Code>ExpiredToken</Code><Message>no more</Message></Error>")
            return
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", {"short": "1000", "lying": "5"}[key])
        self.end_headers()
        self.wfile.write(b"x" * 100)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def unreliable(credentials: None) -> Iterator[S3Store]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unreliable)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield S3Store(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answer_that_breaks_off_is_no_object(unreliable: S3Store) -> None:
    with pytest.raises(ObjectStoreError, match="broke off") as caught:
        unreliable.read("photos", "short", limit=LIMIT)
    assert not isinstance(caught.value, ObjectNotFoundError)


def test_no_more_is_read_than_was_announced(unreliable: S3Store) -> None:
    assert len(unreliable.read("photos", "lying", limit=5)) == 5


def test_no_permission_is_not_found(unreliable: S3Store) -> None:
    with pytest.raises(ObjectNotFoundError, match="403"):
        unreliable.read("photos", "forbidden", limit=LIMIT)


def test_credentials_that_s3_refuses_are_no_missing_object(unreliable: S3Store) -> None:
    with pytest.raises(ObjectStoreError, match="ExpiredToken") as caught:
        unreliable.read("photos", "expired", limit=LIMIT)
    assert not isinstance(caught.value, ObjectNotFoundError)


def test_no_credentials_are_said_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ObjectStoreError, match=r"^this server has no credentials for http://127\.0\.0\.1:1: give it"):
        S3Store("http://127.0.0.1:1").read("photos", "k", limit=LIMIT)
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(ObjectStoreError, match="S3 cannot be used: The config profile"):
        S3Store("http://127.0.0.1:1")


def test_an_endpoint_that_does_not_answer_is_no_missing_object(credentials: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = S3Store(f"http://127.0.0.1:{port}")
    with pytest.raises(ObjectStoreError, match="does not answer") as caught:
        store.read("photos", "k", limit=LIMIT)
    assert not isinstance(caught.value, ObjectNotFoundError)
