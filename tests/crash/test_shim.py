"""The shim sees every way to name a file, and strikes where it is told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash import shim
from tests.crash.shim import ALL_CALLS, CHANGING_CALLS, Control, Mode

if TYPE_CHECKING:
    from pathlib import Path

# Every call is relative to a directory descriptor, the file is unnamed until it is linked.
_WORK = """
import os, sys
root = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=root)
os.write(fd, b"12345678")
os.fsync(fd)
os.link(f"/proc/self/fd/{fd}", "a", src_dir_fd=root, dst_dir_fd=root, follow_symlinks=True)
os.mkdir("d", dir_fd=root)
os.rename("a", "d/b", src_dir_fd=root, dst_dir_fd=root)
os.stat("d/b", dir_fd=root)
os.unlink("d/b", dir_fd=root)
os.fsync(root)
"""


def _run(
    root: Path,
    tmp_path: Path,
    watched: Path | None = None,
    **aim: Any,  # noqa: ANN401 - of several types
) -> tuple[int, str, Control]:
    library = shim.build()
    if library is None:
        pytest.skip("needs gcc to build the shim; .ci/run installs it")
    control = Control(tmp_path / "control")
    control.aim(watched or root, **aim)
    control.arm()
    environment = os.environ | {"LD_PRELOAD": str(library), "CRASH_CONTROL": str(control.path)}
    done = subprocess.run(
        [sys.executable, "-c", _WORK, root],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, control


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


def test_calls_by_descriptor_and_name_are_counted(root: Path, tmp_path: Path) -> None:
    code, _, control = _run(root, tmp_path, mask=CHANGING_CALLS)
    assert code == 0
    assert [(call.name, call.path) for call in control.calls if "#" not in call.path] == [
        ("open", "/"), ("create-unnamed", "/."), ("link", "/a"), ("mkdir", "/d"),
        ("rename", "/d/b"), ("unlink", "/d/b"), ("fsync", "/"),
    ]  # fmt: skip
    assert [call.name for call in control.calls if "#" in call.path] == ["write", "fsync"]


def test_what_is_outside_of_the_root_is_left_alone(root: Path, tmp_path: Path) -> None:
    _, _, control = _run(root, tmp_path, root.with_name("roo"), mask=ALL_CALLS)
    assert control.count == 0


def test_the_process_dies_before_the_chosen_call(root: Path, tmp_path: Path) -> None:
    code, _, control = _run(root, tmp_path, mode=Mode.KILL, target=4, mask=CHANGING_CALLS)
    assert code == -9
    assert [call.name for call in control.calls] == ["link"]
    assert not list(root.iterdir())


def test_the_chosen_call_fails(root: Path, tmp_path: Path) -> None:
    aim: dict[str, Any] = {
        "mode": Mode.FAIL,
        "target": 3,
        "error": errno.EIO,
        "mask": CHANGING_CALLS,
    }
    code, trace, _ = _run(root, tmp_path, **aim)
    assert code == 1
    assert "os.fsync(fd)" in trace or "Input/output error" in trace


def test_half_a_write_is_reported_as_half(root: Path, tmp_path: Path) -> None:
    aim: dict[str, Any] = {"mode": Mode.SHORTEN, "target": 2, "mask": CHANGING_CALLS}
    code, _, _ = _run(root, tmp_path, **aim)
    assert code == 0
