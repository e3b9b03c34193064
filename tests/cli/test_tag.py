"""`contentdb tags`, `tag` and `untag`, and tags in place of digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cli import listing
from tests.cli.shell import call, records, stored

if TYPE_CHECKING:
    from pathlib import Path


def test_a_blob_gets_names_and_loses_them(root: Path) -> None:
    one, two = stored(root, b"1", b"22")
    assert call(root, "tag", one, "app:v1", "--label", "k=v").stdout == f"app:v1 {one}\n"
    assert call(root, "tag", "app:v1", "b").stdout == f"b {one}\n"
    assert call(root, "tag", two, "b").stdout == f"b {two}\n"
    assert call(root, "tags", "-q").stdout.split() == ["app:v1", "b"]
    found = records(call(root, "tags", "--json", "--of", one).stdout)
    assert [(tag["name"], tag["digest"], tag["size"], tag["labels"]) for tag in found] == [
        ("app:v1", one, 1, {"k": "v"})
    ]
    lines = call(root, "tags", "--filter", "name==b").stdout.splitlines()
    assert [text.split()[:2] for text in lines] == [["NAME", "DIGEST"], ["b", two]]
    result = call(root, "untag", "b", "c", "app:v1")
    assert (result.exit_code, result.stdout.split()) == (4, ["b", "app:v1"])
    assert call(root, "tags").stdout == ""


def test_pages_have_one_line_of_heads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = stored(root, b"1")
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        call(root, "tag", one, name)
    monkeypatch.setattr(listing, "_PAGE_ROWS", 2)
    lines = call(root, "tags").stdout.splitlines()
    assert [text.split()[:1] for text in lines] == [["NAME"], *([name] for name in names)]


def test_swapping(root: Path) -> None:
    one, two = stored(root, b"1", b"2")
    assert call(root, "tag", one, "n", "--if-is", "").exit_code == 0
    refused = call(root, "tag", two, "n", "--if-is", "")
    assert refused.exit_code == 1
    assert f"it names {one[:19]}" in refused.stderr
    assert call(root, "tag", two, "n", "--if-is", one).exit_code == 0


@pytest.mark.parametrize("command", ["info", "path", "cat"])
def test_commands_take_a_tag_for_a_digest(root: Path, command: str) -> None:
    (digest,) = stored(root, b"content")
    call(root, "tag", digest, "app:v1")
    assert call(root, command, "app:v1").stdout == call(root, command, digest).stdout != ""


def test_the_beginning_of_a_digest_goes_before_a_tag(root: Path) -> None:
    one, two = stored(root, b"1", b"2")
    begun = two.partition(":")[2][:8]
    call(root, "tag", one, begun)
    assert call(root, "info", "-q", begun).stdout == f"{two}\n"


def test_what_is_neither_digest_nor_tag_is_told_so(root: Path) -> None:
    stored(root, b"1")
    result = call(root, "info", "app:v9")
    assert result.exit_code == 2
    assert "there is no tag of that name" in result.stderr


def test_rm_keeps_a_tagged_blob(root: Path) -> None:
    one, two = stored(root, b"1", b"2")
    call(root, "tag", one, "n")
    result = call(root, "rm", one, two)
    assert (result.exit_code, result.stdout) == (1, f"{two}\n")
    assert "has the tag 'n'; untag it, or use --force" in result.stderr
    assert call(root, "rm", "--dry-run", "--force", "n").stdout == f"would remove {one}\n"
    assert call(root, "tags", "-q").stdout == "n\n"
    assert call(root, "rm", "--force", "n").stdout == f"{one}\n"
    with contentdb.open(root) as store:
        assert (list(store.walk()), list(store.tags())) == ([], [])
