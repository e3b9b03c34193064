"""Texts that nobody would write, into everything that takes a text.

A small coverage-guided fuzzer: inputs are made by changing earlier ones, and one that reaches a
line which none before it did is kept to be changed further. An input is a list of texts. Each is
answered, or refused by an error of ours, within 50 ms of CPU time and waiting, and no file outside
of the root is opened to be written, made, renamed or removed; an audit hook of the interpreter is
the witness.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import contentdb
from contentdb import units
from contentdb.filters import INGEST_FIELDS, parse
from contentdb.labels import check_labels, keys_of_fields
from contentdb.local.layout import ingest_name
from contentdb.refs import check_namespace, check_ref
from tests.crash.suite import Outcome, Plan, Violation
from tests.stress.crew import crew, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    Texts = list[str]

__all__ = ["TARGETS", "fuzz"]

_LIMIT_S: Final = 0.050
_HANGS_S: Final = 20
_CORPUS_MOST: Final = 400
_TRACED: Final = 6
"""One input of so many is traced, which makes it some ten times as slow."""

_STORED: Final = b"stored"
_DIGEST: Final = contentdb.Digest.of(_STORED)

# -- what is tried ---------------------------------------------------------------------------------


def _filter(_store: contentdb.Store, texts: Texts) -> None:
    parse(*texts)


def _ingest_filter(_store: contentdb.Store, texts: Texts) -> None:
    parse(*texts, fields=INGEST_FIELDS)


def _walk(store: contentdb.Store, texts: Texts) -> None:
    for _ in store.walk(*texts):
        pass


def _statuses(store: contentdb.Store, texts: Texts) -> None:
    for _ in store.statuses(*texts):
        pass


def _order(store: contentdb.Store, texts: Texts) -> None:
    sort, after, *_ = [*texts, "", ""]
    for _ in store.walk(sort=sort, after=after or None):  # type: ignore[arg-type]  # that is tried
        pass


def _digest(_store: contentdb.Store, texts: Texts) -> None:
    for text in texts:
        made = contentdb.Digest(text)
        assert made == text, "a digest is another text"
        assert made.algorithm in {"sha256", "sha384", "sha512"}, "an unknown algorithm"


def _look_up(store: contentdb.Store, texts: Texts) -> None:
    for text in texts:
        for call in (store.exists, store.info, store.read, store.path, store.delete):
            with contextlib.suppress(contentdb.NotFoundError):
                if text != _DIGEST:
                    call(text)


def _resolve(store: contentdb.Store, texts: Texts) -> None:
    for text in texts:
        store.resolve(text)


def _quantity(read: Callable[[str], int]) -> Callable[[contentdb.Store, Texts], None]:
    """Its callers make a `ValueError` one of ours, with the place in their text."""

    def target(_store: contentdb.Store, texts: Texts) -> None:
        for text in texts:
            with contextlib.suppress(ValueError):
                assert 0 <= abs(read(text)) < 1 << 63, "too large for the index"

    return target


def _ref(_store: contentdb.Store, texts: Texts) -> None:
    for text in texts:
        name = ingest_name("default", check_ref(text))
        assert len(name) == 32 and "/" not in name, "a ref becomes a path"  # noqa: PT018


def _write(store: contentdb.Store, texts: Texts) -> None:
    ref = texts[0] if texts else ""
    with store.writer(ref) as writer:
        writer.write(b"x")
    assert store.status(ref).ref == ref, "a ref is another text"
    store.abort(ref)


def _namespace(_store: contentdb.Store, texts: Texts) -> None:
    for text in texts:
        check_namespace(text)


def _labels(_store: contentdb.Store, texts: Texts) -> None:
    check_labels(dict(zip(texts[::2], texts[1::2], strict=False)))
    keys_of_fields(texts)


def _update(store: contentdb.Store, texts: Texts) -> None:
    labels = dict(zip(texts[::2], texts[1::2], strict=False))
    store.add(_STORED)  # a command may have removed it
    info = store.update(_DIGEST, labels)
    assert dict(info.labels) == {key: value for key, value in labels.items() if value}, "labels"
    store.update(_DIGEST, {}, fields=[f"labels.{key}" for key in labels] or None)


def _command(store: contentdb.Store, texts: Texts) -> None:
    from contentdb.cli.app import contentdb as command

    name = _COMMANDS[len("".join(texts)) % len(_COMMANDS)]
    kept = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = (io.TextIOWrapper(io.BytesIO()) for _ in kept)
    try:
        command.main(["--root", str(store.root), name, *texts], prog_name="contentdb")
    except SystemExit as stop:
        if stop.code not in _EXITS:
            raise AssertionError(f"exit code {stop.code}") from stop
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept


_COMMANDS: Final = (
    "abort", "active", "cat", "du", "info", "ingest", "label", "ls", "path", "rm", "prune",
)  # fmt: skip
"""Those that take texts, and neither write to a path of the caller's nor use the network."""
_EXITS: Final = {None, 0, 1, 2, 3, 4, 5}

