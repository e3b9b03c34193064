"""The store with one fsync, lock, check or ordering removed at a time, to try the engines on.

A mutant replaces text in a function's source while its module is imported, in the process that
works on the store; the judge is never a mutant. If the function does not have the text exactly
once, that is an error which shows its present source: a change of the store cannot quietly retire
a mutant.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import types
    from collections.abc import Sequence

__all__ = ["MUTANTS", "Mutant", "Patch", "apply", "patched"]


class Patch(NamedTuple):
    """A replacement in the source of one function or class of a module."""

    module: str
    symbol: str
    """Its dotted name; empty for the module itself."""
    old: str
    new: str


class Mutant(NamedTuple):
    """A store that breaks one promise, and who must notice."""

    name: str
    patches: tuple[Patch, ...]
    engines: tuple[str, ...]
    scenarios: tuple[str, ...]


_FILES: Final = "contentdb.files"
_DATABASE: Final = "contentdb.local.index.database"
_INDEX: Final = "contentdb.local.index.index"
_WAL: Final = "contentdb.local.index.wal"
_CHECKPOINTS: Final = "contentdb.local.index.checkpoints"
_LABELS: Final = "contentdb.local.index.labels"
_BOUND: Final = "contentdb.local.index.bound"
_DELETES: Final = "contentdb.local.index.deletes"
_RECORDING: Final = "contentdb.local.index.record"
_CREATE: Final = "contentdb.local.index.create"
_MIGRATE: Final = "contentdb.local.index.migrate"
_SHARDS: Final = "contentdb.local.blobs"
_PUBLISH: Final = "contentdb.local.commit.publish"
_STORED: Final = "contentdb.local.commit.stored"
_GROUP: Final = "contentdb.local.commit.group_commit"
_FILE: Final = "contentdb.local.ingest.file"
_BEGINNING: Final = "contentdb.local.ingest.begin"
_INTAKE: Final = "contentdb.local.ingest.intake"
_RESUMING: Final = "contentdb.streams.resume"
_WRITER: Final = "contentdb.store.writer"
_INGEST: Final = "contentdb.local.ingest.held"
_OPENING: Final = "contentdb.local.open"
_ADDING: Final = "contentdb.local.commit.add"
_DELETE: Final = "contentdb.local.delete"
_REINDEX: Final = "contentdb.local.upkeep.reindex"
_LOCKS: Final = "contentdb.local.locks"
_PRUNE: Final = "contentdb.local.upkeep.prune"
_DOUBTS: Final = "contentdb.local.upkeep.doubts"
_SHARING: Final = "contentdb.local.shared_flags"
_MOMENTS: Final = "contentdb.local.file_times"
_READER: Final = "contentdb.streams.reader"

_APPEND: Final = "contentdb.local.packs.append"
_OWN_PACK: Final = "contentdb.local.packs.own"
_PACKS: Final = "contentdb.local.packs.directory"
_RECORD: Final = "contentdb.local.packs.record"
_PACKED: Final = "contentdb.local.index.packed"
_MATERIALISE: Final = "contentdb.local.commit.materialise"
_PACKING: Final = "contentdb.local.upkeep.pack"
_COPIES: Final = "contentdb.local.upkeep.copies"
_REPACK: Final = "contentdb.local.upkeep.repack"

_POWER: Final = ("states", "cuts", "images")
_COMMITS: Final = ("commit", "add", "ingest")
_GROUPS: Final = ("group",)


def _mutant(
    name: str, patches: Patch | tuple[Patch, ...], engines: tuple[str, ...], *scenarios: str
) -> Mutant:
    return Mutant(name, (patches,) if isinstance(patches, Patch) else patches, engines, scenarios)


_COLLECTING: Final = "contentdb.local.index.collecting"
_REFERENCES: Final = "contentdb.local.index.references"
_TAGS: Final = "contentdb.local.index.tags"
_MET: Final = "contentdb.local.met"
_RECOVERY: Final = "contentdb.local.upkeep.recovery"
_STATEMENTS: Final = "contentdb.local.index.statements"
_SCHEDULES: Final = ("collecting",)
_NO_SEEN: Final = "digest = :digest AND :seen IS NOT NULL AND state <> 1"

_POLICY: Final = "contentdb.local.index.policy"
_RESERVATIONS: Final = "contentdb.local.index.reservations"
_RESERVATION: Final = "contentdb.local.reservation"

_ALL: Final = (
    # -- caches
    _mutant(
        "reserved-not-turned-into-bytes",
        Patch(_RESERVATIONS, "use_reservations", "entry.reserved is not None", "False"),
        ("kills",),
        "cache",
    ),
    _mutant(
        "nothing-reserved",
        Patch(_RESERVATION, "Reservation.cover", "not self._parts.sharing.bounded", "True"),
        ("kills",),
        "cache",
    ),
    _mutant(
        "deleted-bytes-still-counted",
        Patch(_POLICY, "", "AFTER UPDATE OF state, size ON blobs", "AFTER UPDATE OF size ON blobs"),
        ("kills",),
        "cache",
    ),
    # -- collection
    _mutant(
        "collected-before-the-tombstone-is-synced",
        Patch(_COLLECTING, "Collecting.entomb_garbage", "durable=True", "durable=False"),
        _POWER,
        "gc",
    ),
    _mutant(
        "children-of-what-is-collected-not-queued",
        Patch(
            _COLLECTING,
            "Collecting.let_go_of_references",
            "queue_lost(connection, key, [(name, value)])",
            "pass",
        ),
        ("kills",),
        "gc",
    ),
    _mutant(
        "references-go-with-the-row-of-a-killed-run",
        (
            Patch(_RECOVERY, "recover", "let_go_of_references(parts, some)", "pass"),
            Patch(_DELETES, "Deletes._bury", "if find_labels(connection, key):", "if False:"),
        ),
        ("kills",),
        "gc",
    ),
    _mutant(
        "opening-forgets-what-a-killed-run-referred-to",
        Patch(_RECOVERY, "recover", "let_go_of_references(parts, some)", "pass"),
        ("kills",),
        "gc",
    ),
    _mutant(
        "untag-queues-nothing",
        Patch(_TAGS, "Tags.drop_tag", "queue(connection, self._namespace, [old.digest])", "pass"),
        ("kills",),
        "gc",
    ),
    _mutant(
        "untag-queues-nothing-beside-others",
        Patch(_TAGS, "Tags.drop_tag", "queue(connection, self._namespace, [old.digest])", "pass"),
        _SCHEDULES,
        "untag",
    ),
    _mutant(
        "moved-tag-queues-nothing",
        Patch(_TAGS, "Tags._write_tag", "queue(connection, self._namespace, [old.digest])", "pass"),
        _SCHEDULES,
        "move-tag",
    ),
    _mutant(
        "lease-lets-go-without-queueing",
        Patch(
            "contentdb.local.index.leases",
            "Leases._drop_items",
            "queue(connection, self._namespace, [name for kind, name in items if kind == CONTENT])",
            "pass",
        ),
        _SCHEDULES,
        "share",
    ),
    _mutant(
        "collected-without-asking-under-the-lock",
        Patch(
            _COLLECTING,
            "Collecting.entomb_garbage",
            "Walk(connection, self._namespace, horizon).unkept(str(candidate.digest))",
            "[str(candidate.digest)]",
        ),
        _SCHEDULES,
        "tag",
    ),
    _mutant(
        "parents-of-what-is-collected-stay",
        Patch(
            _COLLECTING,
            "Collecting.entomb_garbage",
            "for digest in map(Digest, going):",
            "for digest in map(Digest, going[:1]):",
        ),
        _SCHEDULES,
        "tag",
    ),
    _mutant(
        "dequeued-without-a-compare",
        Patch(_STATEMENTS, "", "digest = :digest AND review_at IS :seen AND state <> 1", _NO_SEEN),
        _SCHEDULES,
        "untag-what-is-due",
    ),
    _mutant(
        "queued-only-where-not-queued",
        Patch(
            _STATEMENTS,
            "",
            "max(:now, coalesce(review_at + 1, 0))\nWHERE",
            "coalesce(review_at, :now)\nWHERE",
        ),
        _SCHEDULES,
        "untag-what-is-due",
    ),
    _mutant(
        "found-stored-without-a-touch",
        Patch(_MET, "meet", "if not _is_due(parts, digest):", "if parts.lease is None:"),
        _SCHEDULES,
        "add",
    ),
    _mutant(
        "asked-for-without-a-touch",
        Patch(_MET, "touch", "if not _is_due(parts, digest) or", "if True or"),
        _SCHEDULES,
        "ask",
    ),
    _mutant(
        "kept-without-asking-whether-it-is-there",
        Patch(_INDEX, "Index.meet", "if state_of(connection, key) != State.LIVE:", "if False:"),
        _SCHEDULES,
        "hold",
    ),
    _mutant(
        "tagged-though-it-is-going",
        Patch(
            _TAGS,
            "Tags.set_tag",
            "if blob is None or blob.state != State.LIVE:",
            "if blob is None:",
        ),
        _SCHEDULES,
        "tag",
    ),
    _mutant(
        "buried-though-stored-again",
        Patch(
            _DELETES,
            "Deletes._bury",
            "if blob is None or blob.state != State.TOMBSTONE:",
            "if blob is None:",
        ),
        _SCHEDULES,
        "pull-again",
    ),
    _mutant(
        "stored-again-and-old-children-not-queued",
        Patch(
            _RECORDING,
            "_revive",
            "drop_labels(connection, values)",
            'connection.execute("DELETE FROM labels WHERE digest = :digest", values)',
        ),
        _SCHEDULES,
        "replace",
    ),
    _mutant(
        "kept-by-a-lease-that-has-ended",
        Patch(
            "contentdb.local.index.leasing",
            "add_items",
            "check_lives(connection, namespace, lease)",
            "pass",
        ),
        _SCHEDULES,
        "share",
    ),
    _mutant(
        "kept-by-a-lease-before-that-is-synced",
        Patch(_MET, "keep_met", "parts.index.sync()", "pass"),
        _POWER,
        "gc",
    ),
    _mutant(
        "tag-not-synced",
        Patch(_TAGS, "Tags.set_tag", "durable=True", "durable=False"),
        _POWER,
        "gc",
    ),
    _mutant(
        "stored-content-not-queued",
        Patch(_RECORDING, "_values", "until.at_ns or None", "None"),
        ("kills",),
        "gc",
    ),
    # -- packs
    _mutant(
        "record-not-synced",
        Patch(_OWN_PACK, "OwnPack.write", "self._sync(own)", "pass"),
        _POWER[:2],
        "packed-add",
        "packed-commit",
    ),
    _mutant(
        "recorded-too-far",
        Patch(_PACKED, "_set_recorded", '"recorded": end}', '"recorded": end + 200_000}'),
        ("states", "images"),
        "packed-add",
    ),
    _mutant(
        "record-synced-before-it-is-written",
        (
            Patch(
                _OWN_PACK,
                "OwnPack.write",
                '            _write_all(own.fd, b"".join(pieces), start, path)\n',
                "",
            ),
            Patch(
                _OWN_PACK,
                "OwnPack.write",
                "            self._check_name(own)\n",
                '            _write_all(own.fd, b"".join(pieces), start, path)\n',
            ),
        ),
        _POWER[:2],
        "packed-add",
        "packed-commit",
    ),
    _mutant(
        "labels-not-in-the-record",
        Patch(_RECORD, "facts_of", "if labels.new:", "if False:"),
        _POWER[:2],
        "packed-commit",
    ),
    _mutant(
        "unpacked-without-its-file",
        (
            Patch(
                _PACKING,
                "_unpack",
                "made = make_file(parts, digest, row, always_sync=True)",
                "made = True",
            ),
            Patch(
                _PACKING, "_leave_pack", "lambda: parts.shards.size(digest) == size", "lambda: 1"
            ),
        ),
        ("kills",),
        "unpack",
    ),
    _mutant(
        "unpacked-record-not-marked",
        Patch(_PACKING, "_leave_pack", "leave_records(parts, record)", "pass"),
        ("kills",),
        "unpack",
    ),
    _mutant(
        "deleted-record-not-marked",
        Patch(_DELETE, "finish_delete", "mark_deleted(parts, packed)", "pass"),
        ("kills",),
        "packed-delete",
    ),
    _mutant(
        "pack-without-its-name",
        Patch(_PACKS, "PackDirectory.make", "files.sync_directory(self.directory)", "pass"),
        ("states",),
        "packed-create",
        "packed-add",
    ),
    _mutant(
        "moves-not-synced",
        (
            Patch(_PACKED, "Packed.move_records", "durable=True", "durable=False"),
            Patch(_COPIES, "store_copies", "parts.index.sync()", "pass"),
        ),
        _POWER[:2],
        "pack",
    ),
    _mutant(
        "file-gone-before-its-record",
        Patch(
            _PACKING,
            "_pack",
            "    store_copies(parts, copies)",
            "    for one, _ in read:\n"
            "        parts.shards.move(one.digest, parts.trash, trash_name(one.digest))\n"
            "    store_copies(parts, copies)",
        ),
        ("kills", "states"),
        "pack",
    ),
    _mutant(
        "unpacked-without-its-name",
        Patch(_MATERIALISE, "make_file", "files.sync_directory(shard)", "pass"),
        ("states",),
        "unpack",
    ),
    _mutant(
        "pack-gone-before-its-records",
        Patch(_REPACK, "_empty", "    live = [", "    packs.remove(pack)\n    live = ["),
        ("kills", "states"),
        "repack",
    ),
    _mutant(
        "pack-forgotten-before-it-is-gone",
        Patch(
            _REPACK,
            "_empty",
            "    packs.remove(pack)\n    parts.index.forget_pack(pack)",
            "    parts.index.forget_pack(pack)\n    packs.remove(pack)",
        ),
        ("unsynced",),
        "repack, delete elsewhere",
    ),
    _mutant(
        "merged-row-not-synced",
        Patch(_APPEND, "Appender._end_unused", "self._index.sync()", "pass"),
        ("unsynced",),
        "packed add, labels",
    ),
    _mutant(
        "records-deferred",
        Patch(_APPEND, "Appender.append", "            job.done = True", "            pass"),
        ("raises",),
        "packed-commit-again",
    ),
    _mutant(
        "packs-locked-for-good",
        Patch(
            _PACKS,
            "PackDirectory.choosing",
            "                    files.unlock(self.directory.fd)\n                    raise",
            "                    raise",
        ),
        ("raises",),
        "packed-add",
    ),
    # -- durability: each must be caught by two engines at least
    _mutant("no-file-sync", Patch(_FILES, "sync", "os.fsync(fd)", "pass"), _POWER, *_COMMITS),
    _mutant(
        "no-directory-sync",
        Patch(_FILES, "sync_directory", "os.fsync(directory.fd)", "pass"),
        _POWER,
        *_COMMITS,
    ),
    _mutant(
        "no-filesystem-sync",
        Patch(_FILES, "sync_filesystem", "if call(directory.fd):", "if False:"),
        _POWER,
        *_GROUPS,
    ),
    _mutant(
        "commit-not-synced",
        Patch(_DATABASE, "Database.write", "self._sync(number)", "pass"),
        _POWER,
        "commit",
        "delete",
        "checkpoint",
    ),
    _mutant(
        "stored-content-told-before-its-row-is-synced",
        Patch(_STORED, "_Answering.may_say", "parts.index.sync()", "pass"),
        ("unsynced",),
        "add, add",
        "add, commit",
        "labels, labels",
    ),
    _mutant(
        "delete-of-another-ended-before-it-is-synced",
        Patch(_DELETES, "Deletes.tombstones", "self._database.sync()", "pass"),
        ("unsynced",),
        "delete, open",
    ),
    _mutant(
        "file-taken-before-the-delete-elsewhere-is-synced",
        Patch(_BOUND, "Bound._have_others", "self._database.sync()", "pass"),
        ("unsynced",),
        "delete, delete elsewhere",
    ),
    _mutant(
        "later-delete-of-another-taken-for-ours",
        Patch(_DELETES, "Deletes._bury", "self._database.sync()", "pass"),
        ("unsynced",),
        "delete, add and delete",
    ),
    _mutant(
        "own-sync-taken-for-one-of-the-next-commit",
        Patch(_WAL, "WriteAheadLog.sync", "self._synced >= number", "self._synced + 1 >= number"),
        ("unsynced",),
        "add, add",
    ),
    _mutant(
        "labels-found-before-they-are-synced",
        Patch(
            _STORED,
            "_Answering.may_say",
            "not parts.known.is_secured(info)",
            "info.digest not in parts.known._secured",
        ),
        ("unsynced",),
        "labels, labels",
    ),
    _mutant(
        "failed-sync-of-a-checkpoint-forgotten",
        Patch(_CHECKPOINTS, "Checkpoints.checkpoint", "log.note_failure(error)", "pass"),
        ("eio",),
        "checkpoint",
    ),
    _mutant(
        "index-never-synced",
        (
            Patch(_DATABASE, "Database.write", "self._sync(number)", "pass"),
            Patch(_DATABASE, "Database._begin", "synchronous = NORMAL", "synchronous = OFF"),
        ),
        _POWER,
        "commit",
        "delete",
        "checkpoint",
    ),
    _mutant(
        "name-not-synced",
        Patch(_PUBLISH, "publish", "files.sync_directory(shard)  # C5", "pass"),
        _POWER,
        *_COMMITS,
    ),
    _mutant(
        "names-of-a-group-not-synced",
        Patch(_GROUP, "Group.sync_names", '"""Put the names of all items on disk."""', "return"),
        _POWER,
        *_GROUPS,
    ),
    _mutant(
        "files-of-a-group-not-synced",
        Patch(_GROUP, "Group.sync_files", '"""Put the bytes of all items on disk."""', "return"),
        _POWER,
        *_GROUPS,
    ),
    _mutant(
        "synced-after-its-row",
        (
            Patch(_PUBLISH, "publish", "    file.sync()\n    key =", "    key ="),
            Patch(
                _PUBLISH,
                "publish",
                "    if outcome is not Outcome.FENCED:\n        file.take_away()  # C7",
                "    file.sync()\n    if outcome is not Outcome.FENCED:\n"
                "        file.take_away()  # C7",
            ),
        ),
        _POWER,
        "commit",
        "ingest",
        "add",
        "checkpoint",
    ),
    _mutant(
        "row-before-name",
        (
            Patch(
                _PUBLISH,
                "publish",
                "            shard = parts.shards.shard_to_name_in(digest)\n",
                "            (outcome,) = parts.index.record([candidate])\n"
                "            shard = parts.shards.shard_to_name_in(digest)\n",
            ),
            Patch(
                _PUBLISH,
                "publish",
                "            (outcome,) = parts.index.record([candidate])  # C6",
                "            # C6",
            ),
            Patch(_RECORDING, "_record", "if not _is_there(entry):", "if False:"),
        ),
        ("kills", "states", "cuts"),
        *_COMMITS,
    ),
    _mutant(
        "labels-not-durable",
        Patch(
            _LABELS,
            "Labels.merge_labels",
            "has_labels(db, key, labels), durable=True",
            "has_labels(db, key, labels), durable=False",
        ),
        _POWER,
        "relabel",
    ),
    _mutant(
        "deletion-not-durable",
        Patch(
            _DELETES,
            "Deletes.entomb_all",
            "work, landed, durable=True, rows=len(digests)",
            "work, landed, durable=False, rows=len(digests)",
        ),
        _POWER,
        "delete",
        "delete-many",
    ),
    _mutant(
        "truncation-not-noted",
        Patch(
            _INTAKE, "Intake.restart", "self.row = forget_beyond(self._parts, self.row, 0)\n", "\n"
        ),
        ("states", "cuts"),
        "rewrite",
    ),
    _mutant(
        "cut-not-noted",
        Patch(
            _INTAKE,
            "Intake.cut",
            "self.row = forget_beyond(self._parts, self.row, kept.size)\n",
            "\n",
        ),
        ("states", "cuts"),
        "other",
    ),
    _mutant(
        "start-not-noted",
        (
            Patch(_BEGINNING, "_empty", "        forget_beyond(parts, row, 0)\n", "        pass\n"),
            Patch(
                _BEGINNING, "begin", "return forget_beyond(parts, row, size), fd", "return row, fd"
            ),
        ),
        ("states", "cuts"),
        "start-over",
    ),
    _mutant(
        "neglect-not-announced",
        Patch(_OPENING, "open_parts", "unsynced=not options.durable)", "unsynced=False)"),
        ("states", "cuts"),
        "neglect",
    ),
    _mutant(
        "deleted-name-not-synced",
        Patch(_DELETE, "finish_delete", "if parts.durable:", "if False:"),
        ("states",),  # ext4 and xfs keep the rename and the stamp of D1 in one transaction
        "delete",
        "delete-many",
    ),
    # -- what a kill leaves
    _mutant(
        "ingest-gone-before-its-row",
        Patch(
            _FILE,
            "HeldFile.link",
            "return files.link(self._parts.ingest, self._name, directory, name)",
            "return files.link(self._parts.ingest, self._name, directory, name) and (\n"
            "            files.unlink(self._parts.ingest, self._name))",
        ),
        ("kills",),
        "resume",
    ),
    _mutant(
        "index-named-before-it-is-filled",
        (
            Patch(
                _REINDEX,
                "_rebuild",
                "        with closing(open_tree(str(path), directory, _NEW,",
                "        fold(path / _NEW)\n        _replace(directory)\n"
                "        with closing(open_tree(str(path), directory, INDEX,",
            ),
            Patch(
                _REINDEX,
                "_rebuild",
                "        fold(path / _NEW)\n        _replace(directory)\n    finally",
                "    finally",
            ),
        ),
        ("kills", "states"),
        "reindex-lost",
    ),
    _mutant(
        "tables-made-one-by-one",
        (
            Patch(_CREATE, "", '    "BEGIN IMMEDIATE",\n', ""),
            Patch(_CREATE, "", '    "COMMIT",\n', ""),
        ),
        ("kills", "states"),
        "create",
    ),
    _mutant(
        "tables-not-synced",
        Patch(_CREATE, "create_tables", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),
        ("states", "images"),
        "create",
    ),
    _mutant(
        "migration-step-by-step",
        Patch(_MIGRATE, "_upgrade", 'connection.exec_driver_sql("BEGIN IMMEDIATE")', "pass"),
        ("kills", "states"),
        "migrate",
    ),
    _mutant(
        "migration-not-synced",
        Patch(_MIGRATE, "upgrade", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),
        _POWER,
        "migrate",
    ),
    _mutant(
        "short-write-is-whole",
        Patch(
            _FILES, "write", "return os.write(fd, data)", "return os.write(fd, data) and len(data)"
        ),
        ("kills",),
        "add",
        "commit",
        "ingest",
    ),
    # -- what an error leaves
    _mutant(
        "sync-error-swallowed",
        Patch(_FILES, "sync", 'raise DurabilityError("sync", path, error) from error', "pass"),
        ("eio",),
        "commit",
        "group",
        "resume",
    ),
    _mutant(
        "failed-commit-acknowledged",
        Patch(
            _DATABASE,
            "Database._read_back",
            "if job.error is None and not job.landed(connection):",
            "if False:",
        ),
        ("faults",),
        "commit",
    ),
    # -- locks, checks and fences
    _mutant(
        "no-lock",
        (
            Patch(_FILES, "_lock_until", "fcntl.flock(fd, kind | fcntl.LOCK_NB)", "pass"),
            Patch(_FILES, "lock", "            fcntl.flock(fd, fcntl.LOCK_EX)\n", ""),
        ),
        ("probes",),
        "a_ref_has_one_writer",
    ),
    _mutant(
        "writable-blobs",
        Patch(_FILES, "make_read_only", "set_mode(fd, 0o444, path)", "set_mode(fd, 0o644, path)"),
        ("probes",),
        "a_blob_is_read_only",
    ),
    _mutant(
        "links-followed",
        Patch(_FILES, "", "_FILE_FLAGS: Final = os.O_NOFOLLOW | ", "_FILE_FLAGS: Final = "),
        ("probes",),
        "nothing_is_followed",
    ),
    _mutant(
        "row-without-a-look",
        Patch(_RECORDING, "_record", "if not _is_there(entry):", "if False:"),
        ("probes",),
        "a_group_meets_a_delete",
    ),
    _mutant(
        "buried-without-a-look",
        Patch(
            _DELETES,
            "Deletes._bury",
            "if blob is None or blob.state != State.TOMBSTONE:",
            "if blob is None:",
        ),
        ("probes",),
        "a_delete_meets_a_commit",
    ),
    _mutant(
        "no-fence",
        Patch(
            _RECORDING,
            "_record",
            "if token is not None and",
            "if False and",
        ),
        ("probes",),
        "a_token_of_another_ends_a_commit",
    ),
    _mutant(
        "another-s-file-is-linked",
        Patch(_FILE, "HeldFile.link", "        if not self._has_its_name():", "        if False:"),
        ("probes",),
        "a_fenced_writer_cannot_commit",
    ),
    _mutant(
        "blob-written-by-its-ingest",
        Patch(
            _LOCKS,
            "is_ours_to_write",
            "return found.st_nlink == 1 and found.st_uid == os.geteuid()",
            "return True",
        ),
        ("probes",),
        "a_blob_is_not_written_by_its_ingest",
    ),
    _mutant(
        "row-gone-before-its-file",
        Patch(
            _DELETE,
            "finish_delete",
            "bury_all(tombstones[:at_once], take_away)\n",
            "bury_all(tombstones[:at_once], bool)\n        for one in tombstones:\n"
            "            take_away(one.digest)\n",
        ),
        ("probes",),
        "a_commit_follows_a_burial",
    ),
    _mutant(
        "loss-of-a-file-ignored",
        Patch(_PUBLISH, "publish", "if outcome is not Outcome.GONE:", "if outcome:"),
        ("probes",),
        "a_commit_meets_a_delete",
    ),
    _mutant(
        "loss-of-a-file-of-a-group-ignored",
        Patch(_GROUP, "Group._result", "if outcome is Outcome.GONE:", "if not outcome:"),
        ("probes",),
        "a_group_meets_a_delete",
    ),
    _mutant(
        "claims-ignored-by-prune",
        (
            Patch(_PRUNE, "_prune_orphans", " or parts.index.claims(digest):", ":"),
            Patch(
                _INDEX,
                "Index.unless_claimed",
                "self._is_unclaimed(connection, digest) and act()",
                "act()",
            ),
        ),
        ("probes",),
        "an_orphan_that_is_expected_is_spared",
    ),
    _mutant(
        "claims-not-asked-under-the-lock",
        Patch(
            _INDEX,
            "Index.unless_claimed",
            "self._is_unclaimed(connection, digest) and act()",
            "act()",
        ),
        ("probes",),
        "a_prune_meets_a_commit",
    ),
    # -- upkeep beside writers
    _mutant(
        "adopted-like-any-other",
        Patch(
            _RECORDING,
            "_is_adopted",
            "return entry.now_ns - 1 in {blob.created_ns, blob.updated_ns}",
            "return not blob",
        ),
        ("probes",),
        "upkeep_meets_a_commit",
    ),
    _mutant(
        "every-file-without-a-row-is-an-orphan",
        Patch(_DOUBTS, "may_be_in_flight", "if age_s >= GRACE_S:", "if age_s:"),
        ("probes",),
        "verify_meets_a_commit",
    ),
    _mutant(
        "nobody-else-is-there",
        Patch(_SHARING, "Sharing.is_alone", "[0] == fcntl.F_UNLCK", "[0] >= 0"),
        ("probes",),
        "verify_meets_a_commit",
    ),
    _mutant(
        "size-alone-vouches",
        Patch(
            _MOMENTS, "is_time_of", "return found_ns == moment_ns or", "return bool(moment_ns) or"
        ),
        ("probes",),
        "rot_of_the_right_size_is_healed",
    ),
    _mutant(
        "moved-without-a-look",
        Patch(
            _ADDING,
            "_check_stored",
            "if is_source or why_stored_damaged(parts, digest) is None:",
            "if digest:",
        ),
        ("probes",),
        "a_move_reads_what_is_stored",
    ),
    _mutant(
        "deleted-without-a-sign",
        Patch(_DELETES, "Deletes._take_back", "time.set(BEING_DELETED_NS)", "time.find()"),
        ("probes",),
        "a_deletion_that_was_begun_is_seen_by_all",
    ),
    _mutant(
        "age-ignored-by-prune",
        Patch(_PRUNE, "prune_ingests", "if updated_ns > before_ns or", "if"),
        ("probes",),
        "a_prune_spares_what_is_young",
    ),
    _mutant(
        "nobody-holds-anything",
        (
            Patch(
                _LOCKS,
                "is_held",
                "return not files.lock_shared(fd, within.child(name))",
                "return False",
            ),
            Patch(_LOCKS, "remove_dead", "if not files.lock(fd, within.child(name)):", "if False:"),
        ),
        ("probes",),
        "a_group_is_spared_by_who_opens",
    ),
    _mutant(
        "size-not-checked",
        Patch(_WRITER, "_check_commit", "if one is not None and one != offset:", "if False:"),
        ("probes",),
        "wrong_content_is_not_committed",
    ),
    _mutant(
        "digest-not-checked",
        Patch(
            _INGEST,
            "LocalIngest._make_candidate",
            "if wanted is not None and digest != wanted:",
            "if not sink:",
        ),
        ("probes",),
        "wrong_content_is_not_committed",
    ),
    _mutant(
        "resumed-bytes-not-hashed",
        Patch(
            _INTAKE,
            "Intake.running",
            "sink.take_what_is_there(self._offset)",
            "sink.size = self._offset",
        ),
        ("probes",),
        "resumed_bytes_are_hashed",
    ),
    _mutant(
        "earlier-try-goes-on",
        Patch(_BEGINNING, "begin", "if takeover is Takeover.ANEW:", "if False:"),
        ("probes",),
        "a_new_try_is_no_resume",
    ),
    _mutant(
        "sources-not-compared",
        Patch(_RESUMING, "_may_skip", "return declared.expected is not None or", "return True or"),
        ("probes",),
        "another_source_is_not_mixed_in",
    ),
    _mutant(
        "reads-not-verified",
        Patch(_READER, "read_whole", "if not digest.matches(data):", "if not digest:"),
        ("probes",),
        "damage_is_not_served",
    ),
    _mutant(
        "ingest-row-stays",
        Patch(_RECORDING, "_record", "connection.execute(statements.END_INGEST, values)", "pass"),
        ("probes",),
        "a_commit_ends_its_ingest",
    ),
    # -- what a handler's exception, or its call, must not leave
    _mutant(
        "job-queued-before-the-try",
        Patch(
            _DATABASE,
            "Database.write",
            "        try:\n"
            "            _thread.roots = (*outer, self._root)\n"
            "            self._queue.append(job)\n",
            "        self._queue.append(job)\n"
            "        try:\n"
            "            _thread.roots = (*outer, self._root)\n",
        ),
        ("raises",),
        "update",
    ),
    _mutant(
        "lock-of-the-root-kept",
        Patch(
            _DATABASE,
            "Database._transact",
            "                self._leave()\n                raise\n",
            "                raise\n",
        ),
        ("raises",),
        "update",
    ),
    _mutant(
        "descriptor-without-an-owner",
        Patch(
            _FILES,
            "_open",
            "return next(map(Descriptor, map(opening, (path,), (flags,), (mode,))))",
            "return Descriptor(opening(path, flags, mode))",
        ),
        ("raises",),
        "read",
    ),
    _mutant(
        "handler-writes-within-a-write",
        Patch(
            _DATABASE,
            "Database.write",
            "        if self._root in outer:\n",
            "        if not self._root:\n",
        ),
        ("raises",),
        "update",
    ),
)

MUTANTS: Final = {mutant.name: mutant for mutant in _ALL}


def patched(source: str, patch: Patch) -> str:
    """Return the module's source with the patch in it.

    Raises:
        ValueError: The symbol does not have the text to replace exactly once.
    """
    first, behind = _lines_of(source, patch)
    lines = source.splitlines(keepends=True)
    text = "".join(lines[first:behind])
    if (count := text.count(patch.old)) != 1:
        raise ValueError(
            f"{patch.module}:{patch.symbol} has this text {count} times, not once:\n{patch.old}\n"
            f"It is now:\n{text}"
        )
    return "".join(lines[:first]) + text.replace(patch.old, patch.new) + "".join(lines[behind:])


def _lines_of(source: str, patch: Patch) -> tuple[int, int]:
    """Return the first line of the symbol, from 0, and the line behind it."""
    found: ast.AST = ast.parse(source)
    if not patch.symbol:
        return 0, source.count("\n") + 1
    for name in patch.symbol.split("."):
        inside = (node for node in ast.walk(found) if getattr(node, "name", None) == name)
        match = next(inside, None)
        if match is None:
            raise ValueError(f"{patch.module} has no {patch.symbol}; the mutant needs a new place")
        found = match
    if not isinstance(found, ast.FunctionDef | ast.ClassDef):
        raise TypeError(f"{patch.module}:{patch.symbol} is no function or class")
    return found.lineno - 1, found.end_lineno or found.lineno


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles patched source; no bytecode is read or written."""

    patches: tuple[Patch, ...] = ()

    def get_code(self, fullname: str) -> types.CodeType:
        source = self.get_source(fullname) or ""
        for patch in self.patches:
            source = patched(source, patch)
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the modules of a mutant the loader above."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patches = tuple(patch for patch in self._mutant.patches if patch.module == fullname)
        if not patches:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise ImportError(
                f"the mutant {self._mutant.name} patches {fullname}, which is not there"
            )
        loader = _Loader(fullname, spec.origin)
        loader.patches = patches
        spec.loader = loader
        return spec


def apply(name: str | None) -> None:
    """Make this process import the mutant; before contentdb is imported. None changes nothing."""
    if name is None:
        return
    if any(module.partition(".")[0] == "contentdb" for module in sys.modules):
        raise RuntimeError("contentdb was imported before the mutant")
    sys.meta_path.insert(0, _Finder(MUTANTS[name]))
