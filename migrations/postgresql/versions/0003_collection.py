"""References between blobs, found from below: an index over the labels themselves.

So no table can disagree with the labels, whichever process writes them. `contentdb.cluster.migrate`
builds the index beforehand while others write; here it is made only in a database of few rows.
Sessions tell of which revision their process is: one of before writes no times for a collector.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = """
ALTER TABLE sessions ADD COLUMN revision text;
CREATE INDEX ingests_expected ON ingests (namespace, expected) WHERE expected IS NOT NULL;
CREATE OR REPLACE FUNCTION contentdb_links(namespace text, labels jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(CASE WHEN key ^@ 'containerd.io/gc.ref.content' THEN 'r' ELSE 'b' END
        || namespace || chr(10) || value)
    FROM jsonb_each_text(labels) WHERE length(value) < 200
    AND (key ^@ 'containerd.io/gc.ref.content' OR key ^@ 'containerd.io/gc.bref.content')
$$;
CREATE INDEX IF NOT EXISTS blobs_links ON blobs USING gin (contentdb_links(namespace, labels))
    WITH (fastupdate = off) WHERE contentdb_links(namespace, labels) IS NOT NULL;
"""


def upgrade() -> None:
    """Make what is missing."""
    op.get_bind().exec_driver_sql(_TABLES)
