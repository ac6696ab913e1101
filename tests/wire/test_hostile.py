"""Requests that mean harm or are simply broken: each a modelled error, in time, with nothing left behind."""

import asyncio
import base64
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrek.contract.model import operation_names
from openrek.settings import Settings
from openrek.wire import body as body_module
from openrek.wire.app import WireApp
from tests.wire.driver import Answer, Cut, Entry, Part, call, exchange, make_app, scope, send, signed_headers

TARGET = "RekognitionService.ListCollections"
SMALL = Settings(max_body=1024, body_timeout=0.2)


def held(app: WireApp) -> int:
    return app._bodies.held


def operations() -> dict[str, Entry]:
    return {"ListCollections": Entry(lambda request, call, services: {"CollectionIds": []})}


def chunked(body: bytes = b"{}") -> dict[str, Any]:
    """A signed request that does not say how long its body is."""
    return scope(signed_headers(TARGET, body, extra=[("Transfer-Encoding", "chunked")]))


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "LINGER_SECONDS", 0.1)


@pytest.mark.parametrize("size", [str(2**30), "1025", "9" * 400, "-1", "1e3", "abc", ""])
def test_a_declared_size_beyond_the_cap_is_refused_unread(size: str) -> None:
    """1 GB, a little more than the cap, and sizes that are none: refused before a byte is read."""
    request = scope([*signed_headers(TARGET, b""), ("Content-Length", size)])
    app = make_app(operations(), SMALL)
    client = asyncio.run(exchange(app, request, []))
    answer = client.answer()
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert "1024" in answer.message
    assert "OPENREK_MAX_BODY" in answer.message
    assert "at most 768 bytes; hand over a larger one as S3Object" in answer.message
    assert answer.headers["connection"] == "close"
    assert held(app) == 0


def test_a_client_that_still_sends_gets_the_answer_first() -> None:
    """The answer goes out at once; what still arrives is taken and dropped, then the connection closes."""
    request = scope([*signed_headers(TARGET, b""), ("Content-Length", "5000")])
    client = asyncio.run(exchange(make_app(operations(), SMALL), request, [b"x" * 2500, b"x" * 2500]))
    assert client.received == 5000
    assert [message.get("more_body") for message in client.sent] == [None, True, False]
    assert client.answer().code == "ValidationException"


def test_a_chunked_body_is_refused_when_it_passes_the_cap() -> None:
    app = make_app(operations(), SMALL)
    client = asyncio.run(exchange(app, chunked(), [b" " * 400] * 100))
    answer = client.answer()
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert answer.headers["connection"] == "close"
    assert held(app) == 0


def test_a_chunked_body_below_the_cap_is_read() -> None:
    body = b'{"MaxResults":' + b" " * 300 + b"1}"
    assert send(make_app(operations(), SMALL), chunked(body), body[:5], b"", body[5:200], body[200:]).status == 200


def test_a_body_of_exactly_the_cap_is_read() -> None:
    body = b"{" + b" " * 1022 + b"}"
    assert call(make_app(operations(), SMALL), "ListCollections", body).status == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_slow_body_is_not_waited_for(declared: bool) -> None:
    body = b"{" + b" " * 20 + b"}"
    request = scope(signed_headers(TARGET, body)) if declared else chunked(body)
    app = make_app(operations(), SMALL)
    parts = [part for letter in body for part in (bytes([letter]), 0.05)]
    answer = send(app, request, *parts)
    assert (answer.status, answer.code) == (408, "RequestTimeoutException")
    assert "OPENREK_BODY_TIMEOUT" in answer.message
    assert answer.headers["connection"] == "close"
    assert held(app) == 0


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    request = scope([*signed_headers(TARGET, b"{}")])
    assert send(make_app(operations(), SMALL), request, 5.0).code == "RequestTimeoutException"


def test_a_client_that_leaves_gets_nothing() -> None:
    app = make_app(operations(), SMALL)
    cuts: list[list[Part]] = [[Cut], [b"{", Cut]]
    for chunks in cuts:
        client = asyncio.run(exchange(app, scope(signed_headers(TARGET, b"{}")), chunks))
        assert client.sent == []
        assert held(app) == 0


def test_strangers_do_not_get_a_large_body_read() -> None:
    """A key is checked before the body; the connection of a large one ends, that of a small one lives on."""
    app = make_app(operations())
    large = b" " * 1_000_000
    client = asyncio.run(exchange(app, scope(signed_headers(TARGET, large, key="UNKNOWN")), [large]))
    assert client.answer().code == "UnrecognizedClientException"
    assert client.answer().headers["connection"] == "close"
    small = call(app, "ListCollections", key="UNKNOWN")
    assert small.code == "UnrecognizedClientException"
    assert "connection" not in small.headers
    assert held(app) == 0


