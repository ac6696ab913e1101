"""One HTTP connection under limits: how long a header may be and may take, and how many connections there are.

uvicorn's protocol bounds none of these: a header without an end fills the memory, ever more slowly, and clients that
say nothing keep their connections for ever. Whatever ends a connection here is answered as the API answers, with a
request id, wherever a client can still read it.
"""

import asyncio
import re
import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openrek.contract.errors import (
    MalformedHttpRequestException,
    RequestHeaderTooLargeException,
    RequestTimeoutException,
    ServiceError,
)
from openrek.wire.answers import error_answer
from openrek.wire.body import LINGER_BYTES, LINGER_SECONDS

HEADER_BYTES: Final = 64 * 1024
MOST_CONNECTIONS: Final = 10_000

_UPGRADE: Final = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of a server's connections.

    connections: how many there are at once; header_bytes: request line, names and values of one request;
    header_seconds: from its connection, or from its first byte on one that was used before, to the header's end; a
    client that takes nothing of its answers for so long is given up too.
    """

    connections: int
    header_seconds: float
    header_bytes: int = HEADER_BYTES


def default_connections() -> int:
    """Half of the files that this process may have open: the others are for the database, models and indexes."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(files // 2, MOST_CONNECTIONS))


def limited_connections(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """The class of a server's connections, for `uvicorn.Config(http=...)`."""
    return type("LimitedConnection", (Connection,), {"limits": limits, "oldest_first": {}})


class Connection(HttpToolsProtocol):
    """A connection of one server. `oldest_first` holds all of them, by the time of their last request."""

    limits: ClassVar[ConnectionLimits]
    oldest_first: ClassVar[dict["Connection", None]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._piece = 0  # bytes that came last
        self._unparsed = 0  # bytes that came since the last one with the end of a header or a part of a body
        self._header_ended = False  # within the bytes that came last
        self._fault: ServiceError | None = None
        self._refused = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    # --- the connection ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.oldest_first[self] = None
        self._await_header()
        if len(self.connections) > self.limits.connections:
            one = next(one for one in self.oldest_first if one._waits_for_client)
            del self.oldest_first[one]
            one.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.oldest_first.pop(self, None)
        for timer in (self._header_timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        self._header_ended = False
        if not self._refused:
            super().data_received(data if self._busy else _without_upgrade(data))
        if self._header_ended or (self._busy and self.cycle.body):
            self._unparsed = 0
            return
        self._unparsed += self._piece
        if self._refused:
            if self._unparsed > LINGER_BYTES:
                self.transport.abort()
        elif self._unparsed > self.limits.header_bytes:
            self._refuse(self._too_large())
        elif self._header_timer is None and not self._busy:
            self._await_header()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answer_timer is not None:
            self._answer_timer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # closing would wait for a client that does not take its last answer

    # --- requests and answers ---------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        self._header_ended = True
        if self._unparsed + self._piece > self.limits.header_bytes:  # else it is not worth a closer look
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self.limits.header_bytes:
                self._fault = self._too_large()
                raise self._fault  # stops the parser; `send_400_response` follows
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        self.oldest_first.pop(self, None)
        self.oldest_first[self] = None
        super().on_headers_complete()

    @property
    def _busy(self) -> bool:
        """Whether a request is being read or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _waits_for_client(self) -> bool:
        """Whether it is the client's turn: to send a request or the rest of one, or to take an answer."""
        return not self._busy or self.cycle.more_body or self.flow.write_paused

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._fault or MalformedHttpRequestException(msg))

    def _too_large(self) -> RequestHeaderTooLargeException:
        return RequestHeaderTooLargeException(
            f"The header of the request is larger than the {self.limits.header_bytes} bytes that this server accepts."
        )

    def _refuse(self, error: ServiceError) -> None:
        """Answer what is no request, and end the connection once the client could read that."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        answer = error_answer(error, last=True)
        status = HTTPStatus(answer.status)
        headers = [*self.server_state.default_headers, *answer.headers(str(uuid4()))]
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode()), *(b"%s: %s" % header for header in headers)]
        self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
        if self._busy:  # the rest of its body will not come
            self.transport.close()
        # else take what the client still sends: it would reset the connection, and the answer with it
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    # --- clients that are late --------------------------------------------------------------------------------------

    def _await_header(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.header_seconds, self._header_late)

    def _header_late(self) -> None:
        if not self._unparsed:  # it never said anything
            self.transport.abort()
            return
        self._refuse(
            RequestTimeoutException(
                f"The header of the request did not arrive within {self.limits.header_seconds:g} s "
                "(OPENREK_HEADER_TIMEOUT)."
            )
        )

    def _await_taking(self, before: int | None = None) -> None:
        """Give the client up where it takes nothing of its answer; `before`: the bytes that waited for it last time."""
        left = self.transport.get_write_buffer_size()
        if before is not None and left >= before:
            self.transport.abort()
            return
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        self._answer_timer = self.loop.call_later(self.limits.header_seconds, self._await_taking, left)


def _without_upgrade(data: bytes) -> bytes:
    """What a request begins with, less an offer to speak another protocol in its header, which a server may ignore (RFC
    9110 7.8). Java's HttpClient makes one, and the parser would take the request's body for that protocol. Headers that
    come in pieces are left as they are."""
    found = _UPGRADE.search(data, 0, max(0, data.find(b"\r\n\r\n")))
    return data[: found.start()] + data[found.end() :] if found else data
