"""The gallery of well-known people."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _row_id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "celebrities",
        sa.Column("id", _name(22), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _name(255), nullable=False),
        sa.Column("wikidata", _name(22), nullable=True),
        sa.Column("urls", sa.Text(), nullable=False),
        sa.Column("gender", sa.String(16), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("licence", sa.Text(), nullable=True),
        sa.Column("consent", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_celebrities")),
        sa.UniqueConstraint("wikidata", name=op.f("uq_celebrities_wikidata")),
    )
    op.create_index(op.f("ix_celebrities_name_key"), "celebrities", ["name_key"])
    op.create_table(
        "celebrity_references",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("celebrity_id", _name(22), nullable=False),
        sa.Column("photo", _name(64), nullable=False),
        sa.Column("model_version", _name(32), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("licence", sa.Text(), nullable=True),
        sa.Column("attribution", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_celebrity_references")),
        sa.ForeignKeyConstraint(
            ["celebrity_id"], ["celebrities.id"], name=op.f("fk_celebrity_references_celebrity_id_celebrities")
        ),
        sa.UniqueConstraint(
            "celebrity_id",
            "photo",
            "model_version",
            name=op.f("uq_celebrity_references_celebrity_id_photo_model_version"),
        ),
    )
    op.create_index(op.f("ix_celebrity_references_model_version"), "celebrity_references", ["model_version"])
    op.create_table(
        "celebrity_changes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_celebrity_changes")),
    )
    op.create_table(
        "removed_celebrities",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("name_hash", _name(64), nullable=False),
        sa.Column("wikidata_hash", _name(64), nullable=True),
        sa.Column("removed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removed_celebrities")),
    )
    op.create_index(op.f("ix_removed_celebrities_name_hash"), "removed_celebrities", ["name_hash"])
    op.create_index(op.f("ix_removed_celebrities_wikidata_hash"), "removed_celebrities", ["wikidata_hash"])
