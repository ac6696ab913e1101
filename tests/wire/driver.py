"""Drives an ASGI application without a server: one request in, one answer out, signed by botocore."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from openrek.contract.call import Call
from openrek.settings import Settings
from openrek.wire.app import WireApp, wire_app

KEY = "OPENREKTESTKEY000000"
SECRET = "a/secret+of+the+tests/0123456789abcdefgh"
REGION = "us-east-1"
URL = "http://127.0.0.1:9900/"


@dataclass(frozen=True)
class Answer:
    """A complete answer. `headers` by lower-case name; a repeated header fails the test."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["__type"])

    @property
    def message(self) -> str:
        content = self.json
        return str(content["message"] if "message" in content else content["Message"])


@dataclass(frozen=True)
class Entry:
    """A fake operation."""

    handler: Callable[[Any, Call, Any], Mapping[str, Any]]
    light: bool = True


class Cut:
    """In place of a body part: the client leaves although it announced more."""


Part = bytes | float | None | type[Cut]


@dataclass
class Client:
    """What came in and what goes out on one connection of the fake server."""

    chunks: list[Part]
    """Body parts; a number waits so many seconds, None leaves after the whole body, Cut within it."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0

    async def receive(self) -> dict[str, Any]:
        while self.chunks:
            part = self.chunks.pop(0)
            if part is None or part is Cut:
                return {"type": "http.disconnect"}
            if isinstance(part, bytes):
                self.received += len(part)
                more = any(isinstance(later, bytes) or later is Cut for later in self.chunks)
                return {"type": "http.request", "body": part, "more_body": more}
            assert isinstance(part, float)
            await asyncio.sleep(part)
        await asyncio.Event().wait()
        raise AssertionError("nothing comes any more")

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def answer(self) -> Answer:
        start, *bodies = self.sent
        assert start["type"] == "http.response.start"
        assert all(body["type"] == "http.response.body" for body in bodies)
        assert bodies[-1]["more_body"] is False
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert len(headers) == len(start["headers"]), "a repeated header"
        body = b"".join(body["body"] for body in bodies)
        assert headers["content-length"] == str(len(body))
        return Answer(start["status"], headers, body)


def scope(headers: Iterable[tuple[str, str]], method: str = "POST", url: str = URL) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "type": "http",
        "method": method,
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }


def signed_headers(
    target: str | None,
    body: bytes,
    *,
    key: str = KEY,
    secret: str = SECRET,
    region: str = REGION,
    service: str = "rekognition",
    at: datetime | None = None,
    extra: Iterable[tuple[str, str]] = (),
    method: str = "POST",
    url: str = URL,
    content_type: str = "application/x-amz-json-1.1",
) -> list[tuple[str, str]]:
    """The headers of a request as an SDK sends them, signed by botocore as of `at` (default: now)."""
    headers = HTTPHeaders()
    headers["Host"] = urlsplit(url).netloc
    headers["Content-Type"] = content_type
    if target is not None:
        headers["X-Amz-Target"] = target
    for name, value in extra:
        headers[name] = value
    request = AWSRequest(method=method, url=url, data=body)
    request.headers = headers
    _sign(request, Credentials(key, secret), service, region, at or datetime.now(UTC))
    headers = request.headers
    if body and "Transfer-Encoding" not in headers:
        headers["Content-Length"] = str(len(body))
    return list(headers.items())


def _sign(request: AWSRequest, credentials: Credentials, service: str, region: str, at: datetime) -> None:
    """What `SigV4Auth.add_auth` does, at a time of our choice."""
    auth: Any = SigV4Auth(credentials, service, region)  # two of the methods are its own
    request.context["timestamp"] = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(to_sign, request))


def secret_of(access_key_id: str) -> str | None:
    return SECRET if access_key_id == KEY else None


def make_app(
    operations: Mapping[str, Entry] | None = None, settings: Settings | None = None, **options: Any
) -> WireApp:
    return wire_app(operations or {}, secret_of, settings or Settings(), None, **options)


async def exchange(app: WireApp, request: dict[str, Any], chunks: Iterable[Part]) -> Client:
    client = Client(list(chunks))
    async with asyncio.timeout(20):
        await app(request, client.receive, client.send)
    return client


def send(app: WireApp, request: dict[str, Any], *chunks: Part) -> Answer:
    """One request on an event loop of its own."""
    return asyncio.run(exchange(app, request, chunks or (b"",))).answer()


def call(app: WireApp, operation: str, body: Any = None, **options: Any) -> Answer:
    """A signed call; `body` is bytes, or an object to be written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    headers = signed_headers(f"RekognitionService.{operation}", raw, **options)
    return send(app, scope(headers), raw)
