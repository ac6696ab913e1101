"""The API as an ASGI application: one signed POST in, one answer out.

A request's way: size cap -> headers' claim (key, scope, clock) -> body -> signature -> operation -> parameters by shape
-> constraints -> handler -> answer by shape. Small requests and light handlers stay on the event loop; the parsing of
large bodies, all other handlers, and look-ups of keys in a database elsewhere run on threads. Whatever happens on the
way becomes an answer with a request id.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    InternalServerError,
    ServiceError,
    ThrottlingException,
    UnknownOperationException,
)
from openrek.contract.model import SERVICE
from openrek.settings import Settings
from openrek.wire.answers import Answer, error_answer
from openrek.wire.body import Bodies, ClientDisconnected, declared_size, linger
from openrek.wire.dispatch import Dispatcher, HandlerEntry
from openrek.wire.sigv4 import Claim, SigV4Verifier

log = logging.getLogger(__name__)

# bodies from this size on are hashed, parsed and validated on a thread
LARGE_BODY: Final = 256 * 1024
# calls that may wait for a worker; one more is told to slow down
MOST_WAITING: Final = 256
# look-ups of access keys at once, where they may take a while
KEY_READERS: Final = 8
# memory for all bodies together, in bodies of the largest size
MOST_BODIES: Final = 16


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One answered request, for metering and audit. `duration` in seconds, from the request's head to its answer.

    `operation` and `caller` are None where the request was refused before they were known for certain; `error` is the
    wire name of the error answered, if any.
    """

    request_id: str
    operation: str | None
    caller: Caller | None
    status: int
    error: str | None
    duration: float


class _Exchange:
    """What is known so far about a request on its way."""

    __slots__ = ("caller", "operation", "request_id", "started", "unread")

    def __init__(self) -> None:
        self.request_id = str(uuid4())
        self.started = time.perf_counter()
        self.operation: str | None = None
        self.caller: Caller | None = None
        self.unread = False  # part of the body is still with the client


