"""Access keys, server secrets, request tokens, collections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "access_keys",
        sa.Column("access_key_id", _name(20), nullable=False),
        sa.Column("secret", sa.String(40), nullable=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("access_key_id", name=op.f("pk_access_keys")),
    )
    op.create_table(
        "server_secrets",
        sa.Column("name", _name(64), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_server_secrets")),
    )
    op.create_table(
        "request_tokens",
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("region", _name(64), nullable=False),
        sa.Column("operation", _name(128), nullable=False),
        sa.Column("token", _name(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "operation", "token", name=op.f("pk_request_tokens")),
    )
    op.create_index(op.f("ix_request_tokens_expires_ms"), "request_tokens", ["expires_ms"])
    op.create_table(
        "collections",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("region", _name(64), nullable=False),
        sa.Column("collection_id", _name(255), nullable=False),
        sa.Column("face_model_version", sa.String(32), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint(
            "account_id", "region", "collection_id", name=op.f("uq_collections_account_id_region_collection_id")
        ),
        sqlite_autoincrement=True,
    )
