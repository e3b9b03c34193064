"""All contestants by name, and which of them are missing here."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from benchmarks import floors, rivals
from benchmarks.subject import Entry

__all__ = ["entry", "missing"]

COMMANDS = (
    Entry("python -c pass", "floor", "-", floors.Floor),
    Entry("contentdb CLI", "contentdb", "yes", floors.Floor),
    Entry("git CLI", "rival", "file", floors.Floor, "$git"),
)
"""These are programs: the commands of `commands` run them, nothing of theirs is made here."""


def _ours() -> tuple[Entry, ...]:
    from benchmarks import ours  # so that floors and rivals run without contentdb

    return ours.ENTRIES


def entry(name: str) -> Entry:
    """Find a contestant; `KeyError` for a name that nobody has."""
    for found in (*floors.ENTRIES, *rivals.ENTRIES, *COMMANDS):
        if found.name == name:
            return found
    return {found.name: found for found in _ours()}[name]


def missing(found: Entry) -> str | None:
    """Say what it lacks on this machine, or None."""
    if not found.needs:
        return None
    if found.needs.startswith("$"):
        program = found.needs.removeprefix("$")
        return None if shutil.which(program) else f"{program} is not on PATH"
    return None if find_spec(found.needs) else f"the package {found.needs} is not installed"
