"""The history of the tables in PostgreSQL; alembic runs it."""
