"""The wire behind a real HTTP server, seen by boto3 and by raw sockets."""

import base64
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from openrek.contract.call import Call
from openrek.contract.errors import (
    InternalServerError,
    InvalidS3ObjectException,
    ResourceNotFoundException,
    ThrottlingException,
)
from openrek.settings import Settings
from openrek.wire.app import WireApp, wire_app
from openrek.wire.connection import ConnectionLimits, limited_connections
from tests.wire.driver import KEY, REGION, SECRET, Entry, secret_of, signed_headers

TARGET = "RekognitionService.ListCollections"
LIMITS = ConnectionLimits(100, header_seconds=30.0)


@contextmanager
def serving(app: WireApp, limits: ConnectionLimits = LIMITS) -> Iterator[int]:
    """The application on a free port of the loopback interface, as `openrek serve` runs it."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=limited_connections(limits),
        lifespan="off",
        ws="none",
        log_level="critical",
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
            app.close()


class Handlers:
    """Fake operations whose behaviour a test chooses."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.calls = 0

    def list_collections(self, request: Any, call: Call, services: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"CollectionIds": [], "FaceModelVersions": []}

    def detect_labels(self, request: Any, call: Call, services: Any) -> Any:
        return {"Labels": [{"Name": hashlib.sha256(request["Image"]["Bytes"]).hexdigest(), "Confidence": 99.5}]}

    def entries(self) -> dict[str, Entry]:
        return {
            "ListCollections": Entry(self.list_collections, light=True),
            "DetectLabels": Entry(self.detect_labels, light=False),
        }


@pytest.fixture(scope="module")
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture(scope="module")
def port(handlers: Handlers) -> Iterator[int]:
    settings = Settings(max_body=8 * 1024 * 1024, body_timeout=1.0)
    with serving(wire_app(handlers.entries(), secret_of, settings, None)) as port:
        yield port


def client(port: int, *, key: str = KEY, secret: str = SECRET, region: str = REGION, token: str | None = None) -> Any:
    return boto3.Session(
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, region_name=region
    ).client(
        "rekognition",
        endpoint_url=f"http://127.0.0.1:{port}",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}, parameter_validation=False),
    )


@pytest.fixture
def rekognition(port: int) -> Iterator[Any]:
    made = client(port)
    yield made
    made.close()


def failure(made: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        getattr(made, operation)(**parameters)
    made.close()
    return dict(caught.value.response)


# --- boto3 ------------------------------------------------------------------------------------------------------------


def test_boto3_lists_collections(rekognition: Any) -> None:
    response = rekognition.list_collections()
    metadata = response.pop("ResponseMetadata")
    assert response == {"CollectionIds": [], "FaceModelVersions": []}
    assert metadata["HTTPStatusCode"] == 200
    headers = metadata["HTTPHeaders"]
    assert metadata["RequestId"] == headers["x-amzn-requestid"]
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 5


def test_typed_exceptions_arrive(rekognition: Any, handlers: Handlers) -> None:
    handlers.errors = [ResourceNotFoundException("no such thing"), InvalidS3ObjectException()]
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException) as caught:
        rekognition.list_collections()
    assert caught.value.response["Error"] == {"Code": "ResourceNotFoundException", "Message": "no such thing"}
    with pytest.raises(rekognition.exceptions.InvalidS3ObjectException, match="Unable to get object metadata from S3"):
        rekognition.list_collections()


@pytest.mark.parametrize("error", [ThrottlingException(), InternalServerError()])
def test_boto3_retries_the_servers_faults(rekognition: Any, handlers: Handlers, error: Exception) -> None:
    handlers.errors, handlers.calls = [error], 0
    response = rekognition.list_collections()
    assert response["ResponseMetadata"]["RetryAttempts"] == 1
    assert handlers.calls == 2


def test_throttling_is_a_500(port: int, handlers: Handlers) -> None:
    handlers.errors = [ThrottlingException()] * 3
    response = failure(client(port), "list_collections")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert response["Error"]["Code"] == "ThrottlingException"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException", "does not match the signature you provided"),
        ({"key": "UNKNOWN"}, "UnrecognizedClientException", "The security token included in the request is invalid."),
        ({"token": "token"}, "UnrecognizedClientException", "does not support session tokens"),
        ({"region": "eu-west-1"}, "InvalidSignatureException", "This server answers for 'us-east-1'"),
    ],
)
def test_wrong_credentials(port: int, options: dict[str, str], code: str, text: str) -> None:
    response = failure(client(port, **options), "list_collections")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["Error"]["Code"] == code
    assert text in response["Error"]["Message"]


