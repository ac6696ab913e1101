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

HEAD: Final = "0008"

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
    # rows of `removed_vectors`, and the change number up to which they were thrown away
    Column("removed_count", BigInteger, nullable=False, server_default="0"),
    Column("forgotten_change", BigInteger, nullable=False, server_default="0"),
    # of a copy that is made with another face model: the collection whose place it shall take (store.reindex)
    Column("copy_of", BigInteger, nullable=True, index=True),
    UniqueConstraint("account_id", "region", "collection_id"),
    sqlite_autoincrement=True,
)

# Vectors are 128 float32, little-endian, of length 1. `change` is the collection's number at which the vector came or
# was last replaced; `removed_vectors` keeps the numbers of those that went lately, so that a search index can catch up.

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

# only where the owner of the server asked for it: what a face is read from again with another model (store.face_crops)
face_crops = Table(
    "face_crops",
    metadata,
    Column(
        "face_number",
        row_id(),
        ForeignKey("faces.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("sealed", LargeBinary, nullable=False),
)

# of pictures in which `openrek faces index` found no face, so that it need not look at them again (store.faceless)
faceless_pictures = Table(
    "faceless_pictures",
    metadata,
    Column("collection_number", row_id(), ForeignKey("collections.id"), primary_key=True, autoincrement=False),
    Column("image_id", name_type(36), primary_key=True),
    Column("looked_with", name_type(255), nullable=False),
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

# Stored-video jobs. A job is a row of tasks: one that plans (position -2), its chunks (0, 1, ...), one that decides
# (-1).
# Whoever works on a task holds its lease, a random name with an end; the lease is asked for in every transaction that
# writes something of the task, so that a worker that lost it can no longer write.

jobs = Table(
    "jobs",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("job_id", name_type(64), nullable=False, unique=True),
    Column("account_id", name_type(12), nullable=False),
    Column("region", name_type(64), nullable=False),
    Column("operation", name_type(64), nullable=False),  # the one that started it
    Column("parameters", Text, nullable=False),  # of the request, JSON
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("status", name_type(16), nullable=False, index=True),  # IN_PROGRESS, SUCCEEDED, FAILED
    Column("message", Text, nullable=True),
    Column("plan", Text, nullable=True),  # JSON: what the planning task found
    Column("frames", BigInteger, nullable=False, server_default="0"),
    Column("chunks", Integer, nullable=False, server_default="0"),
    Column("chunks_done", Integer, nullable=False, server_default="0"),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=True),
    Column("finished_ms", BigInteger, nullable=True, index=True),
    sqlite_autoincrement=True,
)

job_tasks = Table(
    "job_tasks",
    metadata,
    Column("job_number", row_id(), ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("state", name_type(8), nullable=False),  # open, done
    Column("priority", Integer, nullable=False),
    Column("arguments", Text, nullable=False),  # JSON
    Column("not_before_ms", BigInteger, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("interruptions", Integer, nullable=False, server_default="0"),
    Column("lease", name_type(32), nullable=True),
    Column("lease_until_ms", BigInteger, nullable=False, server_default="0"),
    Column("worker_id", name_type(128), nullable=True),
    Column("frames_done", BigInteger, nullable=False, server_default="0"),
    Column("observations", LargeBinary, nullable=True),
    Index(None, "state", "priority", "position"),
)

job_results = Table(
    "job_results",
    metadata,
    Column("job_number", row_id(), ForeignKey("jobs.id"), primary_key=True),
    Column("view", Integer, primary_key=True, autoincrement=False),  # 0: as found; 1: aggregated
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("sort_text", name_type(255), nullable=False),
    Column("sort_number", Double, nullable=False),
    Column("item", Text, nullable=False),  # the member of the answer, JSON
    Index(None, "job_number", "view", "sort_text", "sort_number", "position"),
)

# what is to be published about finished jobs, kept until it went out or was given up
job_notices = Table(
    "job_notices",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("job_number", row_id(), ForeignKey("jobs.id"), nullable=False, index=True),
    Column("topic", name_type(2048), nullable=False),
    Column("message", Text, nullable=False),
    Column("state", name_type(8), nullable=False, index=True),  # open, sent, failed
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before_ms", BigInteger, nullable=False, server_default="0"),
    Column("lease", name_type(32), nullable=True),
    Column("error", Text, nullable=True),
    Column("changed_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

job_workers = Table(
    "job_workers",
    metadata,
    Column("worker_id", name_type(128), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

# Human review of moderated pictures: the flows that the owner of the server set up, and the reviews that calls started.

review_flows = Table(
    "review_flows",
    metadata,
    Column("account_id", name_type(12), primary_key=True),
    Column("region", name_type(64), primary_key=True),
    Column("name", name_type(63), primary_key=True),
    Column("conditions", Text, nullable=True),  # JSON; none: every call starts a review
    Column("created_ms", BigInteger, nullable=False),
)

review_loops = Table(
    "review_loops",
    metadata,
    Column("id", row_id(), primary_key=True, autoincrement=True),
    Column("account_id", name_type(12), nullable=False),
    Column("region", name_type(64), nullable=False),
    Column("name", name_type(63), nullable=False),
    Column("flow_name", name_type(63), nullable=False, index=True),
    Column("status", name_type(16), nullable=False),  # InProgress; the review itself is not built yet
    Column("fingerprint", name_type(64), nullable=False),  # SHA-256 of what was asked: the same again is the same loop
    Column("input", Text, nullable=False),  # JSON: what the reviewers are to see
    Column("image", LargeBinary, nullable=True),  # inline bytes; of a picture in a bucket the input holds the address
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
    Index(None, "account_id", "region", "status"),
    sqlite_autoincrement=True,
)
