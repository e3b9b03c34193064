"""Damage under the store: files and index pages, each of which must be found and can be healed.

Damage to a file is *found* if `Store.verify` names it, quick or not; it is *served* if any read
that verifies hands its bytes out; it is *healed* if after the repair, and after its content was
stored again, it reads right. Damage to the index is found if opening, verifying or using the
store says so, or if the findings of `verify` do; it is healed if `reindex` brings every blob back.

Every second store packs its smaller blobs: their records are damaged where they lie, and one of
its packs is lost. A record whose head alone is damaged is served as ever; what it costs is that a
new index lacks its blob, and no other.
"""

from __future__ import annotations

import os
import random
import shutil
from contextlib import closing, suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import contentdb
from contentdb.local.packs.record import content_at
from tests.crash.suite import Outcome, Plan, Violation
from tests.inside import parts_of
from tests.stress.crew import crew, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb.local.index import Location

__all__ = ["DAMAGES", "PAGE_DAMAGES", "damaged_files", "damaged_pages"]

_SIZES: Final = (1, 30, 700, 4_096, 5_000, 20_000)
_PIECE: Final = 1_000
_PACK_BELOW: Final = 4_000


def _content(number: int) -> bytes:
    size = _SIZES[number % len(_SIZES)]
    rng = random.Random(number)
    return number.to_bytes(4, "big") + rng.randbytes(size)


def _digest(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


# -- files -----------------------------------------------------------------------------------------


def _flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _emptied(_data: bytes, _rng: random.Random) -> bytes:
    return b""


def _zeroed(data: bytes, rng: random.Random) -> bytes:
    """A sector or the rest, as a disk gives it that has lost it; or all."""
    start = rng.randrange(len(data))
    size = rng.choice((512, 4_096, len(data)))
    changed = data[:start] + bytes(min(size, len(data) - start)) + data[start + size :]
    return changed if changed != data else bytes(len(data))


def _extended(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.choice((1, 100, 5_000)))


def _swapped(data: bytes, rng: random.Random) -> bytes:
    """The bytes of another blob."""
    return _content(rng.randrange(1 << 30, 1 << 31))[: len(data)].ljust(len(data), b"\1")


def _moved(data: bytes, _rng: random.Random) -> bytes:
    """Every byte there, and one at the wrong end."""
    return data[1:] + data[:1] if len(set(data)) > 1 else data + b"x"


DAMAGES: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "flipped": _flipped,
    "cut": _cut,
    "emptied": _emptied,
    "zeroed": _zeroed,
    "extended": _extended,
    "swapped": _swapped,
    "moved": _moved,
}
_OTHERWISE: Final = ("removed", "a symlink", "a directory", "a fifo")
"""Something else, or nothing, has the name."""


