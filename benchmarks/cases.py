"""The questions: which workload is put to whom, how often, and what floor it is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Case", "Scale", "cases"]

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

NO_SYNC = "floor, no sync"
FILE = "floor, file"
BOTH = "floor, file + directory"
GROUP = "floor, syncfs per 1,000"
APPEND = "floor, append"
INDEX_ONLY = "its index was filled by SQL: rows without files"


class Case(NamedTuple):
    """One workload for one contestant, measured once in each round."""

    workload: str
    subject: str
    do: str
    """The function of `workloads.WORKLOADS` that runs it."""
    times: int
    size: int = KIB
    floor: str = ""
    """The contestant that its ratio is taken to."""
    rounds: int = 99
    """At most so many."""
    rows: int = 0
    """Rows that the store's index holds beforehand."""
    jobs: int = 1
    note: str = ""

    @property
    def name(self) -> str:
        """The key in results and figures."""
        return f"{self.workload}/{self.subject}"


class Scale(NamedTuple):
    """How much: factors on the counts and limits on sizes."""

    counts: float = 1.0
    largest: int = GIB
    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    rivals: bool = True

    def of(self, count: int) -> int:
        """Scale a count, never below 2."""
        return max(2, round(count * self.counts))


SINGLE = (
    (NO_SYNC, ""),
    (FILE, ""),
    (BOTH, ""),
    ("contentdb add", BOTH),
    ("contentdb writer", BOTH),
    ("contentdb add, process", NO_SYNC),
    ("disk-objectstore loose", FILE),
    ("diskcache", NO_SYNC),
    ("hashfs", NO_SYNC),
    ("git hash-object", FILE),
)
LARGE = (
    ("hashing alone", ""),
    ("writing alone", ""),
    ("writing alone, fsync", ""),
    (BOTH, "writing alone, fsync"),
    ("contentdb add", "writing alone, fsync"),
    ("contentdb add, process", "writing alone"),
    ("disk-objectstore loose", "writing alone, fsync"),
    ("diskcache", "writing alone"),
)


def cases(scale: Scale) -> list[Case]:
    """List them, those that delete at the end."""
    found = [
        *_fills(scale),
        *_many(scale),
        *_packed(scale),
        *_reads(scale),
        *_index(scale),
        *_commands(scale),
    ]
    rivals = {"disk-objectstore", "diskcache", "hashfs", "git"}
    if not scale.rivals:
        found = [case for case in found if case.subject.split()[0] not in rivals]
    return [*found, *_deletes(scale)]


def _fills(scale: Scale) -> Iterator[Case]:
    for workload, size, count in (
        ("fill_small", KIB, 2000),
        ("fill_4k", 4 * KIB, 1000),
        ("fill_512k", 512 * KIB, 100),
        ("fill_1m", MIB, 60),
    ):
        for subject, floor in SINGLE:
            yield Case(workload, subject, "fill", scale.of(count), size, floor)
    for subject in (APPEND, "contentdb packed add", "contentdb packed writer"):
        yield Case("fill_small", subject, "fill", scale.of(2000), KIB, BOTH)
    yield Case("fill_small", "contentdb add, cache", "fill", scale.of(2000), KIB, BOTH)
    yield Case("fill_512k", "contentdb add, large cache", "fill", scale.of(100), 512 * KIB, BOTH)
    for workload, size, count in (("fill_large_64m", 64 * MIB, 4), ("fill_large_1g", GIB, 1)):
        if size <= scale.largest:
            for subject, floor in LARGE:
                yield Case(workload, subject, "fill_large", count, size, floor, rounds=3)
            if size < GIB:
                yield Case(workload, "hashfs", "fill_large", count, size, "writing alone", rounds=3)
                floor = "writing alone, fsync"
                yield Case(workload, "git hash-object", "fill_large", count, size, floor, rounds=3)


def _packed(scale: Scale) -> Iterator[Case]:
    packed = "contentdb packed add_many"
    for workload in ("pack_many", "reindex_packed"):
        yield Case(f"{workload}_1m", packed, workload, scale.of(1_000_000), rounds=1)
    for name, rows in (("1k", 1_000), ("1m", 1_000_000)):
        yield Case(f"add_at_packed_{name}", packed, "add_at_packed", scale.of(rows), rounds=1)
    for subject in ("contentdb add_many", "contentdb CLI"):
        floor = "" if subject == "contentdb add_many" else "contentdb add_many"
        yield Case("add_files", subject, "add_files", scale.of(20_000), floor=floor)