def test_the_memory_of_all_bodies_is_bounded() -> None:
    """Sixteen bodies of the largest size fit; while they are on their way, more are told to come back."""
    app = make_app(operations(), Settings(max_body=1024, body_timeout=5))

    async def many() -> tuple[Answer, int]:
        tasks = [asyncio.create_task(exchange(app, chunked(), [b" " * 1000, 1.0, b"{}"])) for _ in range(16)]
        await asyncio.sleep(0.05)
        full = held(app)
        refused = await exchange(app, chunked(), [b" " * 1000, b"{}"])
        for task in tasks:
            await task
        return refused.answer(), full

    answer, full = asyncio.run(many())
    assert full == 16_000
    assert (answer.status, answer.code) == (500, "ThrottlingException")
    assert held(app) == 0


def test_large_bodies_leave_the_event_loop_free() -> None:
    """While megabytes are hashed, parsed and refused on a thread, the loop keeps turning."""
    body = b'{"Image":{"Bytes":"' + base64.b64encode(bytes(6_000_000)) + b'"}}'
    request = scope(signed_headers("RekognitionService.DetectLabels", body))
    app = make_app()

    async def both() -> tuple[Answer, int]:
        work = asyncio.create_task(exchange(app, request, [body]))
        turns = 0
        while not work.done():
            await asyncio.sleep(0)
            turns += 1
        return (await work).answer(), turns

    answer, turns = asyncio.run(both())
    assert answer.code == "ValidationException"
    assert turns > 20
    assert held(app) == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x00\xff" * 50, "SerializationException"),
        (b"[" * 200_000, "SerializationException"),
        (b'{"MaxResults":' * 2000, "SerializationException"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, None),
        (b'{"MaxResults":' + b"9" * 5000 + b"}", "SerializationException"),
        (b'{"MaxResults":1e308}', "SerializationException"),
        (b'{"MaxResults":true}', "SerializationException"),
        (b'{"MaxResults":"1"}', "SerializationException"),
        (b'{"NextToken":5}', "SerializationException"),
        (b'{"NextToken":"' + b"x" * 256 + b'"}', "ValidationException"),
        (b'{"MaxResults":-1}', "ValidationException"),
        (b'{"MaxResults":null}', None),
        (b'{"a":1,"a":2}', None),
    ],
)
def test_bodies(body: bytes, code: str | None) -> None:
    answer = call(make_app(operations()), "ListCollections", body)
    if code is None:
        assert answer.status == 200
    else:
        assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("text", ["!!!!", "AAA", "A===", "AAAA\r\nAAAA", "données"])
def test_bad_base64_names_its_member(text: str) -> None:
    answer = call(make_app(), "DetectLabels", {"Image": {"Bytes": text}})
    assert (answer.status, answer.code) == (400, "SerializationException")
    assert "'image.bytes' must be a base64 string" in answer.message


def test_a_replay_after_the_window_is_refused() -> None:
    """The same bytes, once within the five minutes and once after them."""
    now = time.time()
    times = iter([now, now + 299, now + 302])
    app = make_app(operations(), clock=lambda: next(times))
    request = scope(signed_headers(TARGET, b"{}"))
    assert send(app, request, b"{}").status == 200
    assert send(app, request, b"{}").status == 200
    assert send(app, request, b"{}").code == "InvalidSignatureException"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(operation=st.sampled_from(operation_names()), body=st.binary(max_size=80) | ANY_JSON)
def test_no_body_breaks_the_server(operation: str, body: Any) -> None:
    answer = call(make_app(), operation, body)
    assert answer.status in (400, 501)
    assert answer.headers["x-amzn-errortype"] == answer.code


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "authorization",
                    "x-amz-date",
                    "host",
                    "x-amz-target",
                    "date",
                    "content-length",
                    "transfer-encoding",
                    "x-amz-content-sha256",
                ]
            ),
            st.text(st.characters(max_codepoint=0xFF), max_size=40),
        ),
        max_size=8,
    ),
    body=st.binary(max_size=40),
)
def test_no_headers_break_the_server(headers: list[tuple[str, str]], body: bytes) -> None:
    answer = send(make_app(settings=SMALL), scope(headers), body)
    assert answer.status == 400
    assert answer.message
