"""The command line on a store that is served elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import contentdb
from contentdb.cli.app import contentdb as command
from contentdb.digest import Digest
from contentdb.server import service
from contentdb.server.daemon import Server
from contentdb.server.rpcs import RPCS
from contentdb.wire.tagging import TAGS
from tests.hostile.server import Image, sha
from tests.oci.test_layout import write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

HELLO = Digest.of(b"hello")


def run(*words: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(command, [*map(str, words)], input=stdin)


def call(served: Path, *words: str | Path, stdin: bytes = b"") -> str:
    """Run a command that must succeed."""
    result = run("--address", served, *words, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_commands_work_on_a_served_store(served: Path, tmp_path: Path) -> None:
    assert HELLO in call(served, "ingest", "r", stdin=b"hello")
    file = tmp_path / "file"
    file.write_bytes(b"more")
    more = call(served, "add", "-q", file).strip()
    assert sorted(call(served, "ls", "-q").split()) == sorted([HELLO, more])
    assert call(served, "cat", HELLO[7:15]) == "hello"
    assert call(served, "cat", "--offset", "1", "--length", "3", HELLO) == "ell"
    call(served, "label", HELLO, "a=b")
    assert call(served, "ls", "-q", "--filter", "labels.a==b").strip() == HELLO
    assert HELLO in call(served, "info", HELLO)
    call(served, "du")
    out = tmp_path / "out"
    call(served, "export", HELLO, out)
    assert out.read_bytes() == b"hello"
    call(served, "rm", HELLO)
    assert call(served, "ls", "-q").strip() == more
    with contentdb.open(tmp_path / "store") as store:
        assert [info.digest for info in store.walk()] == [more]


def test_tags_work_on_a_served_store(served: Path) -> None:
    call(served, "ingest", "r", stdin=b"hello")
    assert call(served, "tag", HELLO, "app:v1") == f"app:v1 {HELLO}\n"
    assert run("--address", served, "tag", HELLO, "app:v1", "--if-is", "").exit_code == 1
    assert call(served, "tags", "-q") == "app:v1\n"
    assert call(served, "cat", "app:v1") == "hello"
    assert run("--address", served, "rm", "app:v1").exit_code == 1
    call(served, "rm", "--force", "app:v1")
    assert call(served, "tags", "-q") + call(served, "ls", "-q") == ""


def test_a_server_that_cannot_compare_keeps_a_tagged_blob(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag may have moved: it is not removed without looking, nor the blob without its tag."""
    monkeypatch.setattr(service, "RPCS", tuple(rpc for rpc in RPCS if rpc.service != TAGS))
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        call(socket_path, "ingest", "r", stdin=b"hello")
        call(socket_path, "tag", HELLO, "n", "--media-type", "text/plain")
        more = call(socket_path, "ingest", "s", stdin=b"more")[-72:].strip()
        result = run("--address", socket_path, "rm", "--force", HELLO, more)
        assert result.exit_code == 1
        assert "cannot compare and swap" in result.stderr
        assert call(socket_path, "ls", "-q").strip() == HELLO


def test_leases_work_on_a_served_store(served: Path) -> None:
    assert call(served, "lease", "create", "--id", "mine") == "mine\n"
    call(served, "--lease", "mine", "ingest", "r", stdin=b"hello")
    with contentdb.connect(str(served)) as store:
        assert [item.name for item in store.use_lease("mine").items()] == [HELLO]
    assert call(served, "lease", "ls", "-q") == "mine\n"
    call(served, "lease", "end", "mine")
    assert call(served, "lease", "ls", "-q") == ""


def test_no_command_holds_a_lease_of_a_served_store(served: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    result = run("--address", served, "lease", "run", "--", "touch", made)
    assert result.exit_code != 0
    assert not made.exists()
    assert "run works on a store's own files" in result.stderr


def test_ingests_are_listed_and_dropped(served: Path, tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store, store.writer("half") as writer:
        writer.write(b"half")
    assert "half" in call(served, "active")
    call(served, "abort", "half")
    assert call(served, "active", "-q") == ""


def test_exit_codes_are_those_of_a_local_store(served: Path) -> None:
    assert run("--address", served, "info", HELLO).exit_code == 4
    assert run("--address", served, "ls", "--filter", "size>").exit_code == 2
    wrong = run("--address", served, "ingest", "--expected-digest", HELLO, stdin=b"wrong")
    assert wrong.exit_code == 1
    with contentdb.connect(str(served)) as store, store.writer("held"):
        assert run("--address", served, "ingest", "--no-wait", "held", stdin=b"x").exit_code == 5


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("init",),
        ("migrate",),
        ("reindex",),
        ("repair",),
        ("serve", "--socket", "s"),
        ("prune",),
        ("verify",),
    ],
)
def test_what_needs_the_files_is_refused(served: Path, words: tuple[str, ...]) -> None:
    result = run("--address", served, *words)
    assert result.exit_code == 2
    assert f"{words[0]} works on a store's own files" in result.output


def test_what_would_link_is_a_copy(served: Path, tmp_path: Path) -> None:
    """As on a filesystem that cannot; the defaults of import-oci and export-oci are links."""
    file = tmp_path / "file"
    file.write_bytes(b"hello")
    for link in ("reflink", "hardlink"):
        out = tmp_path / link
        call(served, "add", "--link", link, file)
        call(served, "export", "--link", link, HELLO, out)
        assert out.read_bytes() == b"hello"
        call(served, "rm", HELLO)


def test_image_layouts_go_there_and_back(served: Path, tmp_path: Path) -> None:
    image = Image()
    layout = write_layout(tmp_path / "layout")
    assert sha(image.manifest) in call(served, "import-oci", layout)
    call(served, "export-oci", tmp_path / "out", sha(image.manifest))
    for blob in (image.manifest, image.config, image.layer):
        assert (tmp_path / "out" / "blobs" / "sha256" / sha(blob)[7:]).read_bytes() == blob


def test_what_does_not_reach_there_is_refused(served: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"hello")
    call(served, "add", file)
    for words in (
        ("path", HELLO),
        ("add", "--link", "move", file),
    ):
        result = run("--address", served, *words)
        assert result.exit_code == 1
        assert str(served) in result.output
    assert file.exists()


def test_one_place_at_a_time(served: Path, tmp_path: Path) -> None:
    result = run("--root", tmp_path, "--address", served, "ls")
    assert result.exit_code == 2
    assert "exclude each other" in result.output


def test_the_command_line_counts_before_the_environment(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(served, "ingest", "r", stdin=b"hello")
    monkeypatch.setenv("CONTENTDB_ADDRESS", str(served))
    assert run("ls", "-q").output.strip() == HELLO
    run("--root", tmp_path / "other", "init")
    assert run("--root", tmp_path / "other", "ls", "-q").output == ""


def test_namespaces_are_apart(served: Path, tmp_path: Path) -> None:
    call(served, "--namespace", "k8s.io", "ingest", "r", stdin=b"hello")
    assert call(served, "ls", "-q") == ""
    local = run("--root", tmp_path / "store", "--namespace", "k8s.io", "ls", "-q")
    assert local.output.strip() == HELLO


def test_nobody_at_the_address_is_an_error_in_one_line(socket_path: Path) -> None:
    result = run("--address", socket_path, "ls")
    assert result.exit_code == 1
    assert "\n" not in result.output.strip()
