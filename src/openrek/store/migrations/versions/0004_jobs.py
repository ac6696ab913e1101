"""Stored-video jobs: their tasks, results, notices and workers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _row_id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("job_id", _name(64), nullable=False),
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("region", _name(64), nullable=False),
        sa.Column("operation", _name(64), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", _name(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("frames", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("chunks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chunks_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("job_id", name=op.f("uq_jobs_job_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_jobs_status"), "jobs", ["status"])
    op.create_index(op.f("ix_jobs_finished_ms"), "jobs", ["finished_ms"])
    op.create_table(
        "job_tasks",
        sa.Column("job_number", _row_id(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", _name(8), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("interruptions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease", _name(32), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worker_id", _name(128), nullable=True),
        sa.Column("frames_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("observations", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("job_number", "position", name=op.f("pk_job_tasks")),
        sa.ForeignKeyConstraint(["job_number"], ["jobs.id"], name=op.f("fk_job_tasks_job_number_jobs")),
    )
    op.create_index(op.f("ix_job_tasks_state_priority_position"), "job_tasks", ["state", "priority", "position"])
    op.create_table(
        "job_results",
        sa.Column("job_number", _row_id(), nullable=False),
        sa.Column("view", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sort_text", _name(255), nullable=False),
        sa.Column("sort_number", sa.Double(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_number", "view", "position", name=op.f("pk_job_results")),
        sa.ForeignKeyConstraint(["job_number"], ["jobs.id"], name=op.f("fk_job_results_job_number_jobs")),
    )
    op.create_index(
        op.f("ix_job_results_job_number_view_sort_text_sort_number_position"),
        "job_results",
        ["job_number", "view", "sort_text", "sort_number", "position"],
    )
    op.create_table(
        "job_notices",
        sa.Column("id", _row_id(), autoincrement=True, nullable=False),
        sa.Column("job_number", _row_id(), nullable=False),
        sa.Column("topic", _name(2048), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", _name(8), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease", _name(32), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_notices")),
        sa.ForeignKeyConstraint(["job_number"], ["jobs.id"], name=op.f("fk_job_notices_job_number_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_job_notices_job_number"), "job_notices", ["job_number"])
    op.create_index(op.f("ix_job_notices_state"), "job_notices", ["state"])
    op.create_table(
        "job_workers",
        sa.Column("worker_id", _name(128), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_job_workers")),
    )