@pytest.mark.parametrize(("offset", "code"), [(360, "Signature expired: "), (-360, "Signature not yet current: ")])
def test_clocks_six_minutes_apart(handlers: Handlers, offset: int, code: str) -> None:
    app = wire_app(handlers.entries(), secret_of, Settings(), None, clock=lambda: time.time() + offset)
    with serving(app) as port:
        response = failure(client(port), "list_collections")
    assert response["Error"]["Code"] == "InvalidSignatureException"
    assert response["Error"]["Message"].startswith(code)


@pytest.mark.parametrize("offset", [240, -240])
def test_clocks_four_minutes_apart(handlers: Handlers, offset: int) -> None:
    app = wire_app(handlers.entries(), secret_of, Settings(), None, clock=lambda: time.time() + offset)
    with serving(app) as port:
        made = client(port)
        assert made.list_collections()["CollectionIds"] == []
        made.close()


@pytest.mark.parametrize("size", [1, 300_000, 5_242_880])
def test_pictures_arrive_whole(rekognition: Any, size: int) -> None:
    picture = bytes(range(256)) * (size // 256) + bytes(size % 256)
    response = rekognition.detect_labels(Image={"Bytes": picture})
    assert response["Labels"] == [{"Name": hashlib.sha256(picture).hexdigest(), "Confidence": 99.5}]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"Image": {"Bytes": bytes(5_242_881)}}, "at 'image.bytes'"),
        ({"Image": {"Bytes": b"x"}, "MinConfidence": 101}, "at 'minConfidence'"),
        ({}, "Value null at 'image'"),
    ],
)
def test_validation_arrives(port: int, parameters: dict[str, Any], text: str) -> None:
    error = failure(client(port), "detect_labels", **parameters)["Error"]
    assert error["Code"] == "ValidationException"
    assert text in error["Message"]


def test_what_is_not_built_says_so(port: int) -> None:
    response = failure(client(port), "delete_collection", CollectionId="x")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert response["Error"]["Code"] == "NotImplementedException"
    assert "DeleteCollection" in response["Error"]["Message"]


# --- raw sockets ------------------------------------------------------------------------------------------------------


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        yield made


def head(port: int, body: bytes, *extra: tuple[str, str], target: str = TARGET) -> bytes:
    headers = signed_headers(target, body, url=f"http://127.0.0.1:{port}/")
    lines = [f"{name}: {value}" for name, value in [*headers, *extra]]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode()


def answer(made: socket.socket) -> tuple[int, str, bool]:
    """Status, error type ("" for none) and whether the connection ends."""
    response = http.client.HTTPResponse(made)
    response.begin()
    response.read()
    result = response.status, response.getheader("x-amzn-errortype", ""), response.will_close
    response.close()
    return result


def closed(made: socket.socket) -> bool:
    return made.recv(1) == b""


def test_a_connection_lives_on_after_small_errors(port: int) -> None:
    with connection(port) as made:
        for body, expected in [
            (b"{}", ""),
            (b"[]", "SerializationException"),
            (b'{"MaxResults":-1}', "ValidationException"),
        ]:
            made.sendall(head(port, body) + body)
            status, error, ends = answer(made)
            assert (status, error, ends) == (400 if expected else 200, expected, False)
        made.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert answer(made) == (400, "MissingAuthenticationTokenException", False)
        made.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(made) == (400, "UnknownOperationException", False)
        made.sendall(head(port, b"{}") + b"{}")
        assert answer(made)[0] == 200


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    with connection(port) as made:
        bad = b'{"MaxResults":-1}'
        made.sendall(head(port, b"{}") + b"{}" + head(port, bad) + bad + head(port, b"{}") + b"{}")
        reader = made.makefile("rb")
        statuses = []
        for _ in range(3):
            statuses.append(int(reader.readline().split()[1]))
            length = 0
            while (line := reader.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)
        assert statuses == [200, 400, 200]
        reader.close()


def test_a_gigabyte_is_refused_before_it_is_sent(port: int) -> None:
    with connection(port) as made:
        made.sendall(head(port, b"").replace(b"\r\n\r\n", b"\r\nContent-Length: 1073741824\r\n\r\n"))
        assert answer(made) == (400, "ValidationException", True)
        made.shutdown(socket.SHUT_WR)
        assert closed(made)


def test_a_client_that_sends_too_much_reads_the_answer(port: int) -> None:
    """It sends all of it before it reads, as SDKs do, and still gets the answer instead of a reset."""
    body = b" " * (12 * 1024 * 1024)
    with connection(port) as made:
        made.sendall(head(port, body))
        made.sendall(body)
        assert answer(made) == (400, "ValidationException", True)


