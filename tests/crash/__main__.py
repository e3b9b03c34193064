"""Run the crash suites: ``python -m tests.crash [SUITE …] [--share | --case CASE]``.

Without a name all suites run, whole, and ``docs/reliability.md`` is written. The exit code is 1
if a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.crash.report import Row, write
from tests.crash.suite import Outcome, Plan, Suite, UnavailableError, Violation
from tests.crash.table import suites


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("suite", nargs="*", help="suites to run; none means all")
    parser.add_argument("--share", action="store_true", help="what `make test` runs of each")
    parser.add_argument("--case", help="repeat one case of one suite")
    parser.add_argument("--seed", type=int, default=1, help="draws the samples")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--limit", type=int, help="cases of each suite, at most")
    parser.add_argument("--seconds", type=float, help="time for each suite, at most")
    parser.add_argument("--mutant", help="break the store in this way first")
    parser.add_argument("--scenario", action="append", default=[], help="only these")
    parser.add_argument("--report", action="store_true", help="write docs/reliability.md")
    return parser.parse_args()


def _plan(suite: Suite, asked: argparse.Namespace) -> Plan:
    plan = suite.share if asked.share else suite.whole
    changes = {"limit": asked.limit, "seconds": asked.seconds, "scenarios": tuple(asked.scenario)}
    plan = plan._replace(**{name: value for name, value in changes.items() if value})
    return plan._replace(seed=asked.seed, jobs=asked.jobs, case=asked.case, mutant=asked.mutant)


def _run(suite: Suite, plan: Plan) -> Row:
    began = time.monotonic()
    try:
        outcome = suite.run(plan)
    except UnavailableError as error:
        outcome = Outcome(0, [], f"skipped: {error}")
    except Exception as error:  # noqa: BLE001 - the other suites go on, and the run fails
        traceback.print_exc()
        outcome = Outcome(0, [Violation("", f"the suite itself failed: {error!r}")])
    row = Row(suite.name, suite.title, outcome, time.monotonic() - began)
    print(outcome.line(suite.name), f"in {row.took_s:.0f} s", flush=True)  # noqa: T201 - it is a program
    return row


def main() -> int:
    """Run what was asked for."""
    asked = _arguments()
    known = suites()
    chosen = [known[name] for name in asked.suite] if asked.suite else list(known.values())
    rows: list[Row] = []
    for suite in chosen:
        rows.append(_run(suite, _plan(suite, asked)))
        if asked.report or not asked.suite:  # each at once: a run that is cut off keeps its rows
            write(rows[-1:], share=asked.share)
    return int(any(row.outcome.violations for row in rows))


if __name__ == "__main__":
    sys.exit(main())
