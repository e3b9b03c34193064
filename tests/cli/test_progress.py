"""Progress is shown on a terminal, after a second, and nowhere else."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

from tests.cli.shell import digest_of, only_line, start

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"0123456789"


def test_a_terminal_gets_a_bar_that_goes_away(root: Path) -> None:
    screen, terminal = pty.openpty()
    with start(root, "ingest", "--expected-size", 10, "a ref", stderr=terminal) as process:
        os.close(terminal)
        assert process.stdin is not None
        process.stdin.write(CONTENT[:5])
        process.stdin.flush()
        shown = b""
        while b"5/10 bytes" not in shown:  # it comes by itself
            shown += os.read(screen, 4096)
        assert b"a ref" in shown
        out, _ = process.communicate(CONTENT[5:])
        assert (process.returncode, only_line(out)) == (0, digest_of(CONTENT))
        assert rest(screen).endswith(b"\x1b[2K")  # the line is wiped
    os.close(screen)


def test_an_interrupted_bar_gives_the_cursor_back(root: Path) -> None:
    screen, terminal = pty.openpty()
    with start(root, "ingest", "r", stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while b"bytes" not in shown:
            shown += os.read(screen, 4096)
        process.terminate()
        assert process.wait() == 143
        shown += rest(screen)
    os.close(screen)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert shown.endswith(b"run the same command again\r\n")


def test_a_pipe_gets_none_however_long_it_takes(root: Path) -> None:
    """Beside one that shows a bar, which says that the second is over."""
    screen, terminal = pty.openpty()
    with (
        start(root, "ingest", "quiet") as quiet,
        start(root, "ingest", "shown", stderr=terminal) as shown,
    ):
        os.close(terminal)
        assert os.read(screen, 1)
        assert shown.communicate(b"")[0]
        assert quiet.communicate(b"")[1] == b""
    os.close(screen)


def test_quiet_is_quiet_on_a_terminal_too(root: Path) -> None:
    """Beside one that shows a bar, as above."""
    (screen, terminal), (other_screen, other) = pty.openpty(), pty.openpty()
    with (
        start(root, "ingest", "-q", "quiet", stderr=terminal) as quiet,
        start(root, "ingest", "shown", stderr=other) as shown,
    ):
        os.close(terminal)
        os.close(other)
        assert os.read(other_screen, 1)
        shown.communicate(b"")
        quiet.communicate(b"")
        assert rest(screen) == b""
    os.close(screen)
    os.close(other_screen)


def rest(screen: int) -> bytes:
    """All that is still to be read from a terminal that was closed at its other end."""
    found = b""
    while True:
        try:
            piece = os.read(screen, 4096)
        except OSError:  # Linux says EIO where the last one has closed
            return found
        if not piece:
            return found
        found += piece
