"""ClientRequestToken: the same request twice is done once.

```python
@operation("CreateUser")
def create_user(request: CreateUserRequestTypeDef, call: Call, services: Services) -> Response:
    def work(connection: Connection) -> Response:
        users.create(connection, ...)   # in the transaction that also records the answer
        return {}

    return once(services, call, work)
```
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from openrek.contract.call import Call
from openrek.contract.errors import IdempotentParameterMismatchException
from openrek.service.operation import Response
from openrek.service.services import Services
from openrek.store.errors import TokenMismatchError
from openrek.store.request_tokens import RequestTokens, TokenScope

TOKEN: Final = "ClientRequestToken"


def once(services: Services, call: Call, work: Callable[[Connection], Response]) -> Response:
    """Run `work` in a transaction; when the request has a token, record the answer in it and give it to repeats.

    The scope of a token is account, region and operation, its lifetime `Settings.request_token_lifetime`. Repeats get
    the recorded answer even if things have changed since; a repeat that arrives while the first is at work waits for
    it. A failure is not recorded: the next request with the token tries again. Without a token `work` just runs.

    `work` must be short and write only through the connection it is given. Its answer must be JSON (no blobs, no
    timestamps: an operation that needs those records their parts and builds the answer afterwards).

    Raises IdempotentParameterMismatchException when the token came with other parameters before.
    """
    token = call.request.get(TOKEN)
    if token is None:
        with services.database.begin() as connection:
            return work(connection)
    tokens = RequestTokens(services.database, services.settings.request_token_lifetime)
    with _mismatch(token):
        kept = tokens.once(_scope(call, token), fingerprint(call.request), lambda connection: _record(work(connection)))
    response: Response = orjson.loads(kept)
    return response


def recorded(services: Services, call: Call) -> Response | None:
    """The answer that an earlier request with this token got, to give it before checks that take time.

    None without a token or a record: then `once` follows. Raises IdempotentParameterMismatchException.
    """
    token = call.request.get(TOKEN)
    if token is None:
        return None
    tokens = RequestTokens(services.database, services.settings.request_token_lifetime)
    with _mismatch(token):
        kept = tokens.recorded(_scope(call, token), fingerprint(call.request))
    return None if kept is None else orjson.loads(kept)


def fingerprint(request: Mapping[str, Any]) -> str:
    """A SHA-256 (hex) over the parameters except the token; blobs enter with their own digests."""
    parameters = {name: value for name, value in request.items() if name != TOKEN}
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), default=_stand_in)
    return hashlib.sha256(text.encode()).hexdigest()


def _scope(call: Call, token: str) -> TokenScope:
    return TokenScope(call.caller.account_id, call.caller.region, call.operation, token)


@contextmanager
def _mismatch(token: str) -> Iterator[None]:
    try:
        yield
    except TokenMismatchError as error:
        raise IdempotentParameterMismatchException(
            f"The ClientRequestToken: {token} you have supplied is already in use."
        ) from error


def _stand_in(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"a request parameter cannot be a {type(value).__name__}")


def _record(response: Response) -> str:
    return orjson.dumps(response, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
