"""What `make crash` runs of this folder, and which share of it `make test` does."""

from __future__ import annotations

from typing import Final

from tests.cluster.calls import calls
from tests.cluster.race import race, requests
from tests.cluster.scenarios import hosts
from tests.crash.suite import Plan, Suite

__all__ = ["SUITES"]

SUITES: Final = [
    Suite(
        "hosts",
        hosts,
        "Commits, deletes, prunes, aborts and reads of one content by many hosts, in a model: "
        "requests that come late or twice, answers lost, hosts killed or taken for dead",
        share=Plan(limit=1, seconds=20),
        whole=Plan(),
    ),
    Suite(
        "calls",
        calls,
        "A process dies before or after each request to the object store and each statement, and "
        "another does the same again",
        share=Plan(limit=24, seconds=15),
        whole=Plan(),
    ),
    Suite(
        "race",
        race,
        "Processes of many hosts add, delete, read and prune 24 contents; one is killed each "
        "0.3 s, and from time to time PostgreSQL or the S3 server",
        share=Plan(limit=50, seconds=25),
        whole=Plan(seconds=600),
    ),
    Suite(
        "requests",
        requests,
        "The same behind a proxy: PUT and DELETE late, twice, in another order, lost, cut, "
        "refused; answers cut and lost",
        share=Plan(limit=40, seconds=15),
        whole=Plan(seconds=600),
    ),
]
