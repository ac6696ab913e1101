"""Kept face crops, copies of collections with another face model, and removals that are forgotten in time."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _row_id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("removed_count", "forgotten_change"):
        op.add_column("collections", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("collections", sa.Column("copy_of", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_collections_copy_of"), "collections", ["copy_of"])
    op.create_table(
        "face_crops",
        sa.Column("face_number", _row_id(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("face_number", name=op.f("pk_face_crops")),
        sa.ForeignKeyConstraint(
            ["face_number"], ["faces.id"], name=op.f("fk_face_crops_face_number_faces"), ondelete="CASCADE"
        ),
    )
    # removals that were kept before are counted once; the number decides when the oldest are thrown away
    op.execute(
        "UPDATE collections SET removed_count = "
        "(SELECT count(*) FROM removed_vectors WHERE removed_vectors.collection_number = collections.id)"
    )
