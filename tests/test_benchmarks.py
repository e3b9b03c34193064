"""The benchmarks run, ask what they promise to ask, and their tables come from recorded runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from benchmarks import large, report
from benchmarks.__main__ import main
from benchmarks.cases import Case, Scale, cases
from benchmarks.collection import Sizes, figures
from benchmarks.contestants import entry, missing
from benchmarks.figures import FIGURES
from benchmarks.images import make_images
from benchmarks.material import Stream, objects
from benchmarks.measure import Sample
from benchmarks.plots import draw
from benchmarks.results import Results, Row
from benchmarks.runner import Runner
from benchmarks.subject import Entry, Subject
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path

PROMISED = (
    *("fill_small", "fill_4k", "fill_512k", "fill_1m", "fill_large_64m", "fill_large_1g"),
    *("fill_bulk", "fill_duplicate", "resume", "read_random", "walk_10k", "walk_100k", "walk_1m"),
    *(f"fill_parallel_{n}_{kind}" for n in (1, 2, 8) for kind in ("threads", "processes")),
    *("walk_label_1m", "walk_page_1m", "delete", "open_store_1m", "cli_path", "cli_ingest"),
    *("pack_many_1m", "reindex_packed_1m", "add_at_packed_1m", "add_files"),
)
FLOOR, OURS, RIVAL = "floor, file + directory", "contentdb add", "diskcache"


def row(subject: str, kind: str, *seconds: float | None, floor: str = "") -> Row:
    case = Case("fill_small", subject, "fill", 100, floor=floor)
    samples = tuple(
        None if one is None else Sample(100, 102_400, one, 1.0, 2.0, 3.0) for one in seconds
    )
    return Row(case, kind, "yes", samples)


@pytest.fixture
def results() -> Results:
    rows = [
        row(FLOOR, "floor", 1.0, 2.0, 1.0),
        row(OURS, "contentdb", 2.0, 4.0, 1.25, floor=FLOOR),
        row(RIVAL, "rival", 1.0, 1.0, None, floor=FLOOR),
    ]
    machine = {"cpu": "a cpu", "cores": "2", "filesystem": "ext4 (rw)"}
    return Results(machine, {"rounds": 3}, rows, {"hashfs": "the package hashfs is not installed"})


def test_every_promised_workload_has_cases_and_all_of_them_can_run() -> None:
    everything = cases(Scale())
    assert set(PROMISED) <= {case.workload for case in everything}
    assert {case.do for case in everything} == set(WORKLOADS)


def test_no_two_cases_share_a_name_and_every_floor_stands_in_the_same_workload() -> None:
    names = [case.name for case in cases(Scale())]
    assert len(names) == len(set(names))
    floors = {f"{case.workload}/{case.floor}" for case in cases(Scale()) if case.floor}
    assert floors <= set(names)


def test_every_figure_is_measured_by_the_cases_of_a_whole_run() -> None:
    samples = (Sample(10, 10, 1.0, 1.0, 1.0, 1.0, 1, 1.0),)
    rows = [Row(case, "floor", "", samples) for case in cases(Scale())]
    everything = Results({}, {}, rows, {})
    assert all(figure.values(everything) for figure in FIGURES)


def test_what_is_deleted_is_deleted_last() -> None:
    order = [case.do == "delete" for case in cases(Scale())]
    assert order == sorted(order)


def test_a_tiny_run_measures_and_its_record_reads_back_the_same(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    only = "^(fill_small|fill_4k|fill_bulk|fill_parallel_2_processes|read_random|delete)/floor"
    run = ["run", "--quick", "--scale", "0.02", "--only", only, "--scratch", str(tmp_path)]
    assert main([*run, "--out", str(out)]) == 0
    found = Results.load(out)
    assert len(found.rows) == 11
    assert all(one.rate > 0 and not one.error for one in found.rows.values())
    again = tmp_path / "again.json"
    found.save(again)
    assert again.read_bytes() == out.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "run.json"]


def test_a_case_that_fails_says_so_and_stops_no_other(tmp_path: Path) -> None:
    bad = Case("bad", "hashing alone", "resume", 2, size=0)
    good = Case("good", "floor, no sync", "fill", 2)
    runner = Runner(tmp_path, say=str)
    try:
        found = runner.run([bad, good], 1, settings={})
    finally:
        runner.close()
    assert found.rows[bad.name].samples == (None,)
    assert found.rows[bad.name].error
    assert found.rows[good.name].rate > 0


def test_ratios_pair_the_samples_of_one_round_and_leave_out_failed_ones(results: Results) -> None:
    assert results.ratios(f"fill_small/{OURS}", f"fill_small/{FLOOR}") == [0.5, 0.5, 0.8]
    assert results.ratios(f"fill_small/{RIVAL}", f"fill_small/{FLOOR}") == [1.0, 2.0]


def test_the_table_bolds_the_best_store_whoever_wins_and_names_who_is_missing(
    results: Results,
) -> None:
    text = report.page(results)
    assert "| diskcache | yes | **100**" in text
    assert "| contentdb add | yes | 50.0" in text
    assert "hashfs: the package hashfs is not installed" in text


def test_a_missed_figure_is_shown_as_missed(results: Results) -> None:
    line = next(text for text in report.figures(results).splitlines() if "by `add`, dur" in text)
    assert line.endswith("| 0.50 | 0.50 to 0.80 | **miss** |")


def test_the_front_table_bolds_a_rival_that_wins(results: Results) -> None:
    made = report.front(results)
    assert "| Store 1 KiB, durable | 50.0 | 0.50 |  |  | **100** diskcache" in made


def test_blocks_go_between_their_marks_and_nowhere_else() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    made = report.replaced(text, "new\n")
    assert made == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="no place for the benchmarks"):
        report.replaced("no marks", "new\n")


def test_the_tables_in_the_readmes_are_those_of_the_recorded_run() -> None:
    assert main(["readme", "--check"]) == 0


def test_the_same_run_draws_the_same_two_plots(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra `bench`")
    first = [path.read_bytes() for path in draw(results, tmp_path)]
    assert [path.read_bytes() for path in draw(results, tmp_path)] == first
    assert len(first) == 2


def test_a_stream_has_its_size_and_no_two_chunks_alike() -> None:
    size = (16 << 20) + 5
    stream = Stream(size)
    whole = stream.read()
    assert len(whole) == size
    assert whole[: 8 << 20] != whole[8 << 20 : 16 << 20]
    stream.seek(1000)
    assert stream.read(50) == whole[1000:1050]


def test_objects_are_distinct_and_of_the_size_asked() -> None:
    made = objects(100, 64)
    assert len(set(made)) == 100
    assert {len(one) for one in made} == {64}


def test_a_contestant_that_is_not_installed_says_what_it_lacks() -> None:
    lacking = Entry("x", "rival", "no", Subject, "no_such_package_at_all")
    assert missing(lacking) == "the package no_such_package_at_all is not installed"
    assert missing(entry("floor, no sync")) is None


@pytest.mark.parametrize(
    "name",
    ["floor, file + directory", "disk-objectstore loose", "diskcache", "hashfs", "git hash-object"],
)
def test_a_contestant_gives_back_what_it_took(name: str, tmp_path: Path) -> None:
    found = entry(name)
    if lacks := missing(found):
        pytest.skip(lacks)
    subject = found.make(tmp_path)
    data = objects(1, 1024)[0]
    key = subject.put(data)
    assert subject.get(subject.path(key) if hasattr(subject, "path") else key) == data
    subject.close()


def test_the_limits_are_measured_row_by_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the floor to contentdb, in six tables, and nothing is left behind."""
    words = ["limits", "--rounds", "1", "--count", "12", "--scratch", str(tmp_path)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| the floor | ") for line in lines) == 6
    assert sum(line.startswith("| contentdb | ") for line in lines) == 6
    assert list(tmp_path.iterdir()) == []


def test_a_blob_written_past_the_page_cache_is_read_back_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also its end, which fills no block."""
    if large.main(["--sizes", "--scratch", str(tmp_path)]):
        pytest.skip("needs a filesystem with O_DIRECT, such as ext4: give one by --basetemp")
    large.compare(tmp_path, (10 << 20) + 4097, rounds=2, pause_s=0)
    table = capsys.readouterr().out
    assert table.count("| O_DIRECT") == 3


def test_a_collection_is_measured_at_a_tiny_size(tmp_path: Path) -> None:
    """Every figure is there, and the made index has as many references as it says."""
    root = tmp_path / "store"
    images = make_images(root, 300)
    with contentdb.open(root) as store:
        labels = sum(len(info.labels) for info in store.walk())
    assert labels == images.references
    sizes = Sizes(300, asked=20, reviewed=20, garbage=1, alone_s=0.1, deleted=10, rounds=1)
    assert len(list(figures(tmp_path, root, images, sizes))) == 7
