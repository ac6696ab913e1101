"""Alembic's environment: runs on the connection, and in the transaction, that `openrek.store.database` hands over."""

from alembic import context

from openrek.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
