"""What somebody else may have put into a store's directories, and every call upon it.

Wherever the store keeps something, something else lies: a symbolic link out of the root, a FIFO,
a device, a directory, a socket, a file of another user or one that nobody may read. Each call
ends soon, with an answer or an error of ours, and nothing outside of the root is touched.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import stat
import tempfile
from contextlib import closing, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import contentdb
from contentdb.local.layout import ingest_name
from tests.crash.suite import Outcome, Plan, Violation, chosen
from tests.stress.crew import crew, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CALLS", "PLACES", "PLANTS", "plants"]

_STORED: Final = b"stored"
_ABSENT: Final = b"absent"
_REF: Final = "planted"
_PATIENCE_S: Final = 10


def _digest(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def _blob(root: Path, data: bytes) -> Path:
    name = sha256(data).hexdigest()
    return root / "blobs" / "sha256" / name[:2] / name


# -- what is planted -------------------------------------------------------------------------------


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "file")


def _link_to_directory(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def _dangling(path: Path, outside: Path) -> None:
    """A link by which a file could be made outside."""
    path.symlink_to(outside / "made by the store")


def _loop(path: Path, _outside: Path) -> None:
    path.symlink_to(path.name)


def _fifo(path: Path, _outside: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path, _outside: Path) -> None:
    path.mkdir()
    (path / "child").write_bytes(b"")


def plant_socket(path: Path, _outside: Path | None = None) -> None:
    """Make a socket, through its directory: a whole path may be too long for one."""
    with closing(socket.socket(socket.AF_UNIX)) as end:
        where = os.open(path.parent, os.O_PATH)
        try:
            end.bind(f"/proc/self/fd/{where}/{path.name}")
        finally:
            os.close(where)


def _zero_device(path: Path, _outside: Path) -> None:
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def _foreign_file(path: Path, _outside: Path) -> None:
    path.write_bytes(_STORED)
    os.chown(path, 65_534, 65_534)


def _unreadable(path: Path, _outside: Path) -> None:
    path.write_bytes(_STORED)
    path.chmod(0)


def _garbage(path: Path, _outside: Path) -> None:
    path.write_bytes(b"garbage" * 1_000)


def _nothing(_path: Path, _outside: Path) -> None:
    """It is simply gone."""


_NEEDS_ROOT: Final = {"zero device", "foreign file"}

PLANTS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "link": _link,
    "link to directory": _link_to_directory,
    "dangling link": _dangling,
    "loop": _loop,
    "fifo": _fifo,
    "directory": _directory,
    "socket": plant_socket,
    "zero device": _zero_device,
    "foreign file": _foreign_file,
    "unreadable": _unreadable,
    "garbage": _garbage,
    "nothing": _nothing,
}


def _pack(root: Path) -> Path:
    """The one that there is."""
    (pack,) = (root / "packs").glob("*.pack")
    return pack


_OF_PACKS: Final[dict[str, Callable[[Path], Path]]] = {
    "a pack": _pack,
    "another pack": lambda root: root / "packs" / "1.pack",
    "the mark of a pack": lambda root: _pack(root).with_suffix(".sealed"),
    "what is packed": lambda root: root / "packs" / "below",
    "a stray in packs": lambda root: root / "packs" / "stray",
    "packs": lambda root: root / "packs",
    "the file of a packed blob": lambda root: _blob(root, _STORED),
}
"""In a store that packs."""

PLACES: Final[dict[str, Callable[[Path], Path]]] = {
    "a blob": lambda root: _blob(root, _STORED),
    "a blob to be": lambda root: _blob(root, _ABSENT),
    "a shard": lambda root: _blob(root, _STORED).parent,
    "a shard to be used": lambda root: _blob(root, _ABSENT).parent,
    "an algorithm": lambda root: root / "blobs" / "sha256",
    "an algorithm to be": lambda root: root / "blobs" / "sha512",
    "a stray in blobs": lambda root: root / "blobs" / "stray",
    "blobs": lambda root: root / "blobs",
    "an ingest": lambda root: root / "ingest" / ingest_name("default", _REF),
    "an ingest to be": lambda root: root / "ingest" / ingest_name("default", "new"),
    "a stray in ingest": lambda root: root / "ingest" / "stray",
    "a temporary": lambda root: root / "ingest" / f".{'0' * 32}",
    "ingest": lambda root: root / "ingest",
    "something in the trash": lambda root: root / "trash" / "something",
    "the trash's name of a blob": lambda root: root / "trash" / _digest(_STORED).replace(":", "-"),
    "trash": lambda root: root / "trash",
    "quarantine": lambda root: root / "quarantine",
    "index": lambda root: root / "index.sqlite",
    "wal": lambda root: root / "index.sqlite-wal",
    "shm": lambda root: root / "index.sqlite-shm",
    "a new index": lambda root: root / "index.sqlite.new",
    "a stray": lambda root: root / "stray",
} | _OF_PACKS

# -- what is called --------------------------------------------------------------------------------


def _pruned(store: contentdb.Store) -> object:
    return list(store.prune(older_than=0))


def _committed(store: contentdb.Store) -> object:
    with store.writer("new") as writer:
        writer.write(_ABSENT)
        return writer.commit()


def _resumed(store: contentdb.Store, *, resume: bool = True) -> object:
    with store.writer(_REF, wait=0.01, resume=resume) as writer:
        writer.write(b"more")
        return writer.commit()


def _streamed(store: contentdb.Store) -> object:
    with store.open(_digest(_STORED)) as reader:
        return reader.read()


def _batched(store: contentdb.Store) -> object:
    with store.batch():
        return store.add(_ABSENT)


_MOVES: Final[dict[str, Callable[[contentdb.Store], object]]] = {
    "pack": lambda store: store.pack(),
    "unpack": lambda store: store.unpack(),
    "repack": lambda store: store.repack(),
}
"""Of stores that pack."""

CALLS: Final[dict[str, Callable[[contentdb.Store], object]]] = _MOVES | {
    "add": lambda store: store.add(_ABSENT),
    "add what is stored": lambda store: store.add(_STORED),
    "add sha512": lambda store: store.add(_ABSENT, expected=contentdb.Digest.of(_ABSENT, "sha512")),
    "add many": lambda store: list(store.add_many([_ABSENT, _STORED])),
    "batch": _batched,
    "commit": _committed,
    "resume": _resumed,
    "start over": lambda store: _resumed(store, resume=False),
    "ingest over it": lambda store: store.ingest(_REF, io.BytesIO(_ABSENT), wait=0.01),
    "ingest": lambda store: store.ingest("new", io.BytesIO(_ABSENT), wait=0.01),
    "abort": lambda store: store.abort(_REF),
    "status": lambda store: store.status(_REF),
    "read": lambda store: store.read(_digest(_STORED)),
    "open": _streamed,
    "path": lambda store: store.path(_digest(_STORED)),
    "read what is absent": lambda store: store.read(_digest(_ABSENT)),
    "walk": lambda store: list(store.walk()),
    "update": lambda store: store.update(_digest(_STORED), {"k": "v"}),
    "delete": lambda store: store.delete(_digest(_STORED)),
    "verify": lambda store: list(store.verify()),
    "repair": lambda store: list(contentdb.repair(store, store.verify(quick=True))),
    "prune": _pruned,
    "reindex": lambda store: store.reindex(),
    "rebuild": lambda store: contentdb.reindex(store.root),
}


# -- one case --------------------------------------------------------------------------------------


def _look(outside: Path) -> dict[str, tuple[object, ...]]:
    """All that can be seen of a directory, times included."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in [outside, *sorted(outside.rglob("*"))]:
        found = path.lstat()
        bytes_of = path.read_bytes() if path.is_file() else b""
        seen[str(path.relative_to(outside))] = (
            found.st_mode, found.st_ino, found.st_nlink, found.st_uid, found.st_mtime_ns,
            found.st_ctime_ns, bytes_of,
        )  # fmt: skip
    return seen


