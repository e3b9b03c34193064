"""The tables of a new database, and the revision that this code expects.

They are what the migrations of `contentdb.migrations.postgresql` lead to; a test compares the two.
Text is compared byte by byte (``COLLATE "C"``): pages go on behind a key, and prefixes are ranges.
A name may have 4096 bytes, more than an index holds: its SHA-256 is the key, and lists are sorted
by the first 500 characters first.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD", "LINKS", "LINKS_INDEX", "TABLES"]

HEAD: Final = "0003"

TABLES: Final = """
CREATE TABLE meta (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    uuid uuid NOT NULL,
    objects text NOT NULL,
    endpoint text,
    inline_bytes integer NOT NULL CHECK (inline_bytes >= 0),
    system_id bigint NOT NULL,
    timeline integer NOT NULL,
    database_oid bigint NOT NULL,
    meta_oid bigint NOT NULL
);
CREATE TABLE sessions (
    id bigint PRIMARY KEY,
    holder text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    fenced boolean NOT NULL DEFAULT false,
    revision text
);
CREATE TABLE objects (
    digest text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL CHECK (size >= 0),
    checksum bigint NOT NULL,
    key text COLLATE "C",
    runs jsonb,
    inline bytea,
    damaged boolean NOT NULL DEFAULT false,
    CHECK (num_nonnulls(key, inline) = 1 AND (runs IS NULL OR key IS NOT NULL))
);
ALTER TABLE objects ALTER inline SET STORAGE EXTERNAL;
CREATE INDEX objects_runs ON objects USING gin (runs jsonb_path_ops) WHERE runs IS NOT NULL;
CREATE TABLE blobs (
    namespace text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL REFERENCES objects,
    size bigint NOT NULL,
    created_ns bigint NOT NULL,
    updated_ns bigint NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (namespace, digest)
);
CREATE INDEX blobs_digest ON blobs (digest);
CREATE INDEX blobs_size ON blobs (namespace, size, digest);
CREATE INDEX blobs_created ON blobs (namespace, created_ns, digest);
CREATE INDEX blobs_updated ON blobs (namespace, updated_ns, digest);
CREATE INDEX blobs_labels ON blobs USING gin (labels jsonb_path_ops);
CREATE TABLE ingests (
    namespace text COLLATE "C" NOT NULL,
    ref_hash bytea NOT NULL,
    ref text COLLATE "C" NOT NULL,
    token uuid NOT NULL,
    session bigint,
    total bigint,
    expected text COLLATE "C",
    metadata text,
    "offset" bigint NOT NULL DEFAULT 0,
    runs jsonb NOT NULL DEFAULT '[]',
    started_ns bigint NOT NULL,
    updated_ns bigint NOT NULL,
    holder text NOT NULL,
    held_since_ns bigint NOT NULL,
    PRIMARY KEY (namespace, ref_hash)
);
CREATE INDEX ingests_ref ON ingests (namespace, left(ref, 500));
CREATE INDEX ingests_expected ON ingests (namespace, expected) WHERE expected IS NOT NULL;
CREATE TABLE trash (
    key text COLLATE "C" PRIMARY KEY,
    count integer,
    since timestamptz NOT NULL DEFAULT now(),
    gone boolean NOT NULL DEFAULT false
);
CREATE INDEX trash_since ON trash (since) WHERE NOT gone;
CREATE TABLE tags (
    namespace text COLLATE "C" NOT NULL,
    name_hash bytea NOT NULL,
    name text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    media_type text,
    size bigint CHECK (size >= 0),
    labels jsonb NOT NULL DEFAULT '{}',
    created_ns bigint NOT NULL,
    updated_ns bigint NOT NULL,
    PRIMARY KEY (namespace, name_hash)
);
CREATE INDEX tags_name ON tags (namespace, left(name, 500));
CREATE INDEX tags_digest ON tags (namespace, digest);
CREATE TABLE leases (
    token uuid PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    id_hash bytea NOT NULL,
    id text COLLATE "C" NOT NULL,
    session bigint,
    holder text,
    flat boolean NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    created_ns bigint NOT NULL,
    expires_ns bigint,
    ended boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX leases_id_hash ON leases (namespace, id_hash) WHERE NOT ended;
CREATE INDEX leases_id ON leases (namespace, left(id, 500));
CREATE TABLE lease_items (
    lease uuid NOT NULL REFERENCES leases,
    item_hash bytea NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (lease, item_hash)
);
CREATE INDEX lease_items_item ON lease_items (namespace, item_hash);
CREATE TABLE queue (
    namespace text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    review_at bigint NOT NULL,
    PRIMARY KEY (namespace, digest)
);
CREATE INDEX queue_review ON queue (namespace, review_at, digest);
CREATE TABLE collection (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    since_ns bigint,
    old_before_ns bigint NOT NULL
);
INSERT INTO collection (old_before_ns) VALUES (0);
"""
LINKS: Final = """
CREATE OR REPLACE FUNCTION contentdb_links(namespace text, labels jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(CASE WHEN key ^@ 'containerd.io/gc.ref.content' THEN 'r' ELSE 'b' END
        || namespace || chr(10) || value)
    FROM jsonb_each_text(labels) WHERE length(value) < 200
    AND (key ^@ 'containerd.io/gc.ref.content' OR key ^@ 'containerd.io/gc.bref.content')
$$;
"""
"""What a blob's labels refer to, and are referred to by, if it is short enough for a digest."""
LINKS_INDEX: Final = """
CREATE INDEX {how} IF NOT EXISTS blobs_links ON blobs USING gin (contentdb_links(namespace, labels))
    WITH (fastupdate = off) WHERE contentdb_links(namespace, labels) IS NOT NULL;
"""
"""Statements, separated by semicolons at the ends of lines."""
