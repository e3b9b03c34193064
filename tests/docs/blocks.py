"""The fenced blocks of the documents, with what they are given and what they must print."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/design.md", "docs/operations.md")

_BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>given|not run): (?P<what>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```\n"
    r"(?:\n?^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_ONCE = "; once: "


class Block(NamedTuple):
    """A block that a reader may copy."""

    document: str
    line: int
    language: str
    code: str
    output: str | None
    """What it prints; `...` stands for anything. None: anything at all."""
    given: str
    """What must be there before; see `tests.docs.given`."""
    once: str
    """Why it cannot be run again in the same place; empty for one that can."""
    not_run: str
    """Why it is not tried; empty for one that is."""

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"


def blocks() -> list[Block]:
    """Of all documents, in order."""
    return [
        block
        for document in DOCUMENTS
        for block in blocks_of(document, (CHECKOUT / document).read_text())
    ]


def blocks_of(document: str, text: str) -> list[Block]:
    return [
        Block(
            document,
            text.count("\n", 0, found.start("code")),
            found["language"],
            found["code"],
            found["output"],
            given,
            once,
            found["what"] if found["kind"] == "not run" else "",
        )
        for found in _BLOCK.finditer(text)
        for given, _, once in [(found["what"] if found["kind"] == "given" else "").partition(_ONCE)]
    ]
