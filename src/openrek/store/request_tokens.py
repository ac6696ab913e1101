"""ClientRequestToken records: a request that is sent again gets the answer of the first one."""

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, select, tuple_, update

from openrek.store.database import Database
from openrek.store.errors import TokenMismatchError
from openrek.store.schema import now_ms, request_tokens

SEVEN_DAYS: Final = 7 * 24 * 3600.0
PRUNE_BATCH: Final = 1000
PRUNE_EVERY: Final = 64


class TokenScope(NamedTuple):
    """What a token is unique in."""

    account_id: str
    region: str
    operation: str
    token: str


class RequestTokens:
    """The records of one database; `lifetime` is in seconds."""

    def __init__(self, database: Database, lifetime: float = SEVEN_DAYS) -> None:
        self._database = database
        self._lifetime_ms = round(lifetime * 1000)

    def once(self, scope: TokenScope, fingerprint: str, work: Callable[[Connection], str]) -> str:
        """The stored answer of a token, or that of `work`, which is then stored.

        `work` gets the transaction in which its answer is recorded: what it writes there and the record are kept
        together or not at all. It must be short, and use no other transaction. A second request with the token waits
        for the first and gets its answer; when the first fails, nothing is recorded and the second does the work.
        Raises TokenMismatchError when the token was used with another fingerprint, StoreError, and what `work` raises.
        """
        table = request_tokens
        mine = tuple_(*table.primary_key.columns) == tuple(scope)
        with self._database.begin() as connection:
            now = now_ms()
            if secrets.randbelow(PRUNE_EVERY) == 0:
                self._prune(connection, now)
            entry = {"fingerprint": fingerprint, "response": "", "expires_ms": now + self._lifetime_ms}
            if not self._database.insert_if_absent(table, scope._asdict() | entry, connection):
                record = connection.execute(select(table).where(mine).with_for_update()).one_or_none()
                if record is not None and record.expires_ms > now:
                    _check(record.fingerprint, fingerprint, scope)
                    return str(record.response)
                connection.execute(delete(table).where(mine))
                self._database.insert_if_absent(table, scope._asdict() | entry, connection)
            response = work(connection)
            connection.execute(update(table).where(mine).values(response=response))
            return response

    def recorded(self, scope: TokenScope, fingerprint: str) -> str | None:
        """The stored answer of a token, None where it has none: to ask before work that `once` should not wait for.

        Raises TokenMismatchError when the token was used with another fingerprint, StoreError.
        """
        table = request_tokens
        with self._database.read() as connection:
            record = connection.execute(
                select(table).where(tuple_(*table.primary_key.columns) == tuple(scope), table.c.expires_ms > now_ms())
            ).one_or_none()
        if record is None:
            return None
        _check(record.fingerprint, fingerprint, scope)
        return str(record.response)

    def prune(self) -> int:
        """Delete up to PRUNE_BATCH expired records; how many. `once` does this now and then by itself."""
        with self._database.begin() as connection:
            return self._prune(connection, now_ms())

    def count(self) -> int:
        """The number of records, expired ones included."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(request_tokens)).scalar_one())

    def _prune(self, connection: Connection, now: int) -> int:
        table = request_tokens
        key = list(table.primary_key.columns)
        # records that another transaction holds are left to it, so that two servers that prune never wait in a circle
        expired = select(*key).where(table.c.expires_ms <= now).limit(PRUNE_BATCH).with_for_update(skip_locked=True)
        return connection.execute(delete(table).where(tuple_(*key).in_(expired))).rowcount


def _check(recorded: str, given: str, scope: TokenScope) -> None:
    if recorded != given:
        raise TokenMismatchError(f"the request token {scope.token} is in use with other parameters")
