"""The history of the index's schema: alembic's environment and the numbered revisions."""
