"""Shell completion: commands, options, digests, refs."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import PROGRAM, digest_of, stored

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = digest_of(b"hello")


def completions(root: Path, line: str) -> list[str]:
    """What a shell would offer at the end of the line."""
    words = line.split(" ")
    asked = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_CONTENTDB_COMPLETE": "bash_complete",
        "CONTENTDB_ROOT": str(root),
    }
    done = subprocess.run(
        PROGRAM, capture_output=True, check=False, text=True, env=os.environ | asked
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [word.partition(",")[2] for word in done.stdout.split("\n") if word]


def test_commands_and_options(root: Path) -> None:
    assert completions(root, "contentdb ex") == ["export", "export-oci"]
    assert "--dry-run" in completions(root, "contentdb rm --")


def test_digests_with_and_without_their_algorithm(root: Path) -> None:
    stored(root, b"hello", b"other")
    assert completions(root, "contentdb path 2cf") == [DIGEST[7:]]
    assert completions(root, "contentdb path sha256:2cf") == [DIGEST]
    assert completions(root, "contentdb path x") == []
    assert completions(root, "contentdb path md5:2") == []
    assert len(completions(root, "contentdb rm ")) == 2


def test_refs(root: Path) -> None:
    with contentdb.open(root) as store:
        for ref in ("one", "other", "two", "o\n"):
            store.writer(ref).close()
    assert completions(root, "contentdb abort o") == ["one", "other"]


def test_without_a_store_there_is_nothing_to_offer_and_none_is_made(root: Path) -> None:
    assert completions(root, "contentdb path 2") == []
    assert completions(root, "contentdb abort a") == []
    assert not root.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    asked = os.environ | {"_CONTENTDB_COMPLETE": f"{shell}_source", "PATH": os.environ["PATH"]}
    done = subprocess.run(PROGRAM, capture_output=True, check=False, text=True, env=asked)
    assert done.returncode == 0
    assert "_CONTENTDB_COMPLETE" in done.stdout
