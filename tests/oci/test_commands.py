"""The commands as a user types them, wrong ones too, against a scripted registry."""

import json
import os
import pty
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import contentdb
from tests.cli.shell import call, only_line, records, run, start
from tests.hostile.server import (
    INDEX,
    MANIFEST,
    Image,
    Reply,
    Request,
    Server,
    descriptor,
    manifest_reply,
    reply,
    sha,
)

IMAGE = Image()
TOP = sha(IMAGE.manifest)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(IMAGE.answer) as running:
        yield running


def here(server: Server, *words: str) -> tuple[str, ...]:
    """A command about the image in this registry."""
    command, *options = words
    return (command, "--plain-http", f"{server.name}/a/b:v1", *options)


def test_a_pull_prints_the_digest_and_nothing_else_in_a_pipe(root: Path, server: Server) -> None:
    done = run(root, *here(server, "pull", "-j", "2"))
    assert (done.returncode, only_line(done.stdout)) == (0, TOP)
    told = call(root, *here(server, "pull", "--json"))
    record = records(told.stdout)[0]
    assert record["digest"] == TOP
    assert set(record["blobs"]) == {sha(IMAGE.config), sha(IMAGE.layer)}
    assert record["chosen"] == [{"platform": None, "digest": TOP}]
    assert record["present_bytes"] == sum(map(len, (IMAGE.manifest, IMAGE.config, IMAGE.layer)))
    assert told.stderr == ""


def test_a_pull_sums_up_on_standard_error_unless_it_is_to_be_quiet(
    root: Path, server: Server
) -> None:
    summary = only_line(call(root, *here(server, "pull")).stderr)
    assert f"pulled {server.name}/a/b:v1: 300." in summary
    assert "KiB fetched, 0 B there already" in summary
    again = only_line(call(root, *here(server, "pull")).stderr)
    assert "0 B fetched, 300." in again
    assert call(root, *here(server, "pull", "-q")).stderr == ""
    assert call(root, *here(server, "pull", "--progress", "none")).stderr == ""


