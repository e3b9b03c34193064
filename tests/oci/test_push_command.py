"""`contentdb push` as scripts use it: what it prints where, and what it takes for an image."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import contentdb
from tests.cli.shell import call, only_line, records
from tests.hostile.server import Image, Server, reply, sha
from tests.oci.shelf import Shelf, serving

IMAGE = Image()
TOP = sha(IMAGE.manifest)
BYTES = sum(map(len, (IMAGE.config, IMAGE.layer, IMAGE.manifest)))


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    """A registry that keeps what is pushed, beside a store that has the image."""
    with contentdb.open(root) as store:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            store.add(data)
    with serving(Shelf()) as (running, _):
        yield running


def push(root: Path, server: Server, *options: str, image: str = TOP) -> tuple[str, str]:
    done = call(root, "push", "--plain-http", *options, image, f"{server.name}/a/b:v1")
    assert done.exit_code == 0, done.stderr
    return done.stdout, done.stderr


def test_a_push_sums_up_on_standard_error_unless_it_is_to_be_quiet(
    root: Path, server: Server
) -> None:
    out, err = push(root, server)
    assert only_line(out) == TOP
    assert f"pushed {server.name}/a/b:v1: 300." in only_line(err)
    assert "KiB sent, 0 B there already" in err
    assert "0 B sent, 300." in only_line(push(root, server)[1])
    assert push(root, server, "-q") == (f"{TOP}\n", "")
    assert push(root, server, "--progress", "none") == (f"{TOP}\n", "")


def test_a_push_as_json_has_bytes_and_time(root: Path, server: Server) -> None:
    out, err = push(root, server, "--json")
    (record,) = records(out)
    assert (record["digest"], len(record["uploaded"]), record["warnings"]) == (TOP, 2, [])
    assert (record["sent_bytes"], record["present_bytes"], record["mounted_bytes"]) == (BYTES, 0, 0)
    assert record["elapsed_s"] >= 0
    assert err == ""
    again = records(push(root, server, "--json")[0])[0]
    assert (again["sent_bytes"], again["present_bytes"]) == (0, BYTES)


def test_the_progress_of_a_push_as_json_ends_with_its_sum(root: Path, server: Server) -> None:
    out, err = push(root, server, "-q", "--progress", "json")
    assert only_line(out) == TOP
    lines = records(err)
    assert {line["object"] for line in lines if line["event"] == "done"} == {
        TOP,
        sha(IMAGE.config),
        sha(IMAGE.layer),
    }
    assert {"uploading", "done"} <= {line["event"] for line in lines}
    assert (lines[-1]["event"], lines[-1]["moved_bytes"]) == ("summary", BYTES)


def test_a_digest_file_is_written_by_a_push_that_succeeds(
    root: Path, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "digest"
    server.script = lambda _request: reply(400)
    words = ("push", "--plain-http", "--digest-file", file, TOP, f"{server.name}/a/b:v1")
    assert call(root, *words).exit_code == 1
    assert not file.exists()
    server.script = Shelf().answer
    push(root, server, "--digest-file", str(file))
    assert file.read_text() == TOP


def test_a_push_takes_the_name_of_a_tag(root: Path, server: Server) -> None:
    name = "host.example:5000/a/b:v1"
    call(root, "tag", TOP, name)
    assert push(root, server, image=name)[0] == f"{TOP}\n"


def test_a_whole_digest_is_never_the_name_of_a_tag(root: Path, server: Server) -> None:
    """A tag that reads as a digest must not stand for other content."""
    absent = sha(b"absent")
    call(root, "tag", TOP, absent)
    for words in (("push", "--plain-http", absent, f"{server.name}/a/b:v1"), ("info", absent)):
        done = call(root, *words)
        assert (done.exit_code, absent in only_line(done.stderr)) == (4, True)