def _template(root: Path, *, packs: bool) -> None:
    with contentdb.open(root, durability="process", pack_below=1_000 if packs else 0) as store:
        if packs:
            store.delete(store.add(b"what repack takes back").digest)
        store.add(_STORED, labels={"k": "v"})
        if packs:
            store.path(_digest(_STORED))
        with store.writer(_REF) as writer:
            writer.write(b"half")


class _TooLongError(Exception):
    """A call went on for over `_PATIENCE_S`."""


def _alarm(_number: int, _frame: object) -> None:
    raise _TooLongError


def _case(template: Path, folder: Path, what: str, where: str, call: str) -> Iterator[str]:
    root, outside = folder / "store", folder / "outside"
    shutil.copytree(template, root, symlinks=True)
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_bytes(_STORED)
    path = PLACES[where](root)
    _remove(path)
    PLANTS[what](path, outside)
    before = _look(outside)
    with suppress(OSError):
        os.utime(outside / "file")  # so that a look by a read is no change of ours
    before = _look(outside)
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(_PATIENCE_S)
    try:
        with contentdb.open(root, durability="process", create=call != "rebuild") as store:
            if call != "rebuild":
                yield from _answer(CALLS[call](store), call)
        if call == "rebuild":
            contentdb.reindex(root)
    except contentdb.ContentDBError:
        if call == "rebuild":
            with suppress(contentdb.ContentDBError):
                contentdb.reindex(root)
    except _TooLongError:
        yield "it hangs"
    except Exception as error:  # noqa: BLE001 - it is the finding
        yield f"it raised {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    after = _look(outside)
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            yield f"outside/{name} was touched"