def index_of(server: Server) -> str:
    """Serve an index of two platforms; return its digest."""
    arm = IMAGE.manifest + b" "
    entries = [
        descriptor(MANIFEST, arm, platform={"os": "linux", "architecture": "arm64"}),
        descriptor(MANIFEST, IMAGE.manifest, platform={"os": "linux", "architecture": "amd64"}),
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()

    def script(request: Request) -> Reply:
        if request.path.endswith("/manifests/v1"):
            return manifest_reply(index, INDEX)
        if request.path.endswith(sha(arm)):
            return manifest_reply(arm)
        return IMAGE.answer(request)

    server.script = script
    return sha(index)


def test_a_pull_tells_the_digest_of_the_index_and_of_what_it_chose(
    root: Path, server: Server
) -> None:
    top = index_of(server)
    words = ("pull", "--platform", "amd64", "--platform", "aarch64")
    result = call(root, *here(server, *words))
    assert only_line(result.stdout) == top
    arm = sha(IMAGE.manifest + b" ")
    assert f"linux/amd64: {TOP}\nlinux/arm64: {arm}\n" in result.stderr
    record = records(call(root, *here(server, *words, "--json")).stdout)[0]
    assert record["chosen"] == [
        {"platform": "linux/amd64", "digest": TOP},
        {"platform": "linux/arm64", "digest": arm},
    ]


def test_a_digest_file_has_the_digest_alone_and_appears_at_once(
    root: Path, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "digest"
    file.write_text("old")
    (tmp_path / "link").symlink_to(file)
    assert call(root, *here(server, "pull", "--digest-file", str(file))).exit_code == 0
    assert file.read_text() == TOP
    file.write_text("old")
    assert call(root, *here(server, "pull", "--digest-file", f"{file.parent}/link")).exit_code == 0
    assert file.read_text() == TOP
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != root.name) == [
        "digest",
        "link",
    ]
    missing = tmp_path / "no" / "digest"
    result = call(root, *here(server, "pull", "--digest-file", str(missing)))
    assert (result.exit_code, "no directory" in only_line(result.stderr)) == (2, True)


def test_progress_as_json_is_one_object_a_line(root: Path, server: Server) -> None:
    result = call(root, *here(server, "pull", "-q", "--progress", "json"))
    lines = records(result.stderr)
    assert only_line(result.stdout) == TOP
    assert lines[0]["event"] == "resolving"
    last = {line["object"]: line for line in lines if line["event"] == "done"}
    assert last[sha(IMAGE.layer)]["offset"] == last[sha(IMAGE.layer)]["total"] == len(IMAGE.layer)
    assert set(lines[0]) == {"event", "object", "media_type", "offset", "total", "elapsed_s"}
    sizes = [len(IMAGE.manifest), len(IMAGE.config), len(IMAGE.layer)]
    assert lines[-1] == {
        "event": "summary",
        "objects": 3,
        "moved_bytes": sum(sizes),
        "present_bytes": 0,
        "mounted_bytes": 0,
        "elapsed_s": lines[-1]["elapsed_s"],
    }


def shown_until(screen: int, *words: bytes) -> bytes:
    shown = b""
    while not all(word in shown for word in words):
        shown += os.read(screen, 4096)
    return shown


def rest(screen: int) -> bytes:
    shown = b""
    try:
        while piece := os.read(screen, 4096):
            shown += piece
    except OSError:  # how a terminal says that nobody has it open any more
        return shown
    return shown


def last_bars(shown: bytes) -> bytes:
    """The bars as they were drawn last, without the summary below them."""
    drawn = shown[: shown.rindex(b"pulled ")]
    return drawn[drawn.rindex(b"/a/b:v1") :]


def test_a_terminal_gets_a_bar_for_each_object_with_its_state(root: Path, server: Server) -> None:
    go_on = threading.Event()

    def script(request: Request) -> Reply:
        if not request.is_blob(IMAGE.config):
            return IMAGE.answer(request)
        head, _, body = IMAGE.answer(request).partition(b"\r\n\r\n")

        def slowly() -> Iterator[bytes]:
            yield head + b"\r\n\r\n" + body[:3]
            go_on.wait(60)
            yield body[3:]

        return slowly()

    server.script = script
    screen, terminal = pty.openpty()
    with start(root, *here(server, "pull", "-j", "1"), stderr=terminal) as process:
        os.close(terminal)
        shown = shown_until(screen, b"downloading", b"waiting", b"resolved")
        go_on.set()
        out, _ = process.communicate()
        shown += rest(screen)
    os.close(screen)
    assert only_line(out) == TOP
    last = last_bars(shown)
    assert last.count(b" done ") == 3
    for name in (TOP, sha(IMAGE.config), sha(IMAGE.layer)):
        assert name[:19].encode() in last

    screen, terminal = pty.openpty()
    with start(root, *here(server, "pull"), stderr=terminal) as process:
        os.close(terminal)
        process.communicate()
        shown = rest(screen)
    os.close(screen)
    assert last_bars(shown).count(b" exists ") == 3


def test_an_interrupted_pull_says_how_to_go_on(root: Path, server: Server) -> None:
    asked = threading.Event()

    def script(request: Request) -> Reply:
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)

        def never() -> Iterator[bytes]:
            yield reply(200, b"", Content_Length=str(len(IMAGE.layer)))
            asked.set()
            server.stopping.wait(60)

        return never()

    server.script = script
    with start(root, *here(server, "pull")) as process:
        assert asked.wait(60)
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 143
    assert "run the same command again" in only_line(err)


def test_a_pull_that_waits_for_a_busy_registry_is_interrupted(root: Path, server: Server) -> None:
    busy = threading.Event()

    def script(request: Request) -> Reply:
        if request.is_manifest:
            return IMAGE.answer(request)
        busy.set()
        return reply(429, Retry_After="30")

    server.script = script
    with start(root, *here(server, "pull")) as process:
        assert busy.wait(60)
        process.terminate()
        process.communicate(timeout=25)  # three times 30 s is what the registry would have
    assert process.returncode == 143
    assert len(server.requests) <= 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pull",), 2, "REFERENCE"),
        (("pull", "App"), 2, "lower case"),
        (("pull", "host.example/app@sha256:abc"), 2, "64 hexadecimal"),
        (("pull", "--plain-http", "host.example/app"), 2, "by --insecure"),
        (("pull", "host.example/app", "--platform", "x"), 2, "linux/amd64"),
        (("pull", "a", "--platform", "linux/arm", "--all-platforms"), 2, "exclude"),
        (("pull", "a", "-j", "0"), 2, "1<=x<=64"),
        (("pull", "a", "--user", "me"), 2, "USER:PASSWORD"),
        (("pull", "a", "--key", __file__), 2, "--cert"),
        (("pull", "a", "--ca", __file__), 2, "no CA certificates"),
        (("pull", "a", "--cert", "/no/such"), 2, "/no/such"),
        (("fetch", "host.example/app"), 2, "TAG|DIGEST"),
        (("fetch", "host.example/app:v1", "v1"), 2, "alone"),
        (("fetch", "host.example/app", "sha256:abc"), 2, "64 hexadecimal"),
        (("fetch", "127.0.0.1:1/a", "v1", "--media-type", "a/b\nc: d"), 2, "no media type"),
        (("fetch", "127.0.0.1:1/a", "v1", "--media-type", "€"), 2, "no media type"),
        (("push", "sha256:" + "0" * 64, "127.0.0.1:1/a"), 4, "contentdb"),
        (("push", "nonsense", "127.0.0.1:1/a"), 2, "nonsense"),
        (("export-oci", "out", "sha256:" + "0" * 64), 4, "contentdb"),
        (("import-oci", "/no/such"), 2, "/no/such"),
        (("import-oci", __file__), 1, "neither"),
    ],
)
def test_what_cannot_be_right_is_told_on_one_line(
    words: tuple[str, ...], code: int, said: str, root: Path
) -> None:
    contentdb.open(root).close()
    result = call(root, *words)
    assert result.exit_code == code, result.stderr
    assert said in only_line(result.stderr)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pull", "/nope:v1"), 4, "nope:v1"),
        (("fetch", "/nope", "v1"), 4, "check the repository"),
        (("fetch", "/a", "v1", "--media-type", "a/b"), 4, "--media-type"),
        (("push", "/a"), 1, "index or a manifest"),
    ],
)
def test_what_a_registry_lacks_names_it_the_object_and_what_to_do(
    words: tuple[str, ...], code: int, said: str, root: Path, server: Server
) -> None:
    def script(request: Request) -> Reply:
        if "/nope/" in request.path:
            return reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return IMAGE.answer(request)

    server.script = script
    with contentdb.open(root) as store:
        layer = store.add(IMAGE.layer).digest
    command, place, *more = words
    first = [layer] if command == "push" else []
    result = call(root, command, "--plain-http", *first, server.name + place, *more)
    assert result.exit_code == code, result.stderr
    line = only_line(result.stderr)
    assert said in line
    assert (server.name if command != "push" else layer) in line
    assert "contentdb ls" not in line


