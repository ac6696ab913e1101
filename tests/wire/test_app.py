"""One request through the whole application: order of the checks, answers, errors, threads."""

import asyncio
import threading
import time
import uuid
from typing import Any

import orjson
import pytest

import openrek.contract.errors as errors
from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    FrameworkError,
    HumanLoopQuotaExceededException,
    InvalidS3ObjectException,
    ServiceError,
    ThrottlingException,
)
from openrek.contract.model import service_model
from openrek.settings import Settings
from openrek.wire.app import CallRecord, default_workers, wire_app
from tests.wire.driver import KEY, Answer, Entry, call, exchange, make_app, scope, secret_of, send, signed_headers
from tests.wire.samples import raw_shapes

EMPTY: dict[str, Any] = {"CollectionIds": [], "FaceModelVersions": []}


def answering(response: Any = EMPTY, *, light: bool = True) -> dict[str, Entry]:
    return {"ListCollections": Entry(lambda request, call, services: response, light)}


def raising(error: BaseException, *, light: bool = True) -> dict[str, Entry]:
    def handler(request: Any, call: Call, services: Any) -> Any:
        raise error

    return {"ListCollections": Entry(handler, light)}


def check_headers(answer: Answer) -> None:
    assert uuid.UUID(answer.headers["x-amzn-requestid"]).version == 4
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"


@pytest.mark.parametrize("light", [True, False])
def test_a_call_is_answered(light: bool) -> None:
    answer = call(make_app(answering(light=light)), "ListCollections")
    assert answer.status == 200
    assert answer.json == EMPTY
    assert set(answer.headers) == {"x-amzn-requestid", "content-type", "content-length"}
    check_headers(answer)


def test_an_empty_body_is_an_empty_object() -> None:
    assert call(make_app(answering()), "ListCollections", b"").json == EMPTY


@pytest.mark.parametrize("light", [True, False])
def test_what_a_handler_gets(light: bool) -> None:
    """Parsed parameters, who called, and the services; on the event loop only if it is light."""
    seen: list[Any] = []

    def handler(request: Any, call: Call, services: Any) -> Any:
        seen.extend((request, call, services, threading.current_thread() is threading.main_thread()))
        return {}

    app = make_app({"DetectLabels": Entry(handler, light)}, Settings(account_id="123456789012"))
    body = {"Image": {"Bytes": "AAAA"}, "MinConfidence": 50, "Unknown": 1, "Features": None}
    answer = call(app, "DetectLabels", body)
    request, made, services, on_loop = seen
    assert request == {"Image": {"Bytes": b"\0\0\0"}, "MinConfidence": 50.0}
    caller = Caller(KEY, "123456789012", "us-east-1")
    assert made == Call("DetectLabels", answer.headers["x-amzn-requestid"], caller, request)
    assert services is None
    assert on_loop is light


def test_every_request_id_is_its_own() -> None:
    app = make_app(answering())
    ids = {call(app, "ListCollections").headers["x-amzn-requestid"] for _ in range(20)}
    ids |= {send(app, scope([])).headers["x-amzn-requestid"] for _ in range(20)}
    assert len(ids) == 40


# --- errors -----------------------------------------------------------------------------------------------------------


def family() -> list[type[ServiceError]]:
    found = [ServiceError]
    for parent in found:
        found.extend(parent.__subclasses__())
    return [kind for kind in found if kind not in (ServiceError, FrameworkError) and kind.__module__ == errors.__name__]


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("kind", family(), ids=lambda kind: kind.__name__)
def test_one_error_shape_everywhere(kind: type[ServiceError], light: bool) -> None:
    answer = call(make_app(raising(kind("why"), light=light)), "ListCollections")
    assert answer.status == kind.status
    assert answer.headers["x-amzn-errortype"] == kind.__name__
    check_headers(answer)
    if issubclass(kind, FrameworkError):
        assert answer.json == {"__type": kind.__name__, "message": "why"}
    else:
        assert answer.json == {"__type": kind.__name__, "Code": kind.__name__, "Message": "why"}


def test_the_family_mirrors_the_model() -> None:
    """Every modelled exception exists, with the model's status: 400, and 500 for the server's faults."""
    ours = {kind.__name__: kind for kind in family() if not issubclass(kind, FrameworkError)}
    modelled = {shape.name: shape for shape in service_model().error_shapes}
    raw = raw_shapes()
    assert set(ours) == set(modelled)
    for name, kind in ours.items():
        assert kind.status == (500 if raw[name].get("fault") else 400), name


def test_further_members_of_an_error() -> None:
    error = HumanLoopQuotaExceededException("full", ResourceType="a", QuotaCode="b", ServiceCode="c")
    answer = call(make_app(raising(error)), "ListCollections")
    assert answer.json["ResourceType"] == "a"
    assert set(answer.json) == {"__type", "Code", "Message", "ResourceType", "QuotaCode", "ServiceCode"}


