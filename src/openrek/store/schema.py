"""The tables, and the one schema revision this code works with.

Every change of a table is a new migration in `migrations/versions` (numbered 0001, 0002, …) together with `HEAD`; a
test holds the tables, the migrations and `HEAD` against each other. Times are integer milliseconds since the epoch.
Names that clients choose compare and sort by bytes in both databases.
"""

import time
from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

HEAD: Final = "0001"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def name_type(length: int) -> String:
    """A case-sensitive name that sorts by code point: SQLite's way, and PostgreSQL's with the collation "C"."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def row_id() -> BigInteger:
    """A row number of 64 bits (SQLite calls that INTEGER)."""
    return BigInteger().with_variant(Integer(), "sqlite")


def now_ms() -> int:
    """The present, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key_id", name_type(20), primary_key=True),
    Column("secret", String(40), nullable=False),  # SigV4 is an HMAC: the secret itself is needed to verify
    Column("label", String(255), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

server_secrets = Table(
    "server_secrets",
    metadata,
    Column("name", name_type(64), primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

request_tokens = Table(
    "request_tokens",
    metadata,
    Column("account_id", name_type(12), primary_key=True),
    Column("region", name_type(64), primary_key=True),
    Column("operation", name_type(128), primary_key=True),
    Column("token", name_type(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("response", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
)

collections = Table(
    "collections",
    metadata,
    # never given twice, so that what is kept beside the database under this number cannot be taken for another's
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("account_id", name_type(12), nullable=False),
    Column("region", name_type(64), nullable=False),
    Column("collection_id", name_type(255), nullable=False),
    Column("face_model_version", String(32), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("account_id", "region", "collection_id"),
    sqlite_autoincrement=True,
)