def test_a_password_is_taken_from_the_environment_or_dockers_file(
    root: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: Request) -> Reply:
        if request.headers.get("authorization") != "Basic bWU6cHc=":
            return reply(401, WWW_Authenticate='Basic realm="x"')
        return IMAGE.answer(request)

    server.script = script
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    refused = call(root, *here(server, "pull"))
    assert refused.exit_code == 1
    assert "--user" in only_line(refused.stderr)
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {server.name: {"auth": "bWU6cHc="}}})
    )
    assert call(root, *here(server, "pull")).exit_code == 0
    assert call(root, *here(server, "pull", "--user", "me:wrong")).exit_code == 1
    monkeypatch.setenv("CONTENTDB_REGISTRY_USER", "me:pw")
    (tmp_path / "config.json").unlink()
    assert call(root, *here(server, "pull")).exit_code == 0


def test_fetch_writes_manifests_and_blobs_as_they_are(root: Path, server: Server) -> None:
    for name, data in (("v1", IMAGE.manifest), (sha(IMAGE.layer), IMAGE.layer)):
        result = run(root, "fetch", "--plain-http", f"{server.name}/a/b", name)
        assert (result.returncode, result.stdout) == (0, data)
    manifest = ("--media-type", MANIFEST)
    result = run(root, "fetch", "--plain-http", f"{server.name}/a/b", TOP, *manifest)
    assert result.stdout == IMAGE.manifest
    assert not root.exists()


@pytest.mark.parametrize("status", [401, 403, 405, 307, 200])
def test_fetch_needs_no_head(root: Path, server: Server, status: int) -> None:
    """Registries refuse it, redirect it to a URL that is signed for GET, or tell no length."""

    def script(request: Request) -> Reply:
        if request.method == "HEAD":
            return reply(status, Location=f"http://{server.name}/signed-for-get")
        return IMAGE.answer(request)

    server.script = script
    result = run(root, "fetch", "--plain-http", f"{server.name}/a/b", sha(IMAGE.layer))
    assert (result.returncode, result.stdout) == (0, IMAGE.layer)


def test_fetch_goes_on_after_a_cut_though_nobody_told_the_size(root: Path, server: Server) -> None:
    def script(request: Request) -> Reply:
        head, _, body = bytes(IMAGE.answer(request)).partition(b"\r\n\r\n")
        return iter([head + b"\r\n\r\n" + body[:100_000]])

    server.script = script
    result = run(root, "fetch", "--plain-http", f"{server.name}/a/b", sha(IMAGE.layer))
    assert (result.returncode, result.stdout) == (0, IMAGE.layer)
    assert len(server.requests) == 4


def test_fetch_of_wrong_bytes_fails(root: Path, server: Server) -> None:
    server.script = lambda _request: reply(200, b"other")
    result = run(root, "fetch", "--plain-http", f"{server.name}/a/b", sha(b"right"))
    assert result.returncode == 1
    assert "is not to be used" in only_line(result.stderr)
