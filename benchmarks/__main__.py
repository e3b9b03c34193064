"""Run, report, compare, profile: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.cases import Case, Scale, cases
from benchmarks.results import Results

ROUNDS = 5
QUICK = Scale(counts=0.1, largest=64 << 20, rows=(1_000, 10_000, 100_000), rivals=True)
README = report.HERE.parent / "README.md"


def main(arguments: list[str] | None = None) -> int:
    """Do one part; 0 when it went well."""
    options = _parser().parse_args(arguments)
    answer: int = options.do(options)
    return answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = parser.add_subparsers(required=True, metavar="PART")
    add = parts.add_parser("run", help="measure; print the tables, keep the figures as JSON")
    _measuring(add)
    add.add_argument(
        "--out", type=Path, help="where the JSON goes (default: a dated file in --scratch)"
    )
    add.add_argument(
        "--record", action="store_true", help="make it the recorded run of README and plots"
    )
    add.set_defaults(do=_run)
    add = parts.add_parser("list", help="the cases: workload, contestant, count and size")
    _measuring(add)
    add.set_defaults(do=_list)
    add = parts.add_parser(
        "readme", help="tables and plots from the recorded run, here and in README.md"
    )
    add.add_argument(
        "--check", action="store_true", help="change nothing; 1 if they are not current"
    )
    add.set_defaults(do=_readme)
    add = parts.add_parser("show", help="the tables of a JSON file")
    add.add_argument("results", type=Path)
    add.set_defaults(do=_show)
    add = parts.add_parser("compare", help="with a JSON file, or a commit in interleaved rounds")
    add.add_argument("base", help="a file from `run --out`, or what git calls a commit")
    _measuring(add)
    add.set_defaults(do=_compare)
    add = parts.add_parser("profile", help="where the time of one workload goes")
    add.add_argument("--subject", default="contentdb add")
    add.add_argument("--count", type=int, default=2000)
    add.add_argument("--size", type=int, default=1024, help="bytes")
    add.add_argument("--scratch", type=Path, default=Path("/tmp"))  # noqa: S108 - a fresh directory in it
    add.set_defaults(do=_profile)
    add = parts.add_parser("limits", help="from the floor to contentdb, one thing more a row")
    add.add_argument("--rounds", type=int, default=ROUNDS)
    add.add_argument("--count", type=int, default=3000, help="objects of 1 KiB")
    add.add_argument("--scratch", type=Path, default=Path("/tmp"))  # noqa: S108 - a fresh directory in it
    add.set_defaults(do=_limits)
    return parser


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="a tenth, one round, no 1 GiB, no 1M rows"
    )
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, with --quick 1")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the counts of objects")
    parser.add_argument(
        "--only", default="", help="cases whose WORKLOAD/CONTESTANT this expression finds"
    )
    parser.add_argument("--no-rivals", action="store_true", help="floors and contentdb only")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path("/tmp"),  # noqa: S108 - a fresh directory is made in it
        help="a directory on the filesystem to measure; 40 GB for all of it (default %(default)s)",
    )


def _chosen(options: argparse.Namespace) -> tuple[list[Case], int]:
    scale = QUICK if options.quick else Scale()
    scale = scale._replace(counts=scale.counts * options.scale, rivals=not options.no_rivals)
    found = [case for case in cases(scale) if re.search(options.only, case.name)]
    return found, options.rounds or (1 if options.quick else ROUNDS)


def _measure(options: argparse.Namespace) -> Results:
    from benchmarks.runner import Runner

    chosen, rounds = _chosen(options)
    runner = Runner(options.scratch, say=lambda text: print(text, file=sys.stderr, flush=True))
    settings: dict[str, object] = {
        "quick": options.quick,
        "scale": options.scale,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    try:
        return runner.run(chosen, rounds, settings=settings)
    finally:
        runner.close()


def _run(options: argparse.Namespace) -> int:
    results = _measure(options)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    out = options.out or options.scratch / f"contentdb-bench-{stamp}.json"
    results.save(out)
    print(report.page(results))
    print(f"kept: {out}", file=sys.stderr)
    if options.record:
        results.save(report.RECORDED)
        return _write(check=False)
    return 0


def _limits(options: argparse.Namespace) -> int:
    from benchmarks.limits import table

    print(table(options.scratch, options.rounds, options.count))
    return 0


def _list(options: argparse.Namespace) -> int:
    for case in _chosen(options)[0]:
        print(f"{case.workload:26} {case.subject:36} {case.times:9,} x {case.size:,}")
    return 0


def _show(options: argparse.Namespace) -> int:
    print(report.page(Results.load(options.results)))
    return 0


def _readme(options: argparse.Namespace) -> int:
    return _write(check=options.check)


def _write(*, check: bool) -> int:
    results = Results.load(report.RECORDED)
    blocks = {report.HERE / "README.md": report.page(results), README: report.front(results)}
    for path, block in blocks.items():
        if not path.exists():
            print(f"{path} is not there", file=sys.stderr)
            continue
        text = path.read_text(encoding="utf-8")
        made = report.replaced(text, block)
        if check and made != text:
            print(f"{path} is not current: python -m benchmarks readme", file=sys.stderr)
            return 1
        if not check:
            path.write_text(made, encoding="utf-8")
    if not check:
        from benchmarks.plots import draw

        draw(results, report.HERE)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from benchmarks.compare import against_commit, against_run
    from benchmarks.runner import Runner

    if Path(options.base).is_file():
        print(against_run(Results.load(Path(options.base)), _measure(options)))
        return 0
    chosen, rounds = _chosen(options)
    runner = Runner(options.scratch)
    try:
        print(against_commit(runner, options.base, chosen, max(3, rounds)))
    finally:
        runner.close()
    return 0


def _profile(options: argparse.Namespace) -> int:
    from benchmarks.hotspots import profile

    for text in profile(options.subject, options.count, options.size, options.scratch):
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
