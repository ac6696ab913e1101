"""A load generator that costs little itself: ready-made request bytes over keep-alive connections in one epoll loop."""

import selectors
import socket
import time
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Load:
    """Seconds of every answered request, and the wall seconds of the whole run."""

    latencies: list[float]
    elapsed: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.elapsed

    @property
    def p50(self) -> float:
        return median(self.latencies)

    @property
    def p95(self) -> float:
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(0.95 * len(self.latencies)))]


class _Connection:
    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request
        self.answer = b""
        self.started = 0.0

    def send(self) -> None:
        self.answer = b""
        self.started = time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> int | None:
        """The status once the answer is complete, None while more is to come."""
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found:
            return None
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        return int(head[9:12]) if len(body) >= length else None


def run(address: tuple[str, int], request: bytes, *, connections: int, seconds: float, at_least: int = 1) -> Load:
    """Keep `connections` requests in flight for `seconds` (and until `at_least` answers have come).

    Raises RuntimeError for an answer other than 200: a benchmark of errors measures nothing.
    """
    selector = selectors.DefaultSelector()
    latencies: list[float] = []
    started = time.perf_counter()
    for _ in range(connections):
        connection = _Connection(address, request)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send()
    open_connections = connections
    while open_connections:
        for key, _ in selector.select():
            connection = key.data
            status = connection.receive()
            if status is None:
                continue
            now = time.perf_counter()
            if status != 200:
                raise RuntimeError(f"answered {connection.answer[:400]!r}")
            latencies.append(now - connection.started)
            if now - started < seconds or len(latencies) < at_least:
                connection.send()
            else:
                selector.unregister(connection.socket)
                connection.socket.close()
                open_connections -= 1
    return Load(latencies, time.perf_counter() - started)
