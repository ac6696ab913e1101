"""Human review of moderated pictures: flows and the loops that calls started."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _row_id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "review_flows",
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("region", _name(64), nullable=False),
        sa.Column("name", _name(63), nullable=False),
        sa.Column("conditions", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "name", name=op.f("pk_review_flows")),
    )
    op.create_table(
        "review_loops",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("region", _name(64), nullable=False),
        sa.Column("name", _name(63), nullable=False),
        sa.Column("flow_name", _name(63), nullable=False),
        sa.Column("status", _name(16), nullable=False),
        sa.Column("fingerprint", _name(64), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_loops")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_review_loops_account_id_region_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_review_loops_flow_name"), "review_loops", ["flow_name"])
    op.create_index(
        op.f("ix_review_loops_account_id_region_status"), "review_loops", ["account_id", "region", "status"]
    )