class WireApp:
    """The ASGI application, made by `wire_app`, for scopes of type `http`."""

    def __init__(
        self,
        verifier: SigV4Verifier,
        dispatcher: Dispatcher,
        bodies: Bodies,
        *,
        workers: int,
        most_waiting: int,
        on_answer: Callable[[CallRecord], None] | None,
        keys_at_hand: bool,
    ) -> None:
        self._verifier = verifier
        self._dispatcher = dispatcher
        self._bodies = bodies
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="openrek-call")
        self._readers = None if keys_at_hand else ThreadPoolExecutor(KEY_READERS, thread_name_prefix="openrek-key")
        self._most_pending = workers + most_waiting
        self._pending = 0
        self._on_answer = on_answer

    def close(self) -> None:
        """Wait for the calls that run, forget those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._readers is not None:
            self._readers.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange()
        try:
            answer = Answer(200, await self._answer(exchange, scope, receive))
        except ClientDisconnected:
            log.debug("%s: the client went away", exchange.request_id)
            return
        except ServiceError as error:
            answer = error_answer(error, last=exchange.unread)
        except Exception:
            log.exception("%s: %s failed", exchange.request_id, exchange.operation or "a request")
            answer = error_answer(InternalServerError(), last=exchange.unread)
        await _send(answer, exchange.request_id, receive, send)
        if self._on_answer is not None:
            self._record(exchange, answer)

    async def _answer(self, exchange: _Exchange, scope: Scope, receive: Receive) -> bytes:
        """The body of a successful answer; every other outcome is an exception."""
        size = declared_size(scope["headers"])
        exchange.unread = size != 0
        if size is not None and size > self._bodies.limit:
            raise self._bodies.too_large()
        try:
            claim = await self._claim(scope)
        except ServiceError:
            if size is not None and size < LARGE_BODY:  # with the rest read, the connection lives on
                self._bodies.release(len(await self._bodies.read(receive)))
                exchange.unread = False
            raise
        body = await self._bodies.read(receive)
        exchange.unread = False
        held = len(body)
        try:
            if held < LARGE_BODY:
                call = self._prepare(exchange, claim, body)
            else:
                call = await asyncio.get_running_loop().run_in_executor(None, self._prepare, exchange, claim, body)
            del body
            entry = self._dispatcher.entry(call.operation)
            if entry.light:
                return self._dispatcher.run(entry, call)
            return await self._run_on_pool(entry, call, receive)
        finally:
            self._bodies.release(held)

    async def _claim(self, scope: Scope) -> Claim:
        method, path = scope["method"], scope.get("raw_path") or scope["path"].encode()
        if method != "POST" or path != b"/":
            raise UnknownOperationException(
                f"{method} {path.decode('latin-1')[:200]} is not part of this API: every operation is a signed POST / "
                "with X-Amz-Target: RekognitionService.<Operation>; the address of the endpoint has no path."
            )
        query, headers = scope["query_string"], scope["headers"]
        if self._readers is None:
            return self._verifier.claim(method, path, query, headers)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._verifier.claim, method, path, query, headers)

    def _prepare(self, exchange: _Exchange, claim: Claim, body: bytes) -> Call:
        claim.verify(body)
        caller = exchange.caller = self._dispatcher.caller(claim)
        operation = exchange.operation = self._dispatcher.route(claim)
        return Call(operation, exchange.request_id, caller, self._dispatcher.parameters(operation, body))

    async def _run_on_pool(self, entry: HandlerEntry, call: Call, receive: Receive) -> bytes:
        """Run a call on a worker; a call whose client leaves while it waits is not run at all."""
        if self._pending >= self._most_pending:
            raise ThrottlingException(f"{self._pending} calls are waiting already; try again in a moment.")
        self._pending += 1
        gone = asyncio.ensure_future(_disconnect(receive))
        try:
            job = self._pool.submit(self._dispatcher.run, entry, call)
            done = asyncio.wrap_future(job)
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and job.cancel():
                raise ClientDisconnected
            return await done
        finally:
            self._pending -= 1
            gone.cancel()

    def _record(self, exchange: _Exchange, answer: Answer) -> None:
        record = CallRecord(
            exchange.request_id,
            exchange.operation,
            exchange.caller,
            answer.status,
            answer.error,
            time.perf_counter() - exchange.started,
        )
        try:
            assert self._on_answer is not None
            self._on_answer(record)
        except Exception:
            log.exception("%s: the record of a call was not taken", exchange.request_id)


def wire_app(
    operations: Mapping[str, HandlerEntry],
    secret_of: Callable[[str], str | None],
    settings: Settings,
    services: Any,
    *,
    on_answer: Callable[[CallRecord], None] | None = None,
    clock: Callable[[], float] = time.time,
    most_waiting: int = MOST_WAITING,
    keys_at_hand: bool = True,
) -> WireApp:
    """The ASGI application that answers `POST /` for all operations of the service model.

    `operations` are the built ones by name; the others answer NotImplementedException once a request is authentic and
    valid. `secret_of` maps an access key id to its secret, or None; it is called on the event loop where that takes
    microseconds (`keys_at_hand`), else on threads of its own. `services` is handed to the handlers as it is.
    `on_answer` is called on the event loop after every answer; `clock` returns epoch seconds.
    """
    return WireApp(
        SigV4Verifier(secret_of, region=settings.region, service=SERVICE, max_skew=settings.max_skew, clock=clock),
        Dispatcher(
            operations, services, account_id=settings.account_id, limits={"ImageBlob": settings.inline_image_limit}
        ),
        Bodies(
            settings.max_body,
            settings.body_timeout,
            MOST_BODIES * settings.max_body,
            picture_limit=min(settings.inline_image_limit, settings.max_body * 3 // 4),  # base64 takes four for three
        ),
        workers=settings.workers or default_workers(),
        most_waiting=most_waiting,
        on_answer=on_answer,
        keys_at_hand=keys_at_hand,
    )


def default_workers() -> int:
    """Calls that run at the same time when no setting says so.

    A model run uses all cores by itself; a second call decodes and post-processes meanwhile. More than half the cores
    only makes calls wait for each other's memory.
    """
    return max(2, min(8, (os.cpu_count() or 2) // 2))


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(answer: Answer, request_id: str, receive: Receive, send: Send) -> None:
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers(request_id)})
        await send({"type": "http.response.body", "body": answer.body, "more_body": answer.last})
        if answer.last:
            await linger(receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except OSError:
        log.debug("%s: the client went away before its answer", request_id)
