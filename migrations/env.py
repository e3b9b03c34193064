"""Run by alembic: migrates on the connection that the caller handed over, in its transaction."""

from __future__ import annotations

from alembic import context

from contentdb.local.index.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    transaction_per_migration=False,
)
context.run_migrations()