def test_a_message_that_no_json_can_hold() -> None:
    answer = call(make_app(raising(InvalidS3ObjectException("\udcff"))), "ListCollections")
    assert (answer.status, answer.message) == (400, "?")


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize(
    "entry",
    [
        raising(RuntimeError("secret detail")),
        raising(RecursionError()),
        raising(KeyError("x")),
        answering({"CollectionIdz": []}),
        answering({"CollectionIds": [1]}),
        answering(None),
        answering("text"),
        answering({"CollectionIds": ["\ud800"]}),
    ],
)
def test_a_handlers_bug_is_logged_and_hidden(
    entry: dict[str, Entry], light: bool, caplog: pytest.LogCaptureFixture
) -> None:
    operations = {"ListCollections": Entry(entry["ListCollections"].handler, light)}
    answer = call(make_app(operations), "ListCollections")
    assert (answer.status, answer.code) == (500, "InternalServerError")
    assert b"secret detail" not in answer.body
    assert b"Traceback" not in answer.body
    (record,) = [record for record in caplog.records if record.name.startswith("openrek")]
    assert record.exc_info is not None
    assert answer.headers["x-amzn-requestid"] in record.getMessage()
    assert "ListCollections" in record.getMessage()


def test_a_broken_key_store_is_a_server_error(caplog: pytest.LogCaptureFixture) -> None:
    def secret_of(key: str) -> str | None:
        raise OSError("disk")

    answer = call(wire_app(answering(), secret_of, Settings(), None), "ListCollections")
    assert (answer.status, answer.code) == (500, "InternalServerError")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("at_hand", [True, False])
def test_a_slow_key_store_does_not_stop_the_event_loop(at_hand: bool) -> None:
    """Where the keys are in a remote database, a request that waits for its key leaves the loop to others."""
    go, on_loop = threading.Event(), []

    def slow(key: str) -> str | None:
        on_loop.append(threading.current_thread() is threading.main_thread())
        assert at_hand or go.wait(10)
        return secret_of(key)

    app = wire_app(answering(), slow, Settings(), None, keys_at_hand=at_hand)

    async def both() -> tuple[Answer, Answer]:
        request = scope(signed_headers("RekognitionService.ListCollections", b"{}"))
        waiting = asyncio.create_task(exchange(app, request, [b"{}"]))
        other = await exchange(app, scope([], url="http://x/elsewhere"), [b""])
        assert at_hand or not waiting.done()
        go.set()
        return (await waiting).answer(), other.answer()

    first, second = asyncio.run(both())
    assert (first.status, second.code) == (200, "UnknownOperationException")
    assert on_loop == [at_hand]
    app.close()


# --- order and routing ------------------------------------------------------------------------------------------------


def test_authentication_comes_first_then_routing_then_types_then_constraints_then_the_handler() -> None:
    app = make_app()
    assert call(app, "Nope", b"nonsense", secret="wrong").code == "InvalidSignatureException"
    assert call(app, "Nope", b"nonsense").code == "UnknownOperationException"
    assert call(app, "DeleteCollection", b"nonsense").code == "SerializationException"
    assert call(app, "DeleteCollection", {"CollectionId": 1}).code == "SerializationException"
    assert call(app, "DeleteCollection", {}).code == "ValidationException"
    answer = call(app, "DeleteCollection", {"CollectionId": "x"})
    assert (answer.status, answer.code) == (501, "NotImplementedException")
    assert "DeleteCollection" in answer.message


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "RekognitionService.Nope",
        "RekognitionService.",
        "Rekognition.ListCollections",
        "ListCollections",
        "rekognitionservice.ListCollections",
        "RekognitionService.DetectLabels\u00e9",
    ],
)
def test_unknown_operations(target: str | None) -> None:
    headers = signed_headers(target, b"{}")
    answer = send(make_app(answering()), scope(headers), b"{}")
    assert (answer.status, answer.code) == (400, "UnknownOperationException")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods(method: str) -> None:
    answer = send(make_app(), scope([("Host", "x")], method))
    assert (answer.status, answer.code) == (400, "UnknownOperationException")
    assert f"{method} / is not part of this API" in answer.message
    check_headers(answer)


@pytest.mark.parametrize("path", ["/x", "//", "/../", "/%2e", "/favicon.ico"])
def test_other_paths(path: str) -> None:
    url = f"http://127.0.0.1:9900{path}"
    headers = signed_headers("RekognitionService.ListCollections", b"{}", url=url)
    answer = send(make_app(answering()), scope(headers, url=url), b"{}")
    assert (answer.status, answer.code) == (400, "UnknownOperationException")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "application/x-amz-json-1.0"])
def test_any_content_type_is_tolerated(content_type: str) -> None:
    answer = call(make_app(answering()), "ListCollections", content_type=content_type)
    assert answer.status == 200


# --- limits of the spec -----------------------------------------------------------------------------------------------


