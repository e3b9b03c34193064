"""The one judge of all engines: opens the store as a new process would, and holds it to its word.

The rules are those of the contract on durability: every blob that is listed is whole, nothing
acknowledged is missing, what was deleted stays deleted, an unfinished ingest resumes or can be
dropped, files without a row are whole, the index is sound, nothing is left behind, and the store
goes on working.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import contentdb
from contentdb.local import locks
from tests.crash import nextrevision
from tests.crash.caching import check_cache
from tests.crash.collecting import check_collection
from tests.crash.ledger import Promises, content, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PROBE", "check"]

PROBE: Final = 990
"""Content that no scenario stores: the store must be able to take it in afterwards."""

_HEX_CHARS: Final = 64


def check(root: Path, promises: Promises, *, power: bool) -> list[str]:
    """Return what is wrong, one sentence each; the store is repaired and used on the way.

    Args:
        root: The store after the crash.
        promises: What it had acknowledged.
        power: Whether the power failed, so that an ingest's bytes may be lost. After a mere
            kill they may not.
    """
    before = _descriptors()
    found: list[str] = []
    try:
        with (
            _started_anew() if power else contextlib.nullcontext(),
            nextrevision.known() if promises.migrating else contextlib.nullcontext(),
        ):
            found += _check_store(root, promises, power=power)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        found.append(f"the check itself was refused: {_name_of(error)}: {error}")
    found += _check_index(root)
    if (left := _descriptors() - before) > 0:
        found.append(f"{left} descriptors leaked by opening, checking and closing")
    return found


@contextlib.contextmanager
def _started_anew() -> Iterator[None]:
    """After a power cut the machine has another boot id, by which the store knows of it."""
    boot = locks.boot
    locks.boot = lambda: "another:"  # type: ignore[assignment]  # it is cached
    try:
        yield
    finally:
        locks.boot = boot


def _name_of(error: BaseException) -> str:
    ours = isinstance(error, contentdb.ContentDBError)
    return f"{'' if ours else 'foreign '}{type(error).__name__}"


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _check_store(root: Path, promises: Promises, *, power: bool) -> Iterator[str]:
    if (root / "packs").exists() and not promises.damaged:
        copy = root.with_name(f"{root.name} copy")
        shutil.copytree(root, copy)
        try:
            yield from _check_rebuilt(copy, promises)
        finally:
            shutil.rmtree(copy)
    with _reopened(root, promises) as store:
        listed = {str(info.digest): info.size for info in store.walk()}
        yield from _check_listed(store, listed, promises)
        yield from _check_promises(store, listed, promises)
        yield from _check_files(root, listed, promises)
        yield from _check_offsets(store, promises, power=power)
        yield from check_cache(store)
        yield from check_collection(store, promises)
        yield from _check_repair(store, promises)
        yield from _check_refs(store, promises)
        yield from _check_prune(store, root)
        yield from _check_use(store)


def _check_rebuilt(root: Path, promises: Promises) -> Iterator[str]:
    """Some blobs are deleted, then the index is lost: none of these is in one that is made anew."""
    with _reopened(root, promises) as store:
        listed = {str(info.digest) for info in store.walk()}
        files = {f"{path.parts[-3]}:{path.name}" for path in root.glob("blobs/*/*/*")}
        orphans = files - listed - {str(digest_of(number)) for number in promises.gone}
        for digest in sorted(listed)[::2]:
            store.delete(digest)
            listed.remove(digest)
    for path in root.glob("index.sqlite*"):
        path.unlink()
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        again = {str(info.digest) for info in store.walk()}
    if back := again - listed - orphans:  # a whole file without a row is taken for a blob
        yield f"deleted, and back in an index that is made anew: {len(back)} {min(back)}"
    if lost := listed - again:
        yield f"not in an index that is made anew: {len(lost)} {min(lost)}"


def _reopened(root: Path, promises: Promises) -> contentdb.Store:
    if promises.index_lost and not (root / "index.sqlite").exists():
        contentdb.reindex(root)
    if promises.migrating and not promises.migrated:
        contentdb.migrate(root)
    return contentdb.open(root)


# -- what is there -------------------------------------------------------------------------------


def _check_listed(
    store: contentdb.Store, listed: dict[str, int], promises: Promises
) -> Iterator[str]:
    spoilt = set(map(digest_of, promises.damaged))
    for digest, size in listed.items():
        try:
            data = store.read(digest)
        except contentdb.CorruptBlobError as error:
            if digest not in spoilt:
                yield f"listed but not whole: {error}"
            continue
        if _digest(data) != digest or len(data) != size:
            yield f"listed and served, but wrong: {digest}"


def _check_promises(
    store: contentdb.Store, listed: dict[str, int], promises: Promises
) -> Iterator[str]:
    for number in promises.have:
        if digest_of(number) not in listed:
            yield f"acknowledged but missing: {number} {digest_of(number)}"
    for number, labels in promises.labels.items():
        found = dict(store.info(digest_of(number)).labels)
        if found != labels:
            yield f"acknowledged labels are not there: {number} {labels} but {found}"
    for number in promises.gone:
        digest = digest_of(number)
        if digest in listed or store.exists(digest):
            yield f"deleted but listed: {number} {digest}"
        elif _is_readable(store, digest):  # a name in blobs/ is enough for that
            yield f"deleted but readable: {number} {digest}"


def _is_readable(store: contentdb.Store, digest: str) -> bool:
    try:
        store.read(digest)
    except (contentdb.NotFoundError, contentdb.CorruptBlobError):
        return False
    return True


def _check_files(root: Path, listed: dict[str, int], promises: Promises) -> Iterator[str]:
    """A name in ``blobs/`` is a promise, whether or not there is a row."""
    spoilt = set(map(digest_of, promises.damaged))
    for path, name in _files(root / "blobs"):
        digest = f"sha256:{name}"
        if len(name) != _HEX_CHARS or digest in spoilt:
            continue
        if digest not in listed and _digest(path.read_bytes()) != digest:
            yield f"a file without a row is not whole: {name}"


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for algorithm in folder.iterdir():
        with os.scandir(algorithm) as shards:
            for shard in shards:
                for name in os.listdir(shard.path):
                    yield algorithm / shard.name / name, name


def _digest(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


# -- what is coming in ---------------------------------------------------------------------------


def _check_offsets(store: contentdb.Store, promises: Promises, *, power: bool) -> Iterator[str]:
    """What a closed writer had written is still there after a kill, unless it was committed."""
    known = {status.ref: status for status in store.statuses()}
    for ref, status in known.items():
        if ref not in promises.refs and not power:
            yield f"an ingest that nobody began: {ref!r}"
        if status.held:
            yield f"the ref {ref!r} is held by nobody alive"
    dropped = power or "DurabilityError" in (promises.error or "")  # a failed sync ends an ingest
    for ref, offset in {} if dropped else promises.offsets.items():
        if digest_of(promises.refs[ref]) in {str(info.digest) for info in store.walk()}:
            continue
        if ref not in known or known[ref].offset < offset:
            yield f"the ref {ref!r} lost bytes that a closed writer had written"


def _check_refs(store: contentdb.Store, promises: Promises) -> Iterator[str]:
    """Every interrupted ingest can be finished, and gives the content it was to give."""
    for ref, number in promises.refs.items():
        data = content(number)
        if ref in promises.dropped:
            with contextlib.suppress(contentdb.NotFoundError):
                store.abort(ref)
        # An ingest would not show it: it starts over where what is there is not its source's.
        with store.writer(ref, resume=True) as writer:
            kept = writer.offset
            may_be = {data[:kept], content(promises.others.get(ref, number))[:kept]}
            algorithm = writer.digest.algorithm
            if writer.digest not in {contentdb.Digest.of(one, algorithm) for one in may_be}:
                yield f"the ref {ref!r} has {kept} bytes, of which some are wrong"
        try:
            info = store.ingest(ref, io.BytesIO(data), total=len(data), expected=digest_of(number))
        except contentdb.FailedPreconditionError as error:
            yield f"the ref {ref!r} cannot be finished: {error}"
            continue
        if info.digest != digest_of(number) or _digest(store.read(info.digest)) != info.digest:
            yield f"the ref {ref!r} was finished with wrong content"


# -- putting it right ----------------------------------------------------------------------------


def _check_repair(store: contentdb.Store, promises: Promises) -> Iterator[str]:
    spoilt = set(map(digest_of, promises.damaged))
    findings = list(store.verify())
    for finding in findings:
        if finding.kind in {"missing", "corrupt"} and finding.digest not in spoilt:
            yield f"verify: {finding.kind} {finding.path}: {finding.detail}"
    if not findings:
        return
    for _ in contentdb.repair(store, findings):
        pass
    for finding in store.verify():
        if finding.kind in {"orphan", "corrupt", "mode"}:
            yield f"still there after the repair: {finding.kind} {finding.path}: {finding.detail}"


def _check_prune(store: contentdb.Store, root: Path) -> Iterator[str]:
    for _ in store.prune(older_than=0):
        pass
    for folder in ("ingest", "trash"):
        if left := os.listdir(root / folder):
            yield f"left in {folder}/ after a prune: {left[:3]}"


def _check_use(store: contentdb.Store) -> Iterator[str]:
    info = store.add(content(PROBE))
    if info.digest != digest_of(PROBE) or store.read(info.digest) != content(PROBE):
        yield "new content is not taken in"
    if store.path(info.digest).stat().st_mode & 0o333:
        yield "a new blob can be written to"
    store.delete(info.digest)
    if store.exists(info.digest):
        yield "new content cannot be deleted"


def _check_index(root: Path) -> Iterator[str]:
    """No store of this process is open by now, so the database may be opened beside it."""
    path = root / "index.sqlite"
    if not path.exists():
        return
    connection = sqlite3.connect(path)
    try:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            yield f"integrity_check: {verdict}"
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            yield "foreign_key_check: a label without its blob"
    except sqlite3.Error as error:
        yield f"integrity_check: {error}"
    finally:
        connection.close()
