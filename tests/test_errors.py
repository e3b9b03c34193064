"""The tree of errors is as its docstring draws it, and each says one plain sentence."""

from __future__ import annotations

import errno
import inspect
import pickle
import re

import pytest

import contentdb.errors as module
from contentdb.digest import Digest
from contentdb.errors import ContentDBError, NoSpaceError, StorageError

DIGEST = Digest.of(b"content")
CLASSES = [
    found
    for _name, found in inspect.getmembers(module, inspect.isclass)
    if issubclass(found, ContentDBError)
]
FULL = OSError(errno.ENOSPC, "No space left on device")
EXAMPLES: list[ContentDBError] = [
    module.ContentDBError("text"),
    module.InvalidArgumentError("text"),
    module.MalformedDigestError("x\ny", "reason"),
    module.DigestLengthError("x", "reason"),
    module.UnsupportedAlgorithmError("x", "reason"),
    module.AmbiguousDigestError("x", "reason"),
    module.InvalidDigestError("x", "reason"),
    module.InvalidRefError("r\n" * 100, "reason"),
    module.InvalidTagError("t\n" * 100, "reason"),
    module.ConflictError("t\n" * 100, wanted=None, found="sha256:" + "a" * 64),
    module.NoRootsError("n"),
    module.UndecidedError("sha256:" + "a" * 64, 512),
    module.QuotaExceededError("n" * 100, 1 << 62, 1 << 62),
    module.LeaseExistsError("l\n" * 100),
    module.LeaseEndedError("l\n" * 100),
    module.InvalidLabelError("k", "reason"),
    module.InvalidFieldError("f", "reason"),
    module.InvalidFilterError("a==b", 1, "reason"),
    module.OffsetOutOfRangeError(5, 3),
    module.NotFoundError(digest=DIGEST),
    module.NotFoundError(ref="r"),
    module.AlreadyExistsError(DIGEST),
    module.FailedPreconditionError("text"),
    module.SizeMismatchError(expected=1, actual=2),
    module.DigestMismatchError(expected=DIGEST, actual=DIGEST),
    module.RefLockedError("r", held_s=1.5, holder="process 7"),
    module.ClosedError("text"),
    module.WriterClosedError("r"),
    module.StoreClosedError("/root"),
    module.CorruptBlobError(DIGEST, "/path", "reason"),
    module.StorageError("write", "/path", FULL),
    module.NoSpaceError("write", "/path", FULL),
    module.DurabilityError("sync", "/path", FULL),
    module.IndexFailedError("/path", "reason"),
    module.IndexBusyError("/path", "reason"),
    module.IndexDamagedError("/path", "reason"),
    module.CommitUnknownError("/path", "reason"),
    module.ReentrantCallError("/path"),
    module.ReentrantCallError("/path", served=True),
    module.UnsafeForkError("/path"),
    module.UnsafeForkError("/path", served=True),
    module.StoreError("/root", "reason"),
    module.StoreNotFoundError("/root", "reason"),
    module.NotAStoreError("/root", "reason"),
    module.NewerStoreError("/root", "reason"),
    module.MigrationNeededError("/root", "reason"),
    module.StoreReadOnlyError("/root", "reason"),
    module.UnsupportedFilesystemError("/root", "reason"),
    module.MissingExtraError("what", "extra", ImportError("No module named 'x'")),
]


def drawn_tree() -> dict[str, str]:
    """Read the docstring's drawing: the parent of each class."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (module.__doc__ or "").splitlines():
        found = re.match(r"^( {4}[ │├└─]*)([A-Z]\w+Error)\b", line)
        if found is None:
            continue
        depth, name = len(found[1]), found[2]
        while above and above[-1][0] >= depth:
            above.pop()
        parents[name] = above[-1][1] if above else "Exception"
        above.append((depth, name))
    return parents


def test_the_drawing_is_the_tree() -> None:
    assert drawn_tree() == {found.__name__: found.__bases__[0].__name__ for found in CLASSES}


def test_all_are_public() -> None:
    assert sorted(module.__all__) == module.__all__
    assert set(module.__all__) == {found.__name__ for found in CLASSES}


def test_every_class_has_an_example_here() -> None:
    assert {type(error) for error in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("error", EXAMPLES)
def test_one_plain_sentence(error: ContentDBError) -> None:
    """One line (a filter's has its caret below), short, whatever the argument held."""
    lines = str(error).splitlines()
    assert len(lines) == (3 if isinstance(error, module.InvalidFilterError) else 1)
    assert 0 < len(lines[0]) < 250


@pytest.mark.parametrize("error", EXAMPLES)
def test_errors_cross_processes(error: ContentDBError) -> None:
    """A process pool hands its errors over by pickle: message and facts arrive."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_also_builtin() -> None:
    """About an argument: ValueError. About absence: LookupError, and its text is not quoted."""
    assert all(
        issubclass(found, ValueError) == issubclass(found, module.InvalidArgumentError)
        for found in CLASSES
    )
    absent = [found for found in CLASSES if issubclass(found, LookupError)]
    assert absent == [module.NotFoundError, module.StoreNotFoundError]
    assert not any(issubclass(found, KeyError) for found in CLASSES)


def test_a_caret_stands_under_its_place() -> None:
    error = module.InvalidFilterError("labels.kind=layer", 11, "no such operator")
    _reason, line, caret = str(error).splitlines()
    assert line[caret.index("^")] == "="
    long = module.InvalidFilterError("x" * 500 + "=" + "y" * 500, 500, "no such operator")
    _reason, line, caret = str(long).splitlines()
    assert line[caret.index("^")] == "="
    assert len(line) < 100


def test_full_disks_have_their_own_class() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        error = StorageError.of("write", "/p", OSError(number, "full"))
        assert isinstance(error, NoSpaceError)
        assert (error.errno, error.path, error.action) == (number, "/p", "write")
    assert type(StorageError.of("write", "/p", OSError(errno.EIO, "bad"))) is StorageError