TARGETS: Final[dict[str, tuple[int, Callable[[contentdb.Store, Texts], None]]]] = {
    "filter": (240, _filter),
    "ingest filter": (80, _ingest_filter),
    "walk": (10, _walk),
    "statuses": (10, _statuses),
    "order": (10, _order),
    "digest": (160, _digest),
    "look up": (20, _look_up),
    "resolve": (40, _resolve),
    "size": (80, _quantity(units.size_bytes)),
    "age": (80, _quantity(units.age_ns)),
    "time": (60, _quantity(partial(units.moment_ns, now_ns=1_700_000_000_000_000_000))),
    "ref": (80, _ref),
    "write": (12, _write),
    "namespace": (40, _namespace),
    "labels": (80, _labels),
    "update": (12, _update),
    "command": (12, _command),
}
"""How often each is tried, of about a thousand."""

# -- how inputs are made ---------------------------------------------------------------------------

_SEEDS: Final[tuple[Texts, ...]] = (
    [str(_DIGEST)], ["sha512:" + "a" * 128], ["sha256:" + "A" * 64], [str(_DIGEST)[7:20]],
    ['labels."io.example/kind"==layer,size>=10MB'], ["created_at>2h", "updated_at<=2024-05-01"],
    ["digest~=^sha256:[0-9a-f]+$"], ['labels.a!="b\\n\\u00e9"'], ["labels.a~=/(a|b)*c/"],
    ["ref==a b", "offset<4KiB,total"], ["10MB"], ["4KiB"], ["1h30m"], ["7d"],
    ["2024-05-01T12:00:00.123456+02:00"], ["ref/with spaces\n../and dots"], ["key", "value"],
    ["labels.key", "labels"], ["-size", ""], ["default-2.x_y"], ["--json"], ["--older-than", "0s"],
    ["--filter", "size>1"], ["-q", "--", "x"], [],
)  # fmt: skip

_PIECES: Final = (
    "sha256:", "sha384:", "sha512:", "md5:", "labels.", 'labels."', "size", "created_at", "ref",
    "==", "!=", "~=", "<=", ">=", "<", ">", ",", ".", '"', "\\", "/", "|", "\\x00", "\\u12", "\\U",
    "\0", "\n", "\r", "\t", " ", "\u00a0", "\u2028", "\ufeff", "\ud800", "\udfff", "\U0010ffff",
    "é", "e\u0301", "İ", "ß", "٣", "²", "½", "∞", "\x1b[31m", "..", "../", "/etc/passwd", "~", "%s",
    "%n", "{0}", "$(x)", "`", "'", ";", "--", "-", "=", "*", "(?i)", "(a*)*", "[", "]", "{1000}",
    "(", ")", "^", "$", "0", "-1", "1e309", "nan", "inf", "9" * 30, "0x10", "1_000", "KiB", "MB",
    "EiB", "h", "ms", "T", "Z", "+24:00", "9999-12-31", "0000-00-00", "1970-01-01", "a" * 64,
    "0" * 128, "A", "x" * 5_000, "(" * 200, "é" * 2_100,
)  # fmt: skip


