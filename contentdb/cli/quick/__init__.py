"""The commonest command lines, recognised and run before click is imported.

Scripts call these for each blob, and click takes three times as long to import as Python takes to
start. The table below has all shapes: ``contentdb [--root DIR] COMMAND [-q] WORD…``. Whatever is
not in it, such as any other option, a shortened digest or a setting in the environment, goes to
click, and so does a store that is not as common as `blobs.is_common` wants it: click's way does
it all, or says what is wrong. A test compares the two ways.

- `contentdb.cli.quick.blobs` answers by the files of the blobs alone,
- `contentdb.cli.quick.rows` by the index alone,
- `contentdb.cli.quick.storing` stores, by the library.
"""

from __future__ import annotations

import os
import sys

from contentdb.store_folder import DEFAULT_ROOT

TYPE_CHECKING = False  # `typing` takes as long as all that a short command needs
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

__all__ = ["Call", "find_answer", "prepare", "recognise"]

_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_SIZE_DIGITS = 18


class Call:
    """A recognised command line."""

    def __init__(self, command: str, root: str, *, names_root: bool) -> None:
        self.command = command
        self.root = root
        """Not empty, and the path of a folder."""
        self.names_root = names_root
        """Whether the command line names the root."""
        self.quiet = False
        self.digest: str | None = None
        self.size: int | None = None
        """With `digest`, what ``ingest`` expects."""
        self.words: Sequence[str] = ()


def _are_digests(words: Sequence[str]) -> bool:
    return bool(words) and all(map(_is_whole, words))


def _is_one_digest(words: Sequence[str]) -> bool:
    return len(words) == 1 and _is_whole(words[0])


def _are_files(words: Sequence[str]) -> bool:
    return bool(words) and all(words)


def _is_one_ref(words: Sequence[str]) -> bool:
    return len(words) == 1 and bool(words[0])


def _are_none(words: Sequence[str]) -> bool:
    return not words


_SHAPES: dict[str, tuple[Callable[[Sequence[str]], bool], tuple[str, ...]]] = {
    "path": (_are_digests, ("-q",)),
    "cat": (_is_one_digest, ()),
    "info": (_are_digests, ("-q",)),
    "ls": (_are_none, ("-q",)),
    "active": (_are_none, ("-q",)),
    "add": (_are_files, ("-q",)),
    "ingest": (_is_one_ref, ("-q", "--expected-digest", "--expected-size")),
}
"""For each command what its words must be, and the options that may stand before them."""


def recognise(arguments: Sequence[str]) -> Call | None:
    """Return the call that a command line means; None if click has to find out."""
    words = list(arguments)
    names_root = len(words) > 1 and words[0] == "--root"
    root = words[1] if names_root else os.environ.get("CONTENTDB_ROOT") or DEFAULT_ROOT
    if names_root:
        del words[:2]
    if not words or words[0] not in _SHAPES or not root or "://" in root:  # that of a cluster
        return None
    if any(map(_is_a_setting, os.environ)):
        return None
    call = Call(words.pop(0), root, names_root=names_root)
    fits, options = _SHAPES[call.command]
    if not _take_options(call, words, options):
        return None
    if call.command == "ingest" and not words and call.digest is not None:
        words = [call.digest]  # which is the ref then
    call.words = words
    return call if fits(words) and not any(word.startswith("-") for word in words) else None


def _is_a_setting(name: str) -> bool:
    return name.startswith(("CONTENTDB_", "_CONTENTDB_")) and name != "CONTENTDB_ROOT"


def _is_whole(digest: str) -> bool:
    algorithm, _, encoded = digest.partition(":")
    return len(encoded) == _HEX_DIGITS.get(algorithm) and not encoded.strip("0123456789abcdef")


def _take_options(call: Call, words: list[str], options: Sequence[str]) -> bool:
    """Take the options off the front of the words; return False for one that is not valid."""
    while words and words[0] in options:
        option = words.pop(0)
        if option == "-q":
            call.quiet = True
            continue
        value = words.pop(0) if words else ""
        if option == "--expected-digest" and _is_whole(value):
            call.digest = value
        elif option == "--expected-size" and _is_size(value):
            call.size = int(value)
        else:
            return False
    return True


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _SIZE_DIGITS


def find_answer(call: Call) -> bytes | None:
    """Return what a command prints that the files of blobs answer; None for any other."""
    if call.command not in {"path", "cat"}:
        return None
    from contentdb.cli.quick.blobs import answer

    return answer(call)


def prepare(call: Call) -> Callable[[], NoReturn] | None:
    """Return the rest of another command, all its modules imported; None if click has to do it."""
    act: Callable[[], int | None] | None = None
    if call.command in {"info", "ls", "active"}:
        from contentdb.cli.quick.rows import find

        act = find(call)
    elif call.command in {"add", "ingest"} and _is_somewhere(call.root):
        from functools import partial

        from contentdb.cli.quick.storing import store

        act = partial(store, call)

    return None if act is None else lambda: _run_and_exit(act)


def _is_somewhere(root: str) -> bool:
    """Return whether a relative path leads anywhere: the current directory may be gone."""
    try:
        return bool(os.path.abspath(root))  # noqa: PTH100 - pathlib is slow to import
    except OSError:
        return False


def _run_and_exit(act: Callable[[], int | None]) -> NoReturn:
    """Print what a command prints, and exit; errors are told as click's way tells them."""
    from contentdb.cli.show import flush, let_stdout_print_any

    let_stdout_print_any()
    try:
        code = act()
        flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - `conclude` raises unknown ones
        from contentdb.cli.failures import conclude

        code = conclude(error)
    sys.exit(code)
