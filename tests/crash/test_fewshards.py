"""The suites look into the few shards that they use, or they try a fraction of their cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.crash.fewshards import CONTENTS
from tests.crash.ledger import digest_of

_CHECKOUT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import sys, contentdb
from contentdb import files
from tests.crash.fewshards import CONTENTS, keep_few
from tests.crash.ledger import content
keep_few()
opened, real = [], files.open_directory
files.open_directory = lambda name, **given: opened.append(name) or real(name, **given)
with contentdb.open(sys.argv[1]) as store:
    store.add(content(CONTENTS[0]))
    opened.clear()
    assert list(store.verify()) == []
    store.prune(older_than=0)
print(len({name for name in opened if len(name) == 2}))
"""


def test_upkeep_lists_only_the_shards_that_are_kept(tmp_path: Path) -> None:
    few = {digest_of(number)[7:9] for number in CONTENTS}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, tmp_path / "store"],
        cwd=_CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{len(few)}\n", done.stderr
