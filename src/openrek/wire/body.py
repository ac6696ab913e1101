"""The request body, read under three limits: its size, its time, and the memory that all bodies hold together."""

import asyncio
from collections.abc import Iterable
from typing import Final

from starlette.types import Receive

from openrek.contract.errors import RequestTimeoutException, ThrottlingException, ValidationException

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 256 * 1024 * 1024


class ClientDisconnected(Exception):
    """The client went away; nobody is left to answer."""


def declared_size(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """How many bytes the headers announce; None when only the end of the body will tell."""
    size: int | None = 0
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) <= 18 else 10**18
        if name == b"transfer-encoding":
            size = None
    return size


class Bodies:
    """Reads request bodies of at most `limit` bytes within `timeout` seconds each.

    `most_held` bounds the bytes of all bodies between their arrival and their answer: when waiting requests hold that
    much, a further one is told to come back later instead of filling the memory. `picture_limit`, the largest inline
    picture in bytes, is for the message to who sends more.
    """

    def __init__(self, limit: int, timeout: float, most_held: int, picture_limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._timeout = timeout
        self._most_held = most_held
        self._picture_limit = picture_limit

    def release(self, size: int) -> None:
        """A body of `size` bytes has been answered."""
        self.held -= size

    def too_large(self) -> ValidationException:
        return ValidationException(
            f"The request body is larger than the {self.limit} bytes that this server accepts (OPENREK_MAX_BODY). "
            f"An inline picture has at most {self._picture_limit} bytes; hand over a larger one as S3Object."
        )

    async def read(self, receive: Receive) -> bytes:
        """The whole body; call `release` with its length after the answer.

        Raises ValidationException (size), RequestTimeoutException, ThrottlingException or ClientDisconnected.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnected
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    self.held += len(chunk)
                    if size > self.limit:
                        raise self.too_large()
                    if self.held > self._most_held:
                        raise ThrottlingException("The server holds as many requests as fit its memory; try again.")
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except BaseException as error:
            self.release(size)
            if isinstance(error, TimeoutError):
                raise RequestTimeoutException(
                    f"The request body did not arrive within {self._timeout:g} s (OPENREK_BODY_TIMEOUT)."
                ) from None
            raise


async def linger(receive: Receive) -> None:
    """Take what a client is still sending and drop it, for two seconds and 256 MiB at most.

    It would see a reset connection instead of the answer if we closed on it at once.
    """
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
