"""What ``contentdb add`` does once its words are known: store files, and print their digests."""

from __future__ import annotations

import os
import sys
from collections import deque
from contextlib import closing, suppress

from contentdb.cli.show import escape, info_record, json_line, line, size
from contentdb.errors import ContentDBError
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from contentdb import Store
    from contentdb.content import Info, Link

__all__ = ["Printed", "store_files", "total_bytes"]


def store_files(
    store: Store,
    names: Iterable[str],
    stdin: BinaryIO | None,
    labels: dict[str, str] | None,
    link: Link,
) -> Iterator[tuple[str, Info | Exception]]:
    """Yield each name with its Info or its error, in order."""
    asked: deque[str] = deque()

    def sources() -> Iterator[BinaryIO | _File]:
        for name in names:
            asked.append(name)
            yield stdin if name == "-" and stdin is not None else _File(name)

    if link == "copy":
        with closing(store.add_many(sources(), labels=labels, errors="yield")) as answers:
            for answer in answers:
                name = asked.popleft()
                yield name, _name_stdin(answer) if name == "-" else answer
        return
    for source in sources():
        try:
            yield asked[0], store.add(source, labels=labels, link=link)
        except ContentDBError as error:
            yield asked[0], error
        asked.popleft()


class _File:
    """The path of a file, as `pathlib.Path` writes it, which is slow to import."""

    def __init__(self, name: str) -> None:
        root = "//" if name.startswith("//") and not name.startswith("///") else "/"
        parts = (part for part in name.split("/") if part not in {"", "."})
        self._path = (root if name.startswith("/") else "") + "/".join(parts) or "."

    def __fspath__(self) -> str:
        return self._path


def _name_stdin(answer: Info | ContentDBError) -> Info | Exception:
    """Return the answer; let an error of reading standard input name it."""
    cause = answer.__cause__ if isinstance(answer, ContentDBError) else None
    if isinstance(cause, OSError) and not isinstance(cause, ContentDBError):
        return OSError(cause.errno, cause.strerror, "standard input")
    return answer


class Printed:
    """Prints each answer, and counts them."""

    def __init__(self, tell: Callable[[Exception], object], *, as_json: bool, quiet: bool) -> None:
        self._tell = tell
        self._as_json = as_json
        self._quiet = quiet
        self._new = self._known = self._bytes = self._failed = self._skipped = 0

    def answered(self, name: str, answer: Info | Exception) -> None:
        """Print the digest of a file, or why it was not stored."""
        if isinstance(answer, Exception):
            self.failed(answer)
            return
        self._new += answer.new
        self._known += not answer.new
        self._bytes += answer.size
        if self._as_json:
            json_line(info_record(answer) | {"file": name})
        else:
            line(answer.digest if self._quiet else f"{answer.digest} {escape(name)}")

    def failed(self, error: Exception) -> None:
        """Print an error; it decides the exit code if it is the first."""
        self._failed += 1
        self._tell(error)

    def skipped(self, path: str) -> None:
        """Tell what is no regular file."""
        self._skipped += 1
        if not self._quiet:
            self._say(f"skipped {path}: not a regular file")

    def sum_up(self) -> None:
        """Print how many files there were, on standard error."""
        if self._quiet or self._as_json:
            return
        text = f"{self._new} new, {self._known} already there, {size(self._bytes)}"
        for count, what in ((self._skipped, "skipped"), (self._failed, "failed")):
            text += f", {count} {what}" if count else ""
        self._say(text)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # standard error may be closed
            print(f"contentdb: {text}", file=sys.stderr)  # noqa: T201 - the output of a command line


def total_bytes(names: Sequence[str]) -> int:
    """Return the sizes of all files together, as far as they are known."""
    total = 0
    for name in names:
        with suppress(OSError):
            total += os.stat(name).st_size  # noqa: PTH116 - a Path for each would double the cost
    return total
