"""What the documents show works as it stands, and prints what they say."""

import doctest
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.blocks import CHECKOUT, DOCUMENTS, Block, blocks, blocks_of
from tests.docs.given import Place

RUN = {"python", "sh"}


def runnable() -> list[Block]:
    return [block for block in blocks() if block.language in RUN and not block.not_run]


def tried() -> list[object]:
    return [pytest.param(block, id=block.name) for block in runnable()]


@pytest.mark.parametrize("block", tried())
def test_a_block_works_twice_in_one_place(block: Block, tmp_path: Path) -> None:
    """It prints what is said, the second time too: a reader tries again, and cron does for ever."""
    for _ in range(1 if block.once else 2):
        check(block, tmp_path)


def test_the_readme_works_in_one_place_from_its_top_to_its_end_twice(tmp_path: Path) -> None:
    """As a reader does who copies one block after the other."""
    for block in 2 * [block for block in runnable() if block.document == "README.md"]:
        if block.given != "a registry":
            check(block, tmp_path)


def check(block: Block, folder: Path) -> None:
    done = run(block, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    if block.output is not None:
        assert_prints(block.output, done.stdout + done.stderr)


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    with ExitStack() as ends:
        place = Place(folder, ends)
        place.prepare(block.given)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("CONTENTDB_")
        }
        command = [sys.executable, "-W", "error", "-c", block.code]
        if block.language == "sh":
            command = ["bash", "-euo", "pipefail", "-c", block.code]
        return subprocess.run(
            command,
            cwd=folder,
            env=environment | place.environment | {"PATH": path, "HOME": str(folder)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )


def assert_prints(wanted: str, got: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(wanted, got, flags):
        assert got == wanted  # shows the difference


def test_every_document_has_blocks_and_none_is_of_an_unknown_kind() -> None:
    found = blocks()
    assert {block.document for block in found} <= set(DOCUMENTS)
    assert {block.language for block in found} <= RUN | {"text"}
    assert sum(block.language == "python" for block in found) >= 5
    assert sum(block.language == "sh" for block in found) >= 20


def test_each_fence_is_in_a_block_and_each_remark_above_one() -> None:
    for document in DOCUMENTS:
        text = (CHECKOUT / document).read_text()
        found = blocks_of(document, text)
        fences = sum(1 + (block.output is not None) for block in found)
        assert text.count("```") == 2 * fences, document
        remarks = re.findall(r"^<!-- (?:given|not run): ", text, re.MULTILINE)
        assert len(remarks) == sum(bool(block.given or block.not_run) for block in found), document


def test_a_block_that_works_but_once_fails(tmp_path: Path) -> None:
    (block,) = blocks_of("made up", "```sh\nmkdir folder\n```\n")
    with pytest.raises(AssertionError):
        test_a_block_works_twice_in_one_place(block, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```python\nraise SystemExit(3)\n```\n",
        "```sh\nfalse | true\n```\n",
        "```sh\necho $UNSET_BY_ANYBODY\n```\n",
        "<!-- given: a store -->\n```sh\ncontentdb ls -q\n```\n\n```text\nnothing\n```\n",
    ],
)
def test_a_block_that_does_not_hold_fails(text: str, tmp_path: Path) -> None:
    (block,) = blocks_of("made up", text)
    with pytest.raises(AssertionError):
        check(block, tmp_path)