def test_boto3_reads_the_answer_to_a_body_that_is_too_large(port: int) -> None:
    response = failure(client(port), "detect_labels", Image={"Bytes": bytes(9 * 1024 * 1024)})
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["Error"]["Code"] == "ValidationException"
    assert "An inline picture has at most 5242880 bytes" in response["Error"]["Message"]


def test_a_chunked_body_beyond_the_cap(port: int) -> None:
    with connection(port) as made:
        made.sendall(head(port, b"", ("Transfer-Encoding", "chunked")))
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        for _ in range(9):
            made.sendall(chunk)
        assert answer(made) == (400, "ValidationException", True)


def test_a_chunked_body(port: int) -> None:
    body = b'{"MaxResults":1}'
    with connection(port) as made:
        request = head(port, body).replace(b"Content-Length: 16", b"Transfer-Encoding: chunked")
        made.sendall(request + b"3\r\n" + body[:3] + b"\r\n")
        time.sleep(0.05)
        made.sendall(b"d\r\n" + body[3:] + b"\r\n0\r\n\r\n")
        assert answer(made) == (200, "", False)


def test_a_slow_body(port: int) -> None:
    with connection(port) as made:
        made.sendall(head(port, b"{}") + b"{")
        started = time.monotonic()
        assert answer(made) == (408, "RequestTimeoutException", True)
        assert 0.5 < time.monotonic() - started < 8


def test_expect_continue(port: int) -> None:
    """The body is asked for only after the headers have passed."""
    with connection(port) as made:
        made.sendall(head(port, b"{}", ("Expect", "100-continue")))
        assert made.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        made.sendall(b"{}")
        assert answer(made)[0] == 200
    large = b" " * 1_000_000
    with connection(port) as made:
        made.sendall(head(port, large, ("Expect", "100-continue")).replace(KEY.encode(), b"UNKNOWN"))
        assert answer(made) == (400, "UnrecognizedClientException", True)


def test_head_has_no_body(port: int) -> None:
    made = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    made.request("HEAD", "/")
    response = made.getresponse()
    assert response.status == 400
    assert response.read() == b""
    assert response.getheader("x-amzn-requestid")
    made.close()


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"A" * 200_000,
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    ],
)
def test_noise_does_not_hurt(port: int, noise: bytes) -> None:
    with connection(port) as made:
        made.settimeout(2)
        with suppress(OSError):  # the server may hang up at any byte
            made.sendall(noise)
            made.shutdown(socket.SHUT_WR)
            while made.recv(65536):
                pass
    with connection(port) as made:
        made.sendall(head(port, b"{}") + b"{}")
        assert answer(made) == (200, "", False)


def test_clients_that_leave_do_not_hurt(port: int) -> None:
    body = b'{"Image":{"Bytes":"' + base64.b64encode(bytes(600_000)) + b'"}}'
    for cut in (10, 200, len(head(port, body)) + 100_000):
        with connection(port) as made:
            made.sendall((head(port, body, target="RekognitionService.DetectLabels") + body)[:cut])
    with connection(port) as made:
        made.sendall(head(port, b"{}") + b"{}")
        assert answer(made) == (200, "", False)


def test_an_endless_header_is_answered_while_it_is_sent(port: int) -> None:
    with connection(port) as made:
        made.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nx-big: ")
        for _ in range(20):
            made.sendall(b"a" * 1_000_000)
        assert answer(made) == (431, "RequestHeaderTooLargeException", True)


def test_noise_gets_an_answer_with_a_request_id(port: int) -> None:
    with connection(port) as made:
        made.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n: y\r\n\r\n")
        assert answer(made) == (400, "MalformedHttpRequestException", True)


def test_silent_connections_do_not_keep_others_out(handlers: Handlers) -> None:
    app = wire_app(handlers.entries(), secret_of, Settings(), None)
    with serving(app, ConnectionLimits(10, header_seconds=30.0)) as port, ExitStack() as open_ones:
        for _ in range(50):
            open_ones.enter_context(connection(port))
        made = client(port)
        assert made.list_collections()["CollectionIds"] == []
        made.close()


@pytest.mark.parametrize(("sent", "status"), [(b"", None), (b"POST / HTTP/1.1\r\nhost: ", 408)])
def test_a_header_that_does_not_come(handlers: Handlers, sent: bytes, status: int | None) -> None:
    app = wire_app(handlers.entries(), secret_of, Settings(), None)
    with serving(app, ConnectionLimits(10, header_seconds=0.1)) as port, connection(port) as made:
        made.sendall(sent)
        if status is None:
            assert closed(made)
        else:
            assert answer(made) == (status, "RequestTimeoutException", True)
