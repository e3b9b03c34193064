"""`contentdb gc` and `why`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import contentdb
from tests.cli.shell import call, records, stored

if TYPE_CHECKING:
    from pathlib import Path

_REF = "containerd.io/gc.ref.content.l.0"


def test_what_nothing_keeps_goes(root: Path) -> None:
    child, parent, other = stored(root, b"child", b"parent", b"other")
    with contentdb.open(root) as store:
        store.update(parent, {_REF: child})
    refused = call(root, "gc", "--grace", "0")
    assert refused.exit_code == 2
    assert "no tag, lease or gc.root label" in refused.stderr
    call(root, "tag", parent, "app:v1")
    dry = call(root, "gc", "--grace", "0s", "--dry-run").stdout.splitlines()
    assert dry[0] == f"would collect {other} (5 B)"
    assert dry[1] == "would collect 1 blobs, 5 B; kept 2, undecided 0"
    assert call(root, "gc", "--grace", "0s", "-q").stdout == f"{other}\n"
    call(root, "untag", "app:v1")
    call(root, "lease", "create")
    found = records(call(root, "gc", "--grace", "0s", "--json", "--limit", "1").stdout)
    gone = {one["digest"]: one["size"] for one in found[:-1]}
    assert gone == {parent: 6, child: 5}  # a parent never stays without its child
    assert (found[-1]["blobs"], found[-1]["begins_at"]) == (2, None)
    assert call(root, "gc", "--grace", "0s", "-q").stdout == ""


def test_the_first_collection_says_when_it_begins(root: Path) -> None:
    stored(root, b"content")
    result = call(root, "gc", "--no-roots")
    assert result.exit_code == 0
    assert "this store is collected from" in result.stdout
    assert call(root, "gc", "--grace", "soon").exit_code == 2


def test_status(root: Path) -> None:
    stored(root, b"content")
    lines = call(root, "gc", "--status").stdout.splitlines()
    assert lines == ["queued 1 (0 due), leases 0", "this store was never collected from"]
    with contentdb.open(root) as store, store.lease():
        (found,) = records(call(root, "gc", "--status", "--json").stdout)
        assert (found["queued"], found["due"], found["leases"]) == (1, 0, 1)
        assert len(found["held_by"]) == 1


def test_why(root: Path) -> None:
    child, parent, other = stored(root, b"child", b"parent", b"other")
    with contentdb.open(root) as store:
        store.update(parent, {_REF: child})
        store.tag("app:v1", parent)
        store.collect(grace=timedelta(0))
    wanted = [child, f"↑ {parent}  gc.ref.content.l.0", "tag app:v1"]
    assert call(root, "why", child[7:15]).stdout.splitlines() == wanted
    assert call(root, "why", "-q", child, parent).stdout == "tag app:v1\ntag app:v1\n"
    (found,) = records(call(root, "why", "--json", "app:v1").stdout)
    assert [step["kind"] for step in found["steps"]] == ["content", "tag"]
    gone = call(root, "why", other)
    assert gone.exit_code == 4
    fresh = stored(root, b"new")[0]
    assert call(root, "why", fresh).stdout.splitlines()[1].startswith("fresh until ")
