"""Where one workload's time goes: by function, by place, by system call. Source text.

Each view is taken in a run of its own, since each slows the run down in its own way: cProfile
makes short functions look dear, strace makes system calls look dear, sampling neither.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contestants import entry
from benchmarks.material import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["profile"]

_PERIOD_S = 0.001
_LINES = 25
_LIMIT_S = 300


def profile(subject: str, count: int, size: int, scratch: Path) -> Iterator[str]:
    """Give the views one after the other."""
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch) as directory:
        root = Path(directory)
        seconds = _fill(subject, root / "plain", count, size)
        each = f"{1e6 * seconds / count:.0f} µs each, undisturbed"
        yield f"{subject}: {count} objects of {size} bytes, {each}\n"
        yield "By place (a sample each ms, innermost line of contentdb; waiting counts)"
        yield _sampled(subject, root / "sampled", count, size)
        yield "By function (cProfile, own time; a call costs it about 1 µs)"
        yield _profiled(subject, root / "profiled", count, size)
        yield "By system call (strace; each call costs it 20 to 50 µs, so compare counts and waits)"
        yield _traced(subject, root / "traced", count, size)


def _fill(subject: str, directory: Path, count: int, size: int) -> float:
    directory.mkdir()
    store = entry(subject).make(directory)
    items = objects(count, size)
    store.put(objects(1, size)[0])
    start = perf_counter()
    for _ in store.put_many(items):
        pass
    seconds = perf_counter() - start
    store.close()
    return seconds


def _sampled(subject: str, directory: Path, count: int, size: int) -> str:
    places: Counter[str] = Counter()
    stop = threading.Event()
    main = threading.get_ident()

    def sample() -> None:
        while not stop.wait(_PERIOD_S):
            frame = sys._current_frames().get(main)  # noqa: SLF001 - the sampler's only way in
            while frame and not frame.f_globals.get("__name__", "").startswith("contentdb"):
                frame = frame.f_back
            if frame:
                code = frame.f_code
                places[f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}"] += 1

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    _fill(subject, directory, count, size)
    stop.set()
    thread.join()
    whole = places.total() or 1
    return "".join(f"  {100 * n / whole:5.1f} %  {p}\n" for p, n in places.most_common(_LINES))


def _profiled(subject: str, directory: Path, count: int, size: int) -> str:
    profiler = cProfile.Profile()
    profiler.runcall(_fill, subject, directory, count, size)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(_LINES)
    return text.getvalue()


def _traced(subject: str, directory: Path, count: int, size: int) -> str:
    if not shutil.which("strace"):
        return "  strace is not installed\n"
    program = (
        "import sys; from pathlib import Path; from benchmarks.hotspots import _fill; "
        f"_fill({subject!r}, Path({str(directory)!r}), {count}, {size})"
    )
    report = directory.with_suffix(".txt")
    subprocess.run(
        [
            "strace",
            "-f",
            "-c",
            "-w",
            "-S",
            "time",
            "-o",
            str(report),
            sys.executable,
            "-c",
            program,
        ],
        check=True,
        cwd=Path(__file__).parents[1],
        timeout=_LIMIT_S,
    )
    return "".join(f"{line}\n" for line in report.read_text().splitlines()[: _LINES + 2])
