"""The engine for many hosts: rows in PostgreSQL, bytes in an S3-compatible object store.

The row promises that a blob is stored, the name of an object promises nothing: every object has a
key that is never used twice, and its bytes never change. `docs/cluster.md` has the order of writes.
"""
