-- Revision 0003. Never changed.
PRAGMA application_id = 0x43444231;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE blobs (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    checksum BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    pack BIGINT,
    "offset" BIGINT,
    CONSTRAINT pk_blobs PRIMARY KEY (namespace, digest),
    CONSTRAINT ck_blobs_size CHECK (size >= 0),
    CONSTRAINT ck_blobs_state CHECK (state IN (0, 1, 2))
) WITHOUT ROWID
;
INSERT INTO "blobs" VALUES('default','sha256:1185f37d33b0f89e331f101a51bb8e51165c7efda15950b86a3ebcbb363f898e',7,1,1,2,1,NULL,NULL);
INSERT INTO "blobs" VALUES('default','sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73',7,-5,1700000000000000000,1700000000000000001,0,NULL,NULL);
INSERT INTO "blobs" VALUES('other','sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73',7,-5,3,4,0,NULL,NULL);
CREATE TABLE ingests (
    namespace TEXT NOT NULL,
    ref TEXT NOT NULL,
    name TEXT NOT NULL,
    token TEXT NOT NULL,
    total BIGINT,
    expected TEXT,
    "offset" BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    holder TEXT NOT NULL,
    held_since BIGINT NOT NULL,
    metadata TEXT,
    CONSTRAINT pk_ingests PRIMARY KEY (namespace, ref),
    CONSTRAINT uq_ingests_name UNIQUE (name),
    CONSTRAINT ck_ingests_offset CHECK ("offset" >= 0),
    CONSTRAINT ck_ingests_total CHECK (total >= 0)
) WITHOUT ROWID
;
INSERT INTO "ingests" VALUES('default','a/b c','4891e4a7c0ec489f809751c1f5d3867c','0123456789abcdef',7,'sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73',3,5,6,'pid 1',5,'{"etag":"\"1\""}');
CREATE TABLE labels (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_labels PRIMARY KEY (namespace, digest, "key"),
    CONSTRAINT fk_labels_blobs FOREIGN KEY(namespace, digest)
        REFERENCES blobs (namespace, digest) ON DELETE CASCADE
) WITHOUT ROWID
;
INSERT INTO "labels" VALUES('default','sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73','k','v');
INSERT INTO "labels" VALUES('default','sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73','näive ☃','''quoted''');
CREATE TABLE packs (
    pack BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    CONSTRAINT pk_packs PRIMARY KEY (pack)
) WITHOUT ROWID
;
INSERT INTO "packs" VALUES(123456789,4096);
CREATE TABLE settings (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_settings PRIMARY KEY (name)
) WITHOUT ROWID
;
INSERT INTO "settings" VALUES('pack_below','32768');
CREATE INDEX ix_blobs_tombstones ON blobs (namespace, state, digest) WHERE state = 1;
CREATE INDEX ix_labels_namespace_key_value ON labels (namespace, "key", value);
CREATE INDEX ix_ingests_expected ON ingests (expected) WHERE expected IS NOT NULL;
COMMIT;