def _many(scale: Scale) -> Iterator[Case]:
    for subject in (
        GROUP,
        "contentdb add_many",
        "contentdb batch",
        "contentdb packed add_many",
        "disk-objectstore packed",
        "disk-objectstore packed, one call",
    ):
        floor = "" if subject == GROUP else GROUP
        yield Case("fill_bulk", subject, "fill_bulk", scale.of(20_000), floor=floor)
    for kind in ("threads", "processes"):
        for jobs in (1, 2, 8):
            for subject, floor in (
                (BOTH, ""),
                ("contentdb add", BOTH),
                ("contentdb packed add", BOTH),
            ):
                workload = f"fill_parallel_{jobs}_{kind}"
                count = scale.of(2000) // jobs * jobs or jobs
                yield Case(workload, subject, f"fill_{kind}", count, floor=floor, jobs=jobs)
    for subject, floor in (
        (BOTH, ""),
        ("contentdb writer", BOTH),
    ):
        yield Case("resume", subject, "resume", scale.of(50), MIB, floor)
    for subject, floor in (
        (NO_SYNC, ""),
        ("contentdb add", NO_SYNC),
        ("contentdb writer", NO_SYNC),
        ("disk-objectstore loose", NO_SYNC),
        ("diskcache", NO_SYNC),
        ("hashfs", NO_SYNC),
        ("git hash-object", NO_SYNC),
    ):
        note = "the floor is os.stat of the path" if subject == NO_SYNC else ""
        yield Case(
            "fill_duplicate", subject, "fill_duplicate", scale.of(5000), floor=floor, note=note
        )
    for subject, floor in ((NO_SYNC, ""), ("contentdb add_many", NO_SYNC)):
        workload, count = "fill_duplicate_many", scale.of(5000)
        yield Case(workload, subject, workload, count, floor=floor)


def _reads(scale: Scale) -> Iterator[Case]:
    for subject, floor in (
        (NO_SYNC, ""),
        ("contentdb add_many", NO_SYNC),
        ("contentdb open", NO_SYNC),
        ("contentdb packed add_many", NO_SYNC),
        ("disk-objectstore loose", NO_SYNC),
        ("disk-objectstore packed", NO_SYNC),
        ("diskcache", NO_SYNC),
        ("hashfs", NO_SYNC),
        ("git hash-object", NO_SYNC),
    ):
        note = "open().read() of the path" if subject == NO_SYNC else ""
        yield Case("read_random", subject, "read_random", scale.of(5000), floor=floor, note=note)


def _index(scale: Scale) -> Iterator[Case]:
    plain = "SELECT by sqlite3"
    for rows in scale.rows:
        name, first, last = _short(rows), rows == scale.rows[0], rows == scale.rows[-1]
        if not first:
            for subject, floor in ((plain, ""), ("contentdb add", plain)):
                yield Case(
                    f"walk_{name}", subject, "walk", rows, floor=floor, rows=rows, note=INDEX_ONLY
                )
        if last:
            for workload, count in (("walk_label", 20), ("walk_page", 100)):
                yield Case(
                    f"{workload}_{name}",
                    "contentdb add",
                    workload,
                    count,
                    rows=rows,
                    note=INDEX_ONLY,
                )
        if first or last:
            yield Case(
                f"open_store_{name}", "contentdb add", "open_store", 30, rows=rows, note=INDEX_ONLY
            )
        yield Case(
            f"add_at_{name}", "contentdb add", "fill", scale.of(1000), rows=rows, note=INDEX_ONLY
        )
    for subject in ("disk-objectstore packed", "hashfs", "git hash-object", NO_SYNC):
        yield Case("walk_10k", subject, "walk_filled", 10_000, floor=plain)


def _commands(scale: Scale) -> Iterator[Case]:
    plain = "python -c pass"
    for workload in (
        "cli_path",
        "cli_cat",
        "cli_info",
        "cli_ingest",
        "cli_add",
        "cli_active",
        "cli_ls",
    ):
        for subject in (plain, "contentdb CLI", "git CLI"):
            if subject == "git CLI" and workload not in {"cli_path", "cli_cat", "cli_add"}:
                continue
            floor = "" if subject == plain else plain
            note = "CPU time of the process, not the clock's"
            yield Case(workload, subject, workload, max(5, scale.of(15)), floor=floor, note=note)


def _deletes(scale: Scale) -> Iterator[Case]:
    for subject, floor in (
        (BOTH, ""),
        ("contentdb add_many", BOTH),
        ("contentdb packed add_many", BOTH),
        ("diskcache", ""),
        ("disk-objectstore loose", ""),
    ):
        yield Case("delete", subject, "delete", scale.of(1000), floor=floor)


def _short(rows: int) -> str:
    return f"{rows // 1_000_000}m" if rows >= 1_000_000 else f"{rows // 1000}k"
