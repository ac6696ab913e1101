"""What goes back: a status, JSON bytes and the headers that every answer carries."""

from typing import Final, NamedTuple

import orjson

from openrek.contract.errors import ServiceError

CONTENT_TYPE: Final = b"application/x-amz-json-1.1"

Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """One answer. `error` is the wire name of the error it reports, `last` closes the connection after it."""

    status: int
    body: bytes
    error: str | None = None
    last: bool = False

    def headers(self, request_id: str) -> Headers:
        """Header names in lower case, as ASGI wants them. The HTTP server adds the date."""
        headers = [
            (b"x-amzn-requestid", request_id.encode()),
            (b"content-type", CONTENT_TYPE),
            (b"content-length", b"%d" % len(self.body)),
        ]
        if self.error is not None:
            headers.append((b"x-amzn-errortype", self.error.encode()))
        if self.last:
            headers.append((b"connection", b"close"))
        return headers


def error_answer(error: ServiceError, *, last: bool = False) -> Answer:
    """The answer that reports `error`, in the body style of its origin.

    AWS's front end writes `__type` and `message`; a service's handler writes `__type`, `Code`, `Message` and any
    further modelled members. SDKs read both.
    """
    if error.framework:
        content = {"__type": error.code, "message": error.message}
    else:
        content = {"__type": error.code, "Code": error.code, "Message": error.message, **error.members}
    return Answer(error.status, _dumps(content), error.code, last)


def _dumps(content: dict[str, str]) -> bytes:
    try:
        return orjson.dumps(content)
    except orjson.JSONEncodeError:  # a lone surrogate, out of a file's name for example
        return orjson.dumps({key: value.encode("utf-8", "replace").decode() for key, value in content.items()})
