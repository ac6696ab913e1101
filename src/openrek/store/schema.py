"""The tables, and the one schema revision this code works with.

Every change of a table is a new migration in `migrations/versions` (numbered 0001, 0002, …) together with `HEAD`; a
test holds the tables, the migrations and `HEAD` against each other. Times are integer milliseconds since the epoch.
Names that clients choose compare and sort by bytes in both databases.
"""

import time
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD: Final = "0003"

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
    # counts every change of the collection's vectors; each write of a face or user raises it, and so waits for the
    # one before it: whoever sees a number here sees all changes up to it
    Column("change", BigInteger, nullable=False, server_default="0"),
    Column("face_count", BigInteger, nullable=False, server_default="0"),
    Column("user_count", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("account_id", "region", "collection_id"),
    sqlite_autoincrement=True,
)

# Vectors are 128 float32, little-endian, of length 1. `change` is the collection's number at which the vector came or
# was last replaced; `removed_vectors` keeps the numbers of those that went, so that a search index can catch up.

users = Table(
    "users",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("collection_number", row_id(), ForeignKey("collections.id"), nullable=False),
    Column("user_id", name_type(128), nullable=False),
    Column("face_count", Integer, nullable=False, server_default="0"),
    Column("vector", LargeBinary, nullable=True),  # none without a face
    Column("change", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("collection_number", "user_id"),
    Index(None, "collection_number", "change"),
    sqlite_autoincrement=True,
)

faces = Table(
    "faces",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("collection_number", row_id(), ForeignKey("collections.id"), nullable=False),
    Column("face_id", name_type(36), nullable=False),
    Column("image_id", name_type(36), nullable=False),
    Column("external_image_id", name_type(255), nullable=True),
    Column("user_number", row_id(), ForeignKey("users.id"), nullable=True, index=True),
    Column("box_left", Double, nullable=False),
    Column("box_top", Double, nullable=False),
    Column("box_width", Double, nullable=False),
    Column("box_height", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("collection_number", "face_id"),
    Index(None, "collection_number", "change"),
    Index(None, "collection_number", "image_id"),
    Index(None, "collection_number", "external_image_id"),
    sqlite_autoincrement=True,
)

removed_vectors = Table(
    "removed_vectors",
    metadata,
    Column("collection_number", row_id(), ForeignKey("collections.id"), primary_key=True),
    Column("kind", name_type(8), primary_key=True),  # faces or users
    Column("change", BigInteger, primary_key=True),
    Column("number", row_id(), primary_key=True),
)

tags = Table(
    "tags",
    metadata,
    Column("resource", name_type(1024), primary_key=True),  # an ARN
    Column("name", name_type(128), primary_key=True),
    Column("value", String(256), nullable=False),
)

# The gallery of well-known people: what the owner of the server put in, one for all accounts.

celebrities = Table(
    "celebrities",
    metadata,
    Column("id", name_type(22), primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", name_type(255), nullable=False, index=True),  # see store.celebrities.name_key
    Column("wikidata", name_type(22), nullable=True, unique=True),
    Column("urls", Text, nullable=False),  # a JSON list
    Column("gender", String(16), nullable=True),
    Column("source", Text, nullable=True),
    Column("licence", Text, nullable=True),
    Column("consent", Text, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
)

celebrity_references = Table(
    "celebrity_references",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("celebrity_id", name_type(22), ForeignKey("celebrities.id"), nullable=False),
    Column("photo", name_type(64), nullable=False),  # SHA-256 of the photo's bytes; the photo itself is not kept
    Column("model_version", name_type(32), nullable=False, index=True),
    Column("vector", LargeBinary, nullable=False),
    Column("source", Text, nullable=True),
    Column("licence", Text, nullable=True),
    Column("attribution", Text, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("celebrity_id", "photo", "model_version"),
)

# one row: counts the changes of the references, so that every server notices them
celebrity_changes = Table(
    "celebrity_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("change", BigInteger, nullable=False),
)

# those who asked to be removed, as keyed hashes: no later import brings them back
removed_celebrities = Table(
    "removed_celebrities",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("name_hash", name_type(64), nullable=False, index=True),
    Column("wikidata_hash", name_type(64), nullable=True, index=True),
    Column("removed_ms", BigInteger, nullable=False),
)
