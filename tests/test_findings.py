"""The count of a collection: each blob once, however many passes see it."""

from contentdb.digest import Digest
from contentdb.findings import Tally
from contentdb.values import Collected, Collection

ONE = Digest.of(b"one")


def test_what_waits_is_counted_once_though_every_pass_sees_it() -> None:
    tally = Tally()
    for _ in range(2):
        tally.begin_pass()
        tally.see(ONE, kept=True, waits=True)
    assert tally.result.kept == 1


def test_what_is_kept_leaves_the_queue_and_stays_counted() -> None:
    tally = Tally()
    tally.see(ONE, kept=True, waits=False)
    tally.begin_pass()
    assert tally.result.kept == 1


def test_what_a_pass_over_all_has_counted_no_later_pass_counts() -> None:
    tally = Tally()
    tally.see(ONE, kept=True, waits=True)
    tally.saw_all = True
    tally.begin_pass()
    tally.see(ONE, kept=True, waits=True)
    assert tally.result.kept == 1


def test_what_a_later_pass_decides_or_takes_is_not_undecided() -> None:
    tally = Tally()
    two = Digest.of(b"two")
    for digest in (ONE, two):
        tally.see(digest, kept=None, waits=True)
    assert tally.result.undecided == 2
    tally.see(ONE, kept=True, waits=False)
    tally.take(Collected(two, 3))
    assert tally.result == Collection(1, 3, 1, 0, 0, None)
