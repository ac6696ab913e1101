"""Faces, users, tags, and the change numbers of collections."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _row_id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("change", "face_count", "user_count"):
        op.add_column("collections", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "users",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("collection_number", _row_id(), nullable=False),
        sa.Column("user_id", _name(128), nullable=False),
        sa.Column("face_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.ForeignKeyConstraint(
            ["collection_number"], ["collections.id"], name=op.f("fk_users_collection_number_collections")
        ),
        sa.UniqueConstraint("collection_number", "user_id", name=op.f("uq_users_collection_number_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_users_collection_number_change"), "users", ["collection_number", "change"])
    op.create_table(
        "faces",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("collection_number", _row_id(), nullable=False),
        sa.Column("face_id", _name(36), nullable=False),
        sa.Column("image_id", _name(36), nullable=False),
        sa.Column("external_image_id", _name(255), nullable=True),
        sa.Column("user_number", _row_id(), nullable=True),
        sa.Column("box_left", sa.Double(), nullable=False),
        sa.Column("box_top", sa.Double(), nullable=False),
        sa.Column("box_width", sa.Double(), nullable=False),
        sa.Column("box_height", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(32), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faces")),
        sa.ForeignKeyConstraint(
            ["collection_number"], ["collections.id"], name=op.f("fk_faces_collection_number_collections")
        ),
        sa.ForeignKeyConstraint(["user_number"], ["users.id"], name=op.f("fk_faces_user_number_users")),
        sa.UniqueConstraint("collection_number", "face_id", name=op.f("uq_faces_collection_number_face_id")),
        sqlite_autoincrement=True,
    )
    for name in ("change", "image_id", "external_image_id"):
        op.create_index(op.f(f"ix_faces_collection_number_{name}"), "faces", ["collection_number", name])
    op.create_index(op.f("ix_faces_user_number"), "faces", ["user_number"])
    op.create_table(
        "removed_vectors",
        sa.Column("collection_number", _row_id(), nullable=False),
        sa.Column("kind", _name(8), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("number", _row_id(), nullable=False),
        sa.PrimaryKeyConstraint("collection_number", "kind", "change", "number", name=op.f("pk_removed_vectors")),
        sa.ForeignKeyConstraint(
            ["collection_number"], ["collections.id"], name=op.f("fk_removed_vectors_collection_number_collections")
        ),
    )
    op.create_table(
        "tags",
        sa.Column("resource", _name(1024), nullable=False),
        sa.Column("name", _name(128), nullable=False),
        sa.Column("value", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("resource", "name", name=op.f("pk_tags")),
    )
