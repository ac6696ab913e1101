"""Pictures in which the indexing of a folder found no face."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _row_id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "faceless_pictures",
        sa.Column("collection_number", _row_id(), autoincrement=False, nullable=False),
        sa.Column("image_id", _name(36), nullable=False),
        sa.Column("looked_with", _name(255), nullable=False),
        sa.PrimaryKeyConstraint("collection_number", "image_id", name=op.f("pk_faceless_pictures")),
        sa.ForeignKeyConstraint(
            ["collection_number"], ["collections.id"], name=op.f("fk_faceless_pictures_collection_number_collections")
        ),
    )
