"""Connections under limits, on a transport and a clock of our own: nothing here waits."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from http.client import parse_headers
from io import BytesIO
from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from openrek.wire import connection as module
from openrek.wire.body import LINGER_SECONDS
from openrek.wire.connection import Connection, ConnectionLimits, default_connections, limited_connections

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
LIMIT = 64 * 1024
SECONDS = 30.0


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback = at, callback

    def cancel(self) -> None:
        self.at = float("inf")


class Clock:
    """An event loop whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, lambda: callback(*arguments)))
        return self.timers[-1]

    def create_task(self, coroutine: Any, **_: Any) -> Any:
        return asyncio.get_running_loop().create_task(coroutine)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if timer.at <= self.now]:
            for timer in due:
                timer.cancel()
                timer.callback()


class Transport(asyncio.Transport):
    """What was written, and how it ended; `stuck` bytes are not taken by the client."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.stuck = 0
        self.ended = ""
        self.lost: Callable[[], None] = lambda: None

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self.stuck = 0
        self._end("aborted")

    def _end(self, how: str) -> None:
        if self.ended == "aborted":
            return
        self.ended = how
        if not self.stuck:
            lost, self.lost = self.lost, lambda: None
            lost()

    def is_closing(self) -> bool:
        return self.ended != ""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Server:
    """Makes connections; its application answers 200 when `go` is set."""

    def __init__(self, connections: int = 100) -> None:
        self.clock = Clock()
        self.state = ServerState()
        self.go = asyncio.Event()
        limits = ConnectionLimits(connections, header_seconds=SECONDS)
        kind = limited_connections(limits)
        self.config = Config(self.app, http=kind, interface="asgi3", ws="none", lifespan="off", log_config=None)
        self.config.load()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self, *data: bytes) -> tuple[Connection, Transport]:
        kind = cast("type[Connection]", self.config.http_protocol_class)
        made = kind(config=self.config, server_state=self.state, app_state={}, _loop=self.clock)
        transport = Transport()
        transport.lost = lambda: made.connection_lost(None)
        made.connection_made(transport)
        for piece in data:
            made.data_received(piece)
        return made, transport

    async def answer(self) -> None:
        self.go.set()
        for _ in range(5):
            await asyncio.sleep(0)
        self.go.clear()

    async def stop(self) -> None:
        for task in list(self.state.tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def on_a_loop(test: Callable[[], Any]) -> Callable[[], None]:
    """Run an async test; what is not answered at its end is dropped."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def refusal(transport: Transport) -> tuple[int, str]:
    """Status and code of an answer that ends a connection; every header that the API's answers have."""
    head, _, body = transport.written.partition(b"\r\n\r\n")
    status, _, lines = head.partition(b"\r\n")
    headers = parse_headers(BytesIO(lines + b"\r\n\r\n"))
    code = json.loads(body)["__type"]
    assert len(headers["x-amzn-requestid"]) == 36
    assert headers["x-amzn-errortype"] == code
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    return int(status.split()[1]), code


# --- size -------------------------------------------------------------------------------------------------------------


def test_a_header_without_an_end_is_refused() -> None:
    server = Server()
    made, transport = server.connect(b"POST / HTTP/1.1\r\nhost: x\r\nx-big: ")
    sent = 0
    while not transport.written:
        made.data_received(b"a" * 10_000)
        sent += 10_000
    assert sent < LIMIT + 10_000
    assert refusal(transport) == (431, "RequestHeaderTooLargeException")


def test_what_follows_a_refusal_is_dropped_for_a_moment() -> None:
    """The client reads the answer, not a reset, though it still sends; but not for ever, and not without a limit."""
    server = Server()
    made, transport = server.connect(b"POST / HTTP/1.1\r\nx-big: " + b"a" * LIMIT)
    for _ in range(100):
        made.data_received(HEAD)
    assert refusal(transport)[0] == 431
    assert not transport.ended
    server.clock.wait(LINGER_SECONDS)
    assert transport.ended == "aborted"
    assert not server.state.connections


def test_what_follows_a_refusal_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_BYTES", 1000)
    made, transport = Server().connect(b"\0")
    made.data_received(b"a" * 1000)
    assert transport.ended == "aborted"


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nx-big: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
    ],
)
def test_a_large_header_that_comes_at_once_is_refused(head: bytes) -> None:
    _, transport = Server().connect(head)
    assert refusal(transport) == (431, "RequestHeaderTooLargeException")


@on_a_loop
async def test_headers_below_the_limit_and_bodies_above_it_pass() -> None:
    server = Server()
    head = b"POST / HTTP/1.1\r\nx-big: " + b"a" * 60_000 + b"\r\ncontent-length: 1000000\r\n\r\n"
    _, transport = server.connect(head[:30_000], head[30_000:] + b"b" * 400_000, b"b" * 600_000, HEAD + b"{}")
    await server.answer()
    assert transport.written.count(b"HTTP/1.1 200 OK") == 2
    assert not transport.ended


@on_a_loop
async def test_an_offer_to_speak_another_protocol_is_ignored() -> None:
    server = Server()
    offer = b"connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    body = b'{"a":\r\nupgrade: "b"}'
    made, transport = server.connect(HEAD.replace(b"content-length: 2", offer + b"content-length: 20") + body)
    assert made.cycle.body == body
    await server.answer()
    made.data_received(HEAD + b"{}")
    await server.answer()
    assert transport.written.count(b"HTTP/1.1 200 OK") == 2