def _answer(answer: object, call: str) -> Iterator[str]:
    if call in {"read", "open"} and answer != _STORED:
        yield f"{call} gave {answer!r:.80}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _some(
    folder: Path, cases: list[tuple[str, str, str]], plan: Plan
) -> tuple[int, list[Violation]]:
    folder.mkdir()
    templates = {packs: folder / f"template {packs}" for packs in (False, True)}
    for packs, template in templates.items():
        _template(template, packs=packs)
    found: list[Violation] = []
    tried = 0
    deadline = plan.deadline()
    for what, where, call in cases:
        place_of_it = Path(tempfile.mkdtemp(dir=folder))
        try:
            template = templates[where in _OF_PACKS]
            wrong = list(_case(template, place_of_it, what, where, call))
        finally:
            shutil.rmtree(place_of_it, ignore_errors=True)
        found += [Violation(f"{what}/{where}/{call}", one) for one in wrong]
        tried += 1
        if plan.enough(found, deadline):
            break
    return tried, found


def plants(plan: Plan) -> Outcome:
    """Plant everything everywhere, and call everything."""
    can_all = os.geteuid() == 0
    cases = [
        (what, where, call)
        for where in PLACES
        for what in PLANTS
        if can_all or what not in _NEEDS_ROOT
        for call in CALLS
        if call not in _MOVES or where in _OF_PACKS
    ]
    if plan.case is not None:
        what, where, call = plan.case.split("/")
        cases = [(what, where, call)]
    cases = chosen(cases, plan)
    with place("plants") as folder:
        jobs = min(plan.jobs, len(cases))
        works = [partial(_some, folder / f"{job}", cases[job::jobs], plan) for job in range(jobs)]
        answers = crew(works)
    found = [violation for _, violations in answers for violation in violations]
    notes = f"{len(PLANTS)} things in {len(PLACES)} places, {len(CALLS)} calls"
    return Outcome(sum(tried for tried, _ in answers), found, notes)