def _changed(rng: random.Random, corpus: list[Texts]) -> Texts:
    texts = list(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        act = rng.randrange(10)
        if act == 0 or not texts:
            texts.insert(rng.randint(0, len(texts)), rng.choice(_PIECES))
        elif act == 1:
            del texts[rng.randrange(len(texts))]
        else:
            at = rng.randrange(len(texts))
            texts[at] = _changed_text(rng, texts[at], corpus)
    return texts[:12]


def _changed_text(rng: random.Random, text: str, corpus: list[Texts]) -> str:
    start = rng.randint(0, len(text))
    end = min(len(text), start + rng.choice((0, 0, 1, 1, 2, 8, 100)))
    act = rng.randrange(8)
    if act <= 2:
        new = rng.choice(_PIECES)
    elif act == 3:
        new = ""
    elif act == 4:
        new = text[start:end] * rng.choice((2, 3, 50))
    elif act == 5:
        new = chr(rng.choice((rng.randrange(128), rng.randrange(0x110000))))
    elif act == 6:
        other = rng.choice(corpus)
        new = rng.choice(other) if other else ""
    else:
        new = text[start:end].swapcase()
    return (text[:start] + new + text[end:])[:20_000]


# -- which lines were reached ----------------------------------------------------------------------


class _Lines:
    """The lines of the library that inputs have reached so far."""

    def __init__(self) -> None:
        self._seen: set[tuple[CodeType, int]] = set()
        self._ours = str(Path(contentdb.__file__).parent)
        self.fresh = False

    def _line(self, frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - a tracer
        if event == "line":
            key = (frame.f_code, frame.f_lineno)
            if key not in self._seen:
                self._seen.add(key)
                self.fresh = True
        return self._line

    def _call(self, frame: FrameType, _event: str, _argument: object) -> Any:  # noqa: ANN401 - a tracer
        return self._line if frame.f_code.co_filename.startswith(self._ours) else None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note the lines that the block reaches; `fresh` tells whether any was new."""
        self.fresh = False
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(None)

    def __len__(self) -> int:
        return len(self._seen)


# -- the witness -----------------------------------------------------------------------------------

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGING: Final = {
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
    "os.symlink", "os.truncate", "os.utime",
}  # fmt: skip


class _Witness:
    """Told by the interpreter of each file that is opened or changed by name."""

    def __init__(self, root: Path) -> None:
        self._inside = str(root)
        self.touched: list[str] = []
        self.watching = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._judge(event, path)
        elif event in _CHANGING:
            for path in arguments[:2]:
                self._judge(event, path)

    def _judge(self, event: str, path: object) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return
        climbs = ".." in path.split("/")
        outside = path.startswith("/") and not path.startswith((self._inside, "/proc/self/fd/"))
        if (climbs or outside) and path != os.devnull:
            self.touched.append(f"{event} {path!r}")


# -- one input -------------------------------------------------------------------------------------


class _HangsError(BaseException):
    """An input took far too long."""


def _alarm(_number: int, _frame: object) -> None:
    raise _HangsError


def _served_s() -> float:
    """A clock that stands still while this thread could run and others have the processors.

    It goes on while the thread waits for anything else. Where the kernel keeps no such count, as
    in some sandboxes, it never stands still.
    """
    now_s = time.perf_counter()
    try:
        with Path("/proc/thread-self/schedstat").open("rb") as counts:
            return now_s - int(counts.read().split()[1]) / 1e9
    except FileNotFoundError:
        return now_s


class _Fuzzer:
    """A store, and one input after the other."""

    def __init__(self, root: Path) -> None:
        self._store = contentdb.open(root, durability="process")
        self._store.add(_STORED)
        self._lines = _Lines()
        self._witness = _Witness(root)
        self._corpora: dict[str, list[Texts]] = {name: list(_SEEDS) for name in TARGETS}
        signal.signal(signal.SIGALRM, _alarm)

    def warm(self) -> None:
        """Load what is loaded late, so that no input pays for it."""
        for _, target in TARGETS.values():
            for texts in (["digest==x"], ["key", "value"], [str(_DIGEST)], ["-size"]):
                with contextlib.suppress(Exception):
                    target(self._store, texts)
        for name in _COMMANDS:
            with (
                contextlib.suppress(SystemExit, Exception),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                from contentdb.cli.app import contentdb as command

                command.main(["--root", str(self._store.root), name, "--help"])
        self._store.add(_STORED)

    def next(self, rng: random.Random) -> tuple[str, Texts]:
        """Make an input."""
        names = list(TARGETS)
        name = rng.choices(names, [TARGETS[name][0] for name in names])[0]
        return name, _changed(rng, self._corpora[name])

    def tried(self, name: str, texts: Texts, *, traced: bool) -> Iterator[str]:
        """Give an input to its target: what was wrong."""
        took_s, wrong = self._once(name, texts, traced=traced)
        yield from wrong
        if traced:
            corpus = self._corpora[name]
            if self._lines.fresh and len(corpus) < _CORPUS_MOST:
                corpus.append(texts)
        elif took_s > _LIMIT_S:  # perhaps others had the disk: the best of some counts
            best = min(self._once(name, texts, traced=False)[0] for _ in range(8))
            if best > _LIMIT_S:
                yield f"it takes {best * 1000:.0f} ms"

    def _once(self, name: str, texts: Texts, *, traced: bool) -> tuple[float, list[str]]:
        _, target = TARGETS[name]
        wrong: list[str] = []
        self._witness.watching = True
        began = _served_s()
        signal.alarm(_HANGS_S)
        try:
            with self._lines.watched() if traced else contextlib.nullcontext():
                target(self._store, texts)
        except contentdb.ContentDBError as error:
            wrong += _shown(error)
        except _HangsError:
            wrong.append("it hangs")
        except Exception as error:  # noqa: BLE001 - it is the finding
            wrong.append(f"{type(error).__name__}: {error}"[:300])
        finally:
            signal.alarm(0)
            took_s = _served_s() - began
            self._witness.watching = False
        wrong += self._witness.touched
        self._witness.touched.clear()
        return took_s, wrong

    def corpora(self) -> tuple[int, int]:
        """Inputs that were kept, and lines that were reached."""
        return sum(map(len, self._corpora.values())), len(self._lines)


def _shown(error: contentdb.ContentDBError) -> Iterator[str]:
    """A refusal is one short text that a terminal can show."""
    text = str(error)
    if not text.strip() or len(text) > 20_000:
        yield f"a message of {len(text)} characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        yield f"a message that cannot be shown: {text!r:.200}"


# -- all inputs ------------------------------------------------------------------------------------


def _said(name: str, texts: Texts) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, *texts]).encode()).decode()


def _heard(case: str) -> tuple[str, Texts]:
    name, *texts = json.loads(base64.urlsafe_b64decode(case))
    return name, texts


def _some(
    root: Path, job: int, count: int, plan: Plan
) -> tuple[int, list[Violation], tuple[int, int]]:
    os.chdir(root.parent)
    fuzzer = _Fuzzer(root)
    fuzzer.warm()
    rng = random.Random(f"{plan.seed} {job}")
    found: list[Violation] = []
    deadline = plan.deadline()
    tried = 0
    while tried < count:
        name, texts = fuzzer.next(rng)
        wrong = list(fuzzer.tried(name, texts, traced=tried % _TRACED == 0))
        found += [Violation(_said(name, texts), f"{name}: {one}") for one in wrong]
        tried += 1
        if (found or not tried % 100) and plan.enough(found, deadline):
            break
    return tried, found, fuzzer.corpora()


def fuzz(plan: Plan) -> Outcome:
    """Try inputs, guided by the lines that they reach."""
    with place("fuzz") as folder:
        if plan.case is not None:
            name, texts = _heard(plan.case)
            fuzzer = _Fuzzer(folder / "store")
            fuzzer.warm()
            found = [Violation(plan.case, what) for what in fuzzer.tried(name, texts, traced=False)]
            return Outcome(1, found, f"{name} {texts!r:.500}")
        count = (plan.limit or 1_000_000) // plan.jobs
        works = []
        for job in range(plan.jobs):
            (folder / f"{job}").mkdir()
            works.append(partial(_some, folder / f"{job}" / "store", job, count, plan))
        answers = crew(works)
    found = [violation for _, violations, _ in answers for violation in violations]
    kept = sum(corpora[0] for _, _, corpora in answers)
    lines = max(corpora[1] for _, _, corpora in answers)
    notes = f"{len(TARGETS)} targets, {lines:,} lines reached, {kept:,} inputs kept"
    return Outcome(sum(tried for tried, _, _ in answers), found, notes)
