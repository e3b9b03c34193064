"""Ctrl-C and SIGTERM at any point of a command: a line or silence, its exit code, no lock left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import contentdb
from tests.cli.shell import PROGRAM, only_line, wait_until

POINTS = """
import os, sys
number, wanted = map(int, sys.argv[1:3])
sent = sys.argv[3]
del sys.argv[1:4]
count = 0

def look(frame, event, argument):
    '''Count the points at which Python runs a handler, and send a signal at the one wanted.'''
    global count
    if not count and frame.f_code is not main.__code__:
        return
    if event == "c_call" and argument is os._exit and not wanted:
        print("points", count, file=sys.stderr)
    if event in ("call", "c_return"):
        count += 1
        if count == wanted:
            os.mkdir(sent)
            os.kill(os.getpid(), number)

from contentdb.cli import main
sys.setprofile(look)
main()
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run_to(point: int, number: int, root: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command, and send it a signal once it has come to a point; 0 counts them."""
    sent = root.parent / f"sent-{point}"
    command = [sys.executable, "-c", POINTS, number, point, sent, "--root", root, *words]
    with (root.parent / "input").open("rb") as stdin:
        return subprocess.run(
            list(map(str, command)), stdin=stdin, capture_output=True, text=True, check=False
        )


@pytest.fixture
def root(root: Path) -> Path:
    """A store, and a file beside it."""
    contentdb.open(root).close()
    (root.parent / "input").write_bytes(os.urandom(3 << 20))
    return root


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("add", "INPUT"), signal.SIGINT),
        (("ingest", "r"), signal.SIGTERM),
        (("ls", "--filter", "labels.k~=v"), signal.SIGINT),
    ],
)
def test_a_signal_at_any_point_is_a_line_or_silence(
    root: Path, words: tuple[str, ...], number: signal.Signals
) -> None:
    words = tuple(word.replace("INPUT", str(root.parent / "input")) for word in words)
    counted = run_to(0, number, root, *words)
    assert counted.returncode == 0
    points = int(only_line(counted.stderr).split()[-1])
    assert points > 1000
    for point in (2, 3, *range(points // 8, points - 10, points // 6), points - 1):
        (root.parent / "input").write_bytes(os.urandom(3 << 20))
        done = run_to(point, number, root, *words)
        if not (root.parent / f"sent-{point}").exists():  # it took another way, and ended before
            continue
        assert done.returncode in {CODES[number], -number}, (point, done)  # a shell's code of both
        assert "Traceback" not in done.stderr, (point, done)
        assert not done.stderr or only_line(done.stderr).startswith("contentdb: interrupted")
        with contentdb.open(root) as store:
            store.writer("r").close()


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("words", [("add", "INPUT"), ("ingest", "r"), ("cat", "DIGEST")])
def test_signals_without_end_are_a_line_or_silence(
    root: Path, words: tuple[str, ...], number: signal.Signals
) -> None:
    """As Ctrl-C that is held down; it may begin anywhere, so the test begins where we listen."""
    with contentdb.open(root) as store:
        digest = store.add(os.urandom(2 << 20)).digest
    os.mkfifo(root.parent / "pipe")  # nobody will ever write into it
    pipe = os.open(root.parent / "pipe", os.O_RDWR)
    places = {"INPUT": str(root.parent / "pipe"), "DIGEST": digest}
    process = subprocess.Popen(
        [*PROGRAM, "--root", str(root), *(places.get(word, word) for word in words)],
        stdin=pipe,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: listens(process.pid, signal.SIGTERM))  # to SIGINT Python listens itself
    while process.poll() is None:
        process.send_signal(number)
    _, told = process.communicate()
    os.close(pipe)
    assert process.returncode == CODES[number]
    assert not told or only_line(told).startswith("contentdb: interrupted")
    with contentdb.open(root) as store:
        store.writer("r").close()


def listens(pid: int, number: int) -> bool:
    """Whether the process has a handler for a signal, as told by proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def test_a_process_that_is_to_ignore_interrupts_does(root: Path) -> None:
    """As a shell asks of what it runs in the background."""
    words = [
        "sh",
        "-c",
        'trap "" INT; exec "$@"',
        "sh",
        *PROGRAM,
        "--root",
        str(root),
        "ingest",
        "r",
    ]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_until(lambda: listens(process.pid, signal.SIGTERM))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(b"hello")
    assert process.returncode == 0
    assert out.startswith(b"sha256:2cf24dba")


def test_an_interrupt_that_nothing_can_raise_ends_the_process(root: Path) -> None:
    """In a finalizer, Python would tell it on standard error, forget it, and go on."""
    code = """
import os, signal, sys
from contentdb.cli import app, main

class Forgotten:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def run(*_args, **_options):
    forgotten = Forgotten()
    del forgotten
    print("went on")

app.contentdb.main = run
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
