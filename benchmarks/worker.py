"""One measurement in a fresh process: a case comes in as JSON, its sample goes out as JSON.

``python -m benchmarks.worker '{"case": {…}, "directory": "…", "fixture": null}'``
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.measure import Job
from benchmarks.workloads import WORKLOADS

__all__: list[str] = []


def main(text: str) -> None:
    """Run what the text says."""
    order = json.loads(text)
    if "make_index" in order:
        from benchmarks.fixtures import make_index

        make_index(Path(order["directory"]), order["make_index"])
        return
    fixture = order["fixture"] and Path(order["fixture"])
    job = Job(Case(**order["case"]), Path(order["directory"]), fixture)
    gc.freeze()
    sample = WORKLOADS[job.case.do](job)
    known = {name: value for name, value in sample._asdict().items() if value is not None}
    print(json.dumps(known))


if __name__ == "__main__":
    main(sys.argv[1])
