"""What a store was told to keep, written down outside of it while it works.

A workload says what has been acknowledged, one line each, through a descriptor that no
engine kills, tears or loses. After the crash `Promises` is what the store is held to.
"""

from __future__ import annotations

import json
import os
import traceback
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Ledger", "Promises", "bound_for", "content", "digest_of"]

_SIZES: Final = (9_000, 100, 0, 70_001, 4_096, 1)
_SHARDS: Final = ("00", "41", "e3", "7f", "a8", "2e")
"""Where contents of these sizes go; those of the empty one and of the single byte are given.

A listing opens every shard there is, so few of them make all engines faster; neighbours in
number are in different ones, so that a sync of one directory does not do for another.
"""
_NONCE_CHARS: Final = 4


@cache
def content(number: int) -> bytes:
    """Made-up bytes, different for each number, of sizes that cross pages and pieces."""
    kind = number % len(_SIZES)
    size = _SIZES[kind]
    line = f"content {number:06d} of the crash tests\n".encode()
    if size > len(line):
        return bound_for(_SHARDS[kind], (line * (size // len(line) + 1))[: size - _NONCE_CHARS])
    if number < len(_SIZES):
        return line[:size]
    return bound_for(_SHARDS[kind], f"{number:06d}".encode())


def bound_for(shard: str, start: bytes) -> bytes:
    """End the bytes so that their digest is in the shard."""
    begun = sha256(start)
    for nonce in range(10**_NONCE_CHARS):
        end = f"{nonce:0{_NONCE_CHARS}d}".encode()
        made = begun.copy()
        made.update(end)
        if made.hexdigest().startswith(shard):
            return start + end
    raise RuntimeError(f"no end for {shard}: choose another shard, or more digits")


@cache
def digest_of(number: int) -> str:
    """The digest of `content(number)`."""
    return "sha256:" + sha256(content(number)).hexdigest()


class Ledger:
    """The workload's side: each line is one write(2), so it is said whole or not at all."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def _say(self, *words: object) -> None:
        os.write(self.fd, (" ".join(map(str, words)) + "\n").encode())

    def have(self, number: int) -> None:
        """The content was acknowledged as stored."""
        self._say("have", number)

    def going(self, number: int) -> None:
        """Its deletion was asked for: from now on either is right."""
        self._say("going", number)

    def gone(self, number: int) -> None:
        """Its deletion was acknowledged."""
        self._say("gone", number)

    def labelling(self, number: int) -> None:
        """A change of its labels was asked for: from now on either are right."""
        self._say("labelling", number)

    def labelled(self, number: int, **labels: str) -> None:
        """These labels were acknowledged as all that it has."""
        self._say("labelled", number, json.dumps(labels))

    def begun(self, ref: str, number: int) -> None:
        """An ingest of the content was asked for under the ref."""
        self._say("begun", number, ref)

    def instead(self, ref: str, number: int) -> None:
        """Another content was asked for under the ref: it may hold either, never both."""
        self._say("instead", number, ref)

    def paused(self, ref: str, offset: int) -> None:
        """Its writer was closed at the offset."""
        self._say("paused", offset, ref)

    def dropped(self, ref: str) -> None:
        """Its abort or truncation was asked for: its bytes may be any, until it is aborted."""
        self._say("dropped", 0, ref)

    def collects(self) -> None:
        """All that was stored so far is in the queue of the collector, or kept."""
        self._say("collects", 0)

    def kept(self, number: int) -> None:
        """It was acknowledged that something keeps it: no collection may take it."""
        self._say("kept", number)

    def damaged(self, number: int) -> None:
        """The harness itself damaged the blob's file, or its row."""
        self._say("damaged", number)

    def index_lost(self) -> None:
        """The harness itself removed the index."""
        self._say("lost", 0)

    def migrating(self) -> None:
        """The index was asked to go to the next revision: it has that one or the one before."""
        self._say("migrating", 0)

    def migrated(self) -> None:
        """The next revision was acknowledged."""
        self._say("migrated", 0)

    def failed(self, error: BaseException) -> None:
        """The workload ended with an error."""
        kind = type(error)
        text = f"{kind.__module__}.{kind.__qualname__}: {error}".replace("\n", " ")
        self._say("failed", 0, text[:400] + _place_of(error))


def _place_of(error: BaseException) -> str:
    """Where it was raised, for who has to find out why."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" (at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""


class Promises:
    """All that was said, in order, as the rules to hold the store to."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.have: set[int] = set()
        self.gone: set[int] = set()
        self.going: set[int] = set()
        self.labels: dict[int, dict[str, str]] = {}
        self.damaged: set[int] = set()
        self.refs: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self.offsets: dict[str, int] = {}
        self.dropped: set[str] = set()
        self.kept: set[int] = set()
        self.collecting = False
        self.index_lost = False
        self.migrating = False
        self.migrated = False
        self.error: str | None = None
        for line in lines:
            self.hear(line)

    def hear(self, line: str) -> None:
        """Take one line in."""
        word, number, *rest = line.split(" ", 2)
        rest_text = rest[0] if rest else ""
        getattr(self, f"_{word}")(int(number), rest_text)

    def _have(self, number: int, _: str) -> None:
        self.have.add(number)
        self.gone.discard(number)
        self.going.discard(number)
        self.damaged.discard(number)

    def _collects(self, _: int, __: str) -> None:
        self.collecting = True

    def _kept(self, number: int, _: str) -> None:
        self.kept.add(number)

    def _going(self, number: int, _: str) -> None:
        self.kept.discard(number)
        self.have.discard(number)
        self.gone.discard(number)
        self.going.add(number)
        self.labels.pop(number, None)

    def _labelling(self, number: int, _: str) -> None:
        self.labels.pop(number, None)

    def _labelled(self, number: int, labels: str) -> None:
        self.labels[number] = json.loads(labels)

    def _gone(self, number: int, _: str) -> None:
        self.going.discard(number)
        self.damaged.discard(number)
        self.gone.add(number)

    def _begun(self, number: int, ref: str) -> None:
        self.refs[ref] = number
        self.gone.discard(number)

    def _instead(self, number: int, ref: str) -> None:
        self.others[ref] = number
        self.offsets.pop(ref, None)
        self.gone.discard(number)

    def _paused(self, offset: int, ref: str) -> None:
        self.offsets[ref] = offset

    def _dropped(self, _: int, ref: str) -> None:
        self.offsets.pop(ref, None)
        self.dropped.add(ref)

    def _damaged(self, number: int, _: str) -> None:
        self.have.discard(number)
        self.labels.pop(number, None)
        self.damaged.add(number)

    def _lost(self, _: int, __: str) -> None:
        self.index_lost = True
        self.labels.clear()

    def _migrating(self, _: int, __: str) -> None:
        self.migrating = True

    def _migrated(self, _: int, __: str) -> None:
        self.migrated = True

    def _failed(self, _: int, text: str) -> None:
        self.error = text
