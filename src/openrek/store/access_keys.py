"""Access keys: who may call the server."""

import base64
import configparser
import io
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.private_file import place
from openrek.store.schema import access_keys, now_ms

FIRST_LABEL: Final = "made by the first start"
LABEL_LENGTH: Final = 255
PROFILE: Final = "openrek"
CREDENTIALS: Final = "credentials"

_ID: Final = re.compile(r"[A-Z0-9]{20}")
_ALPHABET: Final = string.ascii_uppercase + "234567"
_SECRET: Final = select(access_keys.c.secret).where(access_keys.c.access_key_id == bindparam("key"))


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key without its secret."""

    access_key_id: str
    label: str
    created: datetime


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new access key with its secret: the one time it is shown."""

    access_key_id: str
    secret: str = field(repr=False)
    label: str
    created: datetime


@dataclass(frozen=True, slots=True)
class FirstKey:
    """Where the key pair of the first start lies, and whether this start wrote it."""

    path: Path
    access_key_id: str
    created: bool


class AccessKeys:
    """The access keys in the database. All methods raise StoreError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, label: str = "") -> KeyPair:
        """Make a key pair: a random id (20 characters, OREK…) and secret (40 characters, 240 random bits).

        Raises StoreError for a label above 255 characters too.
        """
        if len(label) > LABEL_LENGTH:
            raise StoreError(f"the label of an access key has at most {LABEL_LENGTH} characters, not {len(label)}")
        with self._database.begin() as connection:
            return _create(connection, label)

    def list(self) -> list[AccessKey]:
        """All keys, oldest first; no secrets."""
        table = access_keys
        query = select(table.c.access_key_id, table.c.label, table.c.created_ms)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created_ms, table.c.access_key_id)).all()
        return [AccessKey(row.access_key_id, row.label, _time(row.created_ms)) for row in rows]

    def revoke(self, access_key_id: str) -> bool:
        """Delete a key; whether it was there. Every server of this database refuses it from now on."""
        with self._database.begin() as connection:
            statement = delete(access_keys).where(access_keys.c.access_key_id == access_key_id)
            return connection.execute(statement).rowcount == 1

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret of a key, None for an unknown or revoked one.

        Never remembered: a key that another process revokes is refused at once.
        """
        if not _ID.fullmatch(access_key_id):
            return None
        rows = self._database.fetch(_SECRET, key=access_key_id)
        return str(rows[0][0]) if rows else None

    def first_key(self, home: Path, region: str | None = None) -> FirstKey | None:
        """Make the first start's key pair and write it to `<home>/credentials` in the AWS credentials format.

        The file is for `AWS_SHARED_CREDENTIALS_FILE` with `AWS_PROFILE=openrek`; it appears at once, complete and
        readable by its owner only, and it is written again from the database when a crash or a person removed it.
        None when the owner manages the keys: others exist and the first one does not, or it was revoked while its
        file is still there. Several processes may do this at the same time.
        """
        path = home / CREDENTIALS
        table = access_keys
        query = select(table.c.access_key_id, table.c.secret, table.c.label).order_by(table.c.created_ms)
        with self._database.begin(alone="first key") as connection:
            keys = connection.execute(query).all()
            if path.exists():  # asked once: another process may put the file there at any moment
                filed = _filed_key(path)
                known = filed is not None and any(key.access_key_id == filed for key in keys)
                return FirstKey(path, filed, created=False) if filed and known else None
            first = next((key for key in keys if key.label == FIRST_LABEL), None)
            if first is not None:
                access_key_id, secret = str(first.access_key_id), str(first.secret)
            elif keys:
                return None
            else:
                pair = _create(connection, FIRST_LABEL)
                access_key_id, secret = pair.access_key_id, pair.secret
        # The key is committed first: a crash from here on leaves a key without a file, and the next start writes it.
        created = _write_credentials(path, access_key_id, secret, region)
        return FirstKey(path, access_key_id, created)


def _create(connection: Connection, label: str) -> KeyPair:
    access_key_id = "OREK" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
    secret = base64.b64encode(secrets.token_bytes(30)).decode()
    created_ms = now_ms()
    row = {"access_key_id": access_key_id, "secret": secret, "label": label, "created_ms": created_ms}
    connection.execute(insert(access_keys).values(row))
    return KeyPair(access_key_id, secret, label, _time(created_ms))


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _filed_key(path: Path) -> str | None:
    """The access key id in a credentials file, None without a readable one."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text("utf-8"))
        return parser.get(PROFILE, "aws_access_key_id")
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None


def _write_credentials(path: Path, access_key_id: str, secret: str, region: str | None) -> bool:
    """Put a credentials file in place, whole; False when another process has just done so."""
    values: Mapping[str, str] = {"aws_access_key_id": access_key_id, "aws_secret_access_key": secret} | (
        {"region": region} if region else {}
    )
    parser = configparser.RawConfigParser()
    parser[PROFILE] = values
    content = io.StringIO()
    parser.write(content)
    try:
        return place(path, content.getvalue().encode())
    except OSError as error:
        raise StoreError(f"cannot write the key pair to {path}: {error.strerror or error}") from error
