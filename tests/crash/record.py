"""Run one scenario in this process, for a recorder that watches it from outside.

``python -m tests.crash.record SCENARIO ROOT LEDGER``: the ledger is a file outside the root. With
a fourth argument, ``wait``, it says ``ready`` once all is imported, and begins on a line of input.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from tests.crash import mutants

mutants.apply(os.environ.get("CRASH_MUTANT"))  # before anything of contentdb is imported

from tests.crash.fewshards import keep_few  # noqa: E402
from tests.crash.ledger import Ledger  # noqa: E402
from tests.crash.scenarios import SCENARIOS  # noqa: E402

_PR_SET_PTRACER = 0x59616D61
"""Where only ancestors may trace, let anybody."""


def main() -> None:
    """Run it, and end as a killed process does: nothing is closed on the way out."""
    name, root, ledger = sys.argv[1:4]
    keep_few()
    if sys.argv[4:] == ["wait"]:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        print("ready", flush=True)  # noqa: T201 - the recorder waits for it
        sys.stdin.readline()
    said = Ledger(os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    try:
        SCENARIOS[name].run(Path(root), said)
    except Exception as error:  # noqa: BLE001 - the recorder judges it
        said.failed(error)
    os._exit(0)


if __name__ == "__main__":
    main()
