"""Alembic's scripts. `openrek.store.database` runs them; see `openrek.store.schema` for how to change a table."""
