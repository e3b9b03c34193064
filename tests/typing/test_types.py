"""What users write type-checks, and their mistakes do not: `accepted.py`, `refused.py`.

pyright agrees; it is run by hand, as its package fetches a runtime of its own: ``pyright
tests/typing`` refuses the same lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


@pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy, which the dev group brings")
def test_mypy_refuses_the_marked_lines_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty",
         str(_HERE / "accepted.py"), str(_HERE / "refused.py")],
        cwd=_HERE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    found = re.findall(r"^(.+\.py):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    text = (_HERE / "refused.py").read_text()
    marked = {n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# refused")}
    elsewhere = [line for line in found if not line[0].endswith("refused.py")]
    assert elsewhere == []
    assert {int(number) for _, number, _ in found} == marked