def _damage(path: Path, kind: str, data: bytes, rng: random.Random) -> None:
    path.chmod(0o600)
    if kind in DAMAGES:
        path.write_bytes(DAMAGES[kind](data, rng))
        path.chmod(0o444)
        return
    path.unlink()
    if kind == "a symlink":
        twin = path.with_name(f"{path.name}.twin")
        twin.symlink_to("/etc/hostname")
        twin.rename(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a fifo":
        os.mkfifo(path)


def _damage_record(
    root: Path, place: Location, digest: str, kind: str, data: bytes, rng: random.Random
) -> None:
    """Damage the content of a record, whose length stays; or its head, with kind ``head``."""
    with (root / "packs" / f"{place.pack}.pack").open("r+b") as pack:
        if kind == "head":
            at = place.offset + rng.randrange(content_at(digest))
            pack.seek(at)
            byte = pack.read(1)[0]
            pack.seek(at)
            pack.write(bytes([byte ^ (1 << rng.randrange(8))]))
            return
        changed = DAMAGES[kind](data, rng)[: len(data)].ljust(len(data), b"\0")
        pack.seek(place.offset + content_at(digest))
        pack.write(changed if changed != data else _flipped(data, rng))


def _lose_pack(path: Path, rng: random.Random) -> None:
    """Let a pack be gone, or something else have its name."""
    kind = rng.choice((*_OTHERWISE, "emptied"))
    if kind == "emptied":
        path.write_bytes(b"")
    else:
        _damage(path, kind, b"", rng)


def _reads(store: contentdb.Store, digest: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """All ways by which bytes get out, with what they gave."""
    ways: dict[str, Callable[[], bytes]] = {
        "read": lambda: store.read(digest),
        "open": lambda: _streamed(store, digest),
        "export": lambda: store.export(digest, folder / "exported", link="copy").read_bytes(),
    }
    for name, way in ways.items():
        with suppress(contentdb.CorruptBlobError):
            yield name, way()


def _streamed(store: contentdb.Store, digest: str) -> bytes:
    given = b""
    with store.open(digest) as reader:
        while piece := reader.read(_PIECE):
            given += piece
    return given


class _Damaged(NamedTuple):
    """A blob that was damaged, and how."""

    kind: str
    number: int


class _Rotten:
    """A store of which nine blobs of ten are damaged."""

    def __init__(
        self, root: Path, first: int, count: int, seed: int, *, packs: bool = False
    ) -> None:
        self._root = root
        self._seed = seed
        self._below = _PACK_BELOW if packs else 0
        self._without_head: set[str] = set()
        """Packed blobs of whose records the head alone is damaged."""
        self._rng = random.Random(f"{seed} {first}")
        numbers = range(first, first + count * 10 // 9)
        self._contents = {number: _content(number) for number in numbers}
        self._chosen = self._rng.sample(numbers, count)
        self._damaged: dict[str, _Damaged] = {}
        self.found: list[tuple[str, str]] = []

    def _wrong(self, digest: object, what: str) -> None:
        one = self._damaged.get(str(digest), _Damaged("whole", 0))
        self.found.append((f"{one.kind}:{one.number}", what))

    def run(self) -> None:
        """Damage, find, read, repair, store again, reindex."""
        with self._open() as store:
            with self._open() as beside:  # it has a pack of its own
                lost = self._rng.sample(sorted(self._contents), 5) if self._below else []
                for number in lost:
                    beside.add(self._contents[number])
                for _ in store.add_many(self._contents.values()):
                    pass
            self._damage(store, lost)
            self._find(store)
            # One half is repaired before anybody has read it, the other is read first.
            self._read(store, self._rng.sample(sorted(self._damaged), len(self._damaged) // 2))
            for repaired in contentdb.repair(store, store.verify(quick=bool(self._seed % 2))):
                if repaired.action == "left alone":
                    self._wrong(repaired.finding.digest, "the repair leaves it alone")
            self._read(store, list(self._damaged))
            self._heal(store)
        found = _reindexed(self._root, self._contents, self._without_head)
        self.found += [("reindex", what) for what in found]

    def _open(self) -> contentdb.Store:
        return contentdb.open(self._root, durability="process", pack_below=self._below)

    def _damage(self, store: contentdb.Store, lost: list[int]) -> None:
        kinds = [*DAMAGES, *DAMAGES, *_OTHERWISE]
        of_records = [*DAMAGES, "head"]
        lost_packs: set[int] = set()
        for number in lost:
            digest = _digest(self._contents[number])
            if (place := _location(store, digest)) is not None:
                lost_packs.add(place.pack)
                self._damaged[digest] = _Damaged("lost pack", number)
        for number in self._chosen:
            digest = _digest(self._contents[number])
            place = _location(store, digest)
            if place is not None and place.pack in lost_packs:
                continue
            kind = kinds[number % len(kinds)]
            if place is None:
                _damage(store.path(digest), kind, self._contents[number], self._rng)
            else:
                kind = of_records[number // len(_SIZES) % len(of_records)]
                data = self._contents[number]
                _damage_record(self._root, place, digest, kind, data, self._rng)
            if kind == "head":
                self._without_head.add(digest)
            else:
                self._damaged[digest] = _Damaged(kind, number)
        for pack in lost_packs:
            _lose_pack(self._root / "packs" / f"{pack}.pack", self._rng)

    def _find(self, store: contentdb.Store) -> None:
        for quick in (True, False):
            named = {str(finding.digest) for finding in store.verify(quick=quick)}
            for digest in self._damaged.keys() - named:
                self._wrong(digest, f"verify(quick={quick}) does not find it")
            for digest in named - self._damaged.keys():
                self._wrong(digest, f"verify(quick={quick}) finds a whole blob")

    def _read(self, store: contentdb.Store, digests: list[str]) -> None:
        for digest in digests:
            for way, data in _reads(store, digest, self._root.parent):
                self._wrong(digest, f"{way} serves {len(data)} bytes of it")

    def _heal(self, store: contentdb.Store) -> None:
        for number in self._chosen:
            digest = _digest(self._contents[number])
            if digest in self._without_head and store.read(digest) != self._contents[number]:
                self._wrong(digest, "it is not served without the head of its record")
        for digest, one in self._damaged.items():
            _stored_again(store, digest, self._contents[one.number], self._rng)
        for number, data in self._contents.items():
            if store.read(_digest(data)) != data:
                self._wrong(_digest(data), f"content {number} is not healed")
        for finding in store.verify():
            self._wrong(finding.digest, f"after all was stored again: {finding}")


def _stored_again(store: contentdb.Store, digest: str, data: bytes, rng: random.Random) -> None:
    """By one of the ways in."""
    way = rng.randrange(3)
    if way == 0:
        store.add(data, expected=digest)
    elif way == 1:
        with store.writer(f"heal {digest}") as writer:
            writer.write(data)
            writer.commit()
    else:
        list(store.add_many([data]))


def _location(store: contentdb.Store, digest: str) -> Location | None:
    row = parts_of(store).index.blob(contentdb.Digest(digest))
    return None if row is None else row.location


def _reindexed(root: Path, contents: dict[int, bytes], headless: set[str]) -> Iterator[str]:
    """Without its index a store has all its blobs again after a reindex, but those ``headless``."""
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (root / name).unlink(missing_ok=True)
    contentdb.reindex(root)
    with contentdb.open(root, create=False) as store:
        listed = {str(info.digest): info.size for info in store.walk()}
        wanted = {_digest(data): len(data) for data in contents.values()}
        if not wanted.items() >= listed.items() or wanted.keys() - listed.keys() - headless:
            yield "reindex does not bring back what was there"
        yield from (f"after a reindex: {finding}" for finding in store.verify(quick=True))


def damaged_files(plan: Plan) -> Outcome:
    """Damage files, find them, read them, repair them, store them again."""
    total = plan.limit or 10_000
    share = max(20, min(2_500, total // max(2, plan.jobs)))
    starts = range(0, total, share)
    found: list[Violation] = []
    tried = 0
    deadline = plan.deadline()
    with place("rot") as folder:
        for batch in range(0, len(starts), plan.jobs):
            works = [
                partial(
                    _one_store, folder / f"{start}", start * 2, share, plan.seed,
                    packs=start // share % 2 == 1,
                )
                for start in starts[batch : batch + plan.jobs]
            ]  # fmt: skip
            for count, wrong in crew(works):
                tried += count
                found += [Violation(case, what) for case, what in wrong]
            if plan.enough(found, deadline):
                break
    return Outcome(tried, found, f"{len(DAMAGES) + len(_OTHERWISE)} kinds of damage")


def _one_store(
    folder: Path, first: int, count: int, seed: int, *, packs: bool
) -> tuple[int, list[tuple[str, str]]]:
    folder.mkdir()
    try:
        rotten = _Rotten(folder / "store", first, count, seed, packs=packs)
        rotten.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count, rotten.found


# -- pages of the index ----------------------------------------------------------------------------

_BLOBS: Final = 400
_PACK_ALL_BELOW: Final = 1_000
_PAGE: Final = 4_096


def _page_zeroed(data: bytearray, page: int, _rng: random.Random) -> None:
    data[page * _PAGE : (page + 1) * _PAGE] = bytes(_PAGE)


def _page_garbled(data: bytearray, page: int, rng: random.Random) -> None:
    data[page * _PAGE : (page + 1) * _PAGE] = rng.randbytes(_PAGE)


def _page_replaced(data: bytearray, page: int, rng: random.Random) -> None:
    """By another page of the same database: a write that went to the wrong place."""
    pages = len(data) // _PAGE
    other = (page + 1 + rng.randrange(pages - 1)) % pages
    data[page * _PAGE : (page + 1) * _PAGE] = data[other * _PAGE : (other + 1) * _PAGE]


def _page_torn(data: bytearray, page: int, rng: random.Random) -> None:
    """Half of it never got to the disk."""
    half = page * _PAGE + rng.choice((0, _PAGE // 2))
    data[half : half + _PAGE // 2] = bytes(_PAGE // 2)


def _sector_garbled(data: bytearray, page: int, rng: random.Random) -> None:
    start = page * _PAGE + 512 * rng.randrange(_PAGE // 512)
    data[start : start + 512] = rng.randbytes(512)


def _header_changed(data: bytearray, page: int, rng: random.Random) -> None:
    """What the page says of itself: kind, free space, cells."""
    start = page * _PAGE + (100 if page == 0 else 0)
    at = start + rng.randrange(8)
    data[at] ^= 1 << rng.randrange(8)


def _tail_lost(data: bytearray, page: int, _rng: random.Random) -> None:
    del data[page * _PAGE :]


PAGE_DAMAGES: Final[dict[str, Callable[[bytearray, int, random.Random], None]]] = {
    "zeroed": _page_zeroed,
    "garbled": _page_garbled,
    "replaced": _page_replaced,
    "torn": _page_torn,
    "sector": _sector_garbled,
    "header": _header_changed,
    "lost": _tail_lost,
}


def _labels_of(number: int) -> dict[str, str]:
    return {"kind": f"kind {number % 7}", "number": f"{number}"} if number % 2 else {}


class _Original:
    """A whole store, whose index is damaged again and again."""

    def __init__(self, root: Path, *, packs: bool) -> None:
        self.root = root
        self.contents = {number: _content(number)[:200] for number in range(_BLOBS)}
        below = _PACK_ALL_BELOW if packs else 0
        with contentdb.open(root, durability="process", pack_below=below) as store:
            for number, data in self.contents.items():
                store.add(data, labels=_labels_of(number))
            with store.writer("an ingest") as writer:
                writer.write(b"half")
        self.index = self._folded()
        self.infos = self._infos()

    def _folded(self) -> bytes:
        import sqlite3

        with closing(sqlite3.connect(self.root / "index.sqlite")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return (self.root / "index.sqlite").read_bytes()

    def _infos(self) -> dict[str, contentdb.Info]:
        with contentdb.open(self.root) as store:
            return {str(info.digest): info for info in store.walk()}

    def put(self, index: bytes) -> None:
        """Put an index in the store, and only that."""
        for path in self.root.glob("index.sqlite*"):
            path.unlink()
        for path in (self.root / "quarantine").iterdir():
            path.unlink()
        for path in (self.root / "ingest").iterdir():
            path.unlink()
        (self.root / "index.sqlite").write_bytes(index)
        (self.root / "index.sqlite").chmod(0o600)


class _Seen(NamedTuple):
    """What a store with a damaged index did."""

    told: bool
    wrong: list[str]


def _used(original: _Original) -> _Seen:
    """Open, list, verify and read: whether damage was told, and what was wrong without a word."""
    wrong: list[str] = []
    told = False
    try:
        with contentdb.open(original.root) as store:
            told = bool(list(store.verify(quick=True)))
            listed = {str(info.digest): info for info in store.walk()}
            for digest, info in listed.items():
                known = original.infos.get(digest)
                if known is None or known != info:
                    wrong.append(f"listed otherwise: {info!r}")
                if known is not None and _digest(store.read(digest)) != digest:
                    wrong.append(f"served: {digest}")
            if missing := original.infos.keys() - listed.keys():
                wrong.append(f"{len(missing)} are not listed")
    except contentdb.ContentDBError:
        told = True
    return _Seen(told, wrong)


def _page(original: _Original, kind: str, number: int, seed: int) -> Iterator[str]:
    rng = random.Random(f"{seed} {kind} {number}")
    index = bytearray(original.index)
    page = rng.randrange(len(index) // _PAGE)
    PAGE_DAMAGES[kind](index, page, rng)
    if index == original.index:
        return
    original.put(bytes(index))
    seen = _used(original)
    if not seen.told:
        yield from (f"page {page}, and nobody tells: {what}" for what in seen.wrong[:2])
    try:
        contentdb.reindex(original.root)
        with contentdb.open(original.root) as store:
            for data in original.contents.values():
                if store.read(_digest(data)) != data:
                    yield f"page {page}: not healed: {_digest(data)}"
            listed = {str(info.digest): info.size for info in store.walk()}
            if listed != {digest: info.size for digest, info in original.infos.items()}:
                yield f"page {page}: reindex lists {len(listed)}, not {len(original.infos)}"
            yield from (
                f"page {page}: after a reindex: {finding}" for finding in store.verify(quick=True)
            )
    except contentdb.ContentDBError as error:
        yield f"page {page}: after a reindex: {type(error).__name__}: {error}"


def _pages(folder: Path, cases: list[tuple[str, int]], plan: Plan) -> tuple[int, list[Violation]]:
    folder.mkdir()
    originals = [_Original(folder / f"{packs}", packs=packs) for packs in (False, True)]
    found: list[Violation] = []
    tried = 0
    deadline = plan.deadline()
    for kind, number in cases:
        try:
            wrong = list(_page(originals[number % 2], kind, number, plan.seed))
        except Exception as error:  # noqa: BLE001 - it is the finding
            wrong = [f"{type(error).__name__}: {error}"]
        found += [Violation(f"{kind}:{number}", what) for what in wrong]
        tried += 1
        if plan.enough(found, deadline):
            break
    return tried, found


def damaged_pages(plan: Plan) -> Outcome:
    """Damage a page of the index, use the store, reindex it; every second store packs."""
    kinds = list(PAGE_DAMAGES)
    cases = [(kinds[number % len(kinds)], number) for number in range(plan.limit or 1_400)]
    if plan.case is not None:
        kind, _, text = plan.case.partition(":")
        cases = [(kind, int(text))]
    with place("pages") as folder:
        works = [
            partial(_pages, folder / f"store {job}", cases[job :: plan.jobs], plan)
            for job in range(min(plan.jobs, len(cases)))
        ]
        answers = crew(works)
    found = [violation for _, violations in answers for violation in violations]
    return Outcome(sum(tried for tried, _ in answers), found, f"{len(kinds)} kinds of damage")