@on_a_loop
async def test_trailers_without_an_end_are_refused() -> None:
    server = Server()
    made, transport = server.connect(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    for _ in range(10):
        made.data_received(b"a: b\r\n" * 2000)
    assert refusal(transport)[0] == 431
    assert transport.ended
    await server.stop()


@pytest.mark.parametrize(
    "noise",
    [
        b"\0",
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_as_everything_else(noise: bytes) -> None:
    _, transport = Server().connect(noise)
    assert refusal(transport) == (400, "MalformedHttpRequestException")


@on_a_loop
async def test_a_body_that_breaks_its_form_ends_the_connection() -> None:
    server = Server()
    _, transport = server.connect(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"no number\r\n")
    assert refusal(transport) == (400, "MalformedHttpRequestException")
    assert transport.ended == "closed"
    await server.stop()


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_silent_connection_ends_without_a_word() -> None:
    server = Server()
    _, transport = server.connect()
    server.clock.wait(SECONDS - 1)
    assert not transport.ended
    server.clock.wait(1)
    assert (transport.ended, transport.written) == ("aborted", b"")
    assert not server.state.connections


def test_a_header_that_trickles_is_told_that_it_is_late() -> None:
    server = Server()
    made, transport = server.connect()
    for letter in HEAD[:29]:
        made.data_received(bytes([letter]))
        server.clock.wait(1)
    assert not transport.written
    server.clock.wait(1)
    assert refusal(transport) == (408, "RequestTimeoutException")
    server.clock.wait(LINGER_SECONDS)
    assert transport.ended == "aborted"


@on_a_loop
async def test_a_request_in_work_is_not_late() -> None:
    server = Server()
    made, transport = server.connect(HEAD)
    server.clock.wait(SECONDS * 10)  # a slow body has its own limit, in the application
    made.data_received(b"{}")
    made.data_received(HEAD[:20])  # and the next request may begin meanwhile
    server.clock.wait(SECONDS * 10)
    assert not transport.ended
    await server.answer()
    assert transport.written.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(("noise", "more"), [(b"\r\n", b"\r\n"), (b"POST / HT", b"TP/1.1\r\n")])
def test_a_used_connection_cannot_be_held_either(noise: bytes, more: bytes) -> None:
    """A byte ends uvicorn's own wait for the next request, and begins ours."""

    async def test() -> None:
        server = Server()
        made, transport = server.connect(HEAD + b"{}")
        await server.answer()
        server.clock.wait(4)  # uvicorn's own limit is 5
        assert not transport.ended
        transport.written = b""
        made.data_received(noise)
        server.clock.wait(SECONDS - 1)
        made.data_received(more)
        assert not transport.written
        server.clock.wait(1)
        assert refusal(transport)[0] == 408

    asyncio.run(test())


@on_a_loop
async def test_an_idle_connection_ends() -> None:
    server = Server()
    _, transport = server.connect(HEAD + b"{}")
    await server.answer()
    server.clock.wait(5)
    assert transport.ended == "aborted"


@on_a_loop
async def test_a_body_after_its_answer_cannot_hold_a_connection() -> None:
    server = Server()
    made, transport = server.connect(HEAD)
    await server.answer()
    made.data_received(b"{")  # which uvicorn drops
    server.clock.wait(SECONDS)
    server.clock.wait(LINGER_SECONDS)
    assert transport.ended == "aborted"


@on_a_loop
async def test_a_client_that_takes_no_answer_is_given_up() -> None:
    server = Server()
    made, transport = server.connect(HEAD + b"{}")
    transport.stuck = 100_000
    made.pause_writing()
    for _ in range(3):  # slow, but it takes some
        transport.stuck -= 10_000
        server.clock.wait(SECONDS)
        assert not transport.ended
    server.clock.wait(SECONDS)
    assert transport.ended == "aborted"
    await server.stop()


@on_a_loop
async def test_a_client_that_takes_its_answer_late_is_not_given_up() -> None:
    server = Server()
    made, transport = server.connect(HEAD + b"{}")
    transport.stuck = 100_000
    made.pause_writing()
    server.clock.wait(SECONDS - 1)
    transport.stuck = 0
    made.resume_writing()
    server.clock.wait(SECONDS * 10)
    assert not transport.ended
    await server.stop()


# --- number -----------------------------------------------------------------------------------------------------------


@on_a_loop
async def test_the_longest_waiting_make_room() -> None:
    """Silent clients, slow bodies and idle connections go before requests in work."""
    server = Server(connections=4)
    _, at_work = server.connect(HEAD + b"{}")
    _, silent = server.connect()
    _, slow = server.connect(HEAD)
    _, half = server.connect(HEAD[:9])
    for number, expected in enumerate((silent, slow, half), 1):
        server.connect(HEAD + b"{}")
        ended = [transport for transport in (silent, slow, half) if transport.ended == "aborted"]
        assert ended[-1] is expected
        assert len(ended) == number
    _, refused = server.connect()
    assert refused.ended == "aborted"
    assert len(server.state.connections) == 4
    await server.answer()
    assert not at_work.ended
    assert at_work.written.startswith(b"HTTP/1.1 200 OK")
    server.connect()
    assert at_work.ended == "aborted"  # it waits for its client again, the longest


@on_a_loop
async def test_a_connection_that_ends_but_does_not_get_rid_of_its_answer_makes_room() -> None:
    server = Server(connections=1)
    _, transport = server.connect(HEAD.replace(b"host: x", b"connection: close") + b"{}")
    transport.stuck = 100
    await server.answer()
    assert transport.ended == "closed"
    server.connect()
    assert transport.ended == "aborted"


def test_half_of_the_files_are_for_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, expected in ((1024, 512), (1, 1), (1_000_000, 10_000), (module.resource.RLIM_INFINITY, 10_000)):
        monkeypatch.setattr(module.resource, "getrlimit", lambda _, files=files: (files, files))
        assert default_connections() == expected