def test_the_limit_of_an_inline_picture_follows_the_profile() -> None:
    import base64

    operations = {"DetectLabels": Entry(lambda request, call, services: {"Labels": []}, light=False)}
    body = {"Image": {"Bytes": base64.b64encode(bytes(5_242_881)).decode()}}
    refused = call(make_app(operations), "DetectLabels", body)
    assert (refused.status, refused.code) == (400, "ValidationException")
    assert refused.message == (
        "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=5242881 cap=5242881]' at 'image.bytes' "
        "failed to satisfy constraint: Member must have length less than or equal to 5242880"
    )
    assert call(make_app(operations, Settings(profile="relaxed")), "DetectLabels", body).status == 200
    assert call(make_app(operations, Settings(max_image_bytes=5_242_881)), "DetectLabels", body).status == 200


# --- threads ----------------------------------------------------------------------------------------------------------


def prepared(operation: str = "ListCollections") -> tuple[dict[str, Any], bytes]:
    return scope(signed_headers(f"RekognitionService.{operation}", b"{}")), b"{}"


def test_too_many_waiting_calls_are_throttled() -> None:
    """One runs, one waits, the third is told to come back; the first two are answered."""
    release = threading.Event()

    def handler(request: Any, call: Call, services: Any) -> Any:
        assert release.wait(10)
        return EMPTY

    app = make_app({"ListCollections": Entry(handler, light=False)}, Settings(workers=1), most_waiting=1)

    async def three() -> list[Answer]:
        first, second = (asyncio.create_task(exchange(app, *prepared()[:1], [b"{}"])) for _ in range(2))
        await asyncio.sleep(0.05)
        third = await exchange(app, *prepared()[:1], [b"{}"])
        release.set()
        return [(await first).answer(), (await second).answer(), third.answer()]

    first, second, third = asyncio.run(three())
    assert (first.status, second.status) == (200, 200)
    assert (third.status, third.code) == (500, "ThrottlingException")
    assert call(app, "ListCollections").status == 200
    app.close()


def test_a_call_whose_client_left_while_it_waited_is_not_run() -> None:
    release = threading.Event()
    ran: list[str] = []

    def handler(request: Any, call: Call, services: Any) -> Any:
        ran.append(call.request_id)
        assert release.wait(10)
        return EMPTY

    app = make_app({"ListCollections": Entry(handler, light=False)}, Settings(workers=1))

    async def both() -> None:
        first = asyncio.create_task(exchange(app, prepared()[0], [b"{}"]))
        await asyncio.sleep(0.05)
        gone = await exchange(app, prepared()[0], [b"{}", None])
        assert gone.sent == []
        release.set()
        assert (await first).answer().status == 200

    asyncio.run(both())
    app.close()
    assert len(ran) == 1


def test_slow_handlers_do_not_hold_up_light_ones() -> None:
    release = threading.Event()

    def slow(request: Any, call: Call, services: Any) -> Any:
        assert release.wait(10)
        return {}

    app = make_app({**answering(), "ListFaces": Entry(slow, light=False)}, Settings(workers=1))

    async def both() -> None:
        body = b'{"CollectionId":"x"}'
        headers = signed_headers("RekognitionService.ListFaces", body)
        waiting = asyncio.create_task(exchange(app, scope(headers), [body]))
        await asyncio.sleep(0.02)
        assert (await exchange(app, prepared()[0], [b"{}"])).answer().status == 200
        assert not waiting.done()
        release.set()
        assert (await waiting).answer().status == 200

    asyncio.run(both())
    app.close()


def test_workers_by_default() -> None:
    assert 2 <= default_workers() <= 8


# --- records ----------------------------------------------------------------------------------------------------------


def test_every_answer_is_recorded() -> None:
    records: list[CallRecord] = []
    app = make_app(
        {**answering(), **{"ListFaces": raising(ThrottlingException())["ListCollections"]}}, on_answer=records.append
    )
    started = time.perf_counter()
    good = call(app, "ListCollections")
    call(app, "ListFaces", {"CollectionId": "x"})
    call(app, "ListFaces", {})
    call(app, "ListFaces", {}, secret="wrong")
    send(app, scope([], "GET"))
    elapsed = time.perf_counter() - started
    caller = Caller(KEY, "000000000000", "us-east-1")
    assert [(r.operation, r.caller, r.status, r.error) for r in records] == [
        ("ListCollections", caller, 200, None),
        ("ListFaces", caller, 500, "ThrottlingException"),
        ("ListFaces", caller, 400, "ValidationException"),
        (None, None, 400, "InvalidSignatureException"),
        (None, None, 400, "UnknownOperationException"),
    ]
    assert records[0].request_id == good.headers["x-amzn-requestid"]
    assert 0 < sum(record.duration for record in records) < elapsed


def test_a_broken_recorder_does_not_break_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def record(_: CallRecord) -> None:
        raise RuntimeError("recorder")

    assert call(make_app(answering(), on_answer=record), "ListCollections").status == 200
    assert "the record of a call was not taken" in caplog.text


def test_answers_are_json_of_the_model() -> None:
    """The bytes of an answer are what the serialiser wrote, nothing around them."""
    answer = call(make_app(answering({"CollectionIds": ["é"], "FaceModelVersions": ["1"]})), "ListCollections")
    assert answer.body == orjson.dumps({"CollectionIds": ["é"], "FaceModelVersions": ["1"]})
