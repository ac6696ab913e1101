"""PostgreSQL keeps no statistics of what is personal: they are samples of a column's values, and would outlive an
erasure until the table is analysed again (for good, where no row is left)."""

from alembic import op

revision = "0007"
down_revision = "0006"

_COLUMNS = {
    "faces": {"vector": "bytea", "external_image_id": 'varchar(255) COLLATE "C"'},
    "users": {"vector": "bytea", "user_id": 'varchar(128) COLLATE "C"'},
    "face_crops": {"sealed": "bytea"},
    "request_tokens": {"response": "text"},
    "celebrities": {"name": "text", "name_key": 'varchar(255) COLLATE "C"', "urls": "text", "source": "text"},
    "celebrity_references": {"vector": "bytea", "source": "text", "attribution": "text"},
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in _COLUMNS.items():
        for name, kind in columns.items():
            # the type it has, set again, throws away the statistics that are there; nothing is written anew
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {kind}")
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} SET STATISTICS 0")
