"""What `make crash` runs of this folder, and which share of it `make test` does."""

from __future__ import annotations

from typing import Final

from tests.crash.suite import Plan, Suite
from tests.stress.collecting import collecting
from tests.stress.fuzzing import fuzz
from tests.stress.holding import handovers, holdings
from tests.stress.model import schedules
from tests.stress.planting import plants
from tests.stress.pulling import pulls
from tests.stress.races import races
from tests.stress.rot import damaged_files, damaged_pages
from tests.stress.soak import soak
from tests.stress.storm import storm
from tests.stress.thefts import thefts
from tests.stress.unsynced import unsynced

__all__ = ["SUITES"]

SUITES: Final = [
    Suite(
        "schedules",
        schedules,
        "Commits, deletes, prunes, adoptions and quarantines of one content, in a model: every "
        "schedule of up to four actors",
        share=Plan(limit=1, seconds=20),
        whole=Plan(),
    ),
    Suite(
        "races",
        races,
        "The same in the real store, loose and packed, and moves of records; threads change "
        "over at each file operation and look into the index",
        share=Plan(limit=1_600, seconds=20),
        whole=Plan(limit=208_000, seconds=1_000),
    ),
    Suite(
        "collecting",
        collecting,
        "Collections beside pulls under leases, tags, adds and deletes in the real store; threads "
        "change over at each file operation and look into the index",
        share=Plan(limit=360, seconds=20),
        whole=Plan(limit=120_000, seconds=1_000),
    ),
    Suite(
        "pulls",
        pulls,
        "A pull under a lease is killed at each of its steps, while collections without grace go "
        "on; the next pull goes on from there",
        share=Plan(limit=6, seconds=20),
        whole=Plan(limit=100),
    ),
    Suite(
        "unsynced",
        unsynced,
        "Power loss between a commit and the sync of its log, wherever threads change over: what "
        "rests on a row that is not on disk yet",
        share=Plan(limit=1_200, seconds=20),
        whole=Plan(limit=60_000, seconds=600),
    ),
    Suite(
        "locks",
        holdings,
        "Threads of many processes take few refs; shared memory is the witness",
        share=Plan(limit=24_000, seconds=10),
        whole=Plan(limit=1_100_000, seconds=300),
    ),
    Suite(
        "handovers",
        handovers,
        "A holder is killed while another waits for its ref",
        share=Plan(limit=40, seconds=8),
        whole=Plan(limit=1_000),
    ),
    Suite(
        "thefts",
        thefts,
        "A holder is killed, stopped, forked, in another PID namespace, ten years off, or without "
        "its lock file: is its ref taken while it lives?",
        share=Plan(limit=20, seconds=10),
        whole=Plan(limit=600),
    ),
    Suite(
        "storm",
        storm,
        "Writers, checkpointers and readers of one index for minutes, on the stock SQLite and on "
        "a fixed one",
        share=Plan(limit=10_000, seconds=8),
        whole=Plan(limit=1_600_000, seconds=900),
    ),
    Suite(
        "soak",
        soak,
        "Eight processes write, read, delete, prune and verify; one is killed every 100 ms",
        share=Plan(limit=60, seconds=8),
        whole=Plan(limit=12_000, seconds=1_500),
    ),
    Suite(
        "rot",
        damaged_files,
        "Blobs, files and records, flipped, cut, emptied, zeroed, extended, swapped, removed or "
        "replaced: found, not served, healed, reindexed",
        share=Plan(limit=200, seconds=10),
        whole=Plan(limit=10_000),
    ),
    Suite(
        "pages",
        damaged_pages,
        "Pages of the index zeroed, garbled, replaced, torn or lost: told, and reindexed",
        share=Plan(limit=14, seconds=8),
        whole=Plan(limit=1_050),
    ),
    Suite(
        "plants",
        plants,
        "Links, pipes, devices, sockets, foreign and unreadable files wherever the store keeps "
        "something, under every call",
        share=Plan(limit=240, seconds=10),
        whole=Plan(),
    ),
    Suite(
        "fuzz",
        fuzz,
        "Texts changed at random, guided by the lines they reach, into all that takes a text",
        share=Plan(limit=20_000, seconds=10),
        whole=Plan(limit=1_000_000, seconds=600),
    ),
]
