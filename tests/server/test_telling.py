"""What a server tells those who run it: logs and metrics."""

from __future__ import annotations

import json
import logging
import urllib.request
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.remote import connect
from contentdb.server.daemon import Server
from contentdb.server.limits import Limits
from contentdb.server.logs import JsonLines
from contentdb.server.metrics import Prometheus
from contentdb.server.namespaces import Namespaces

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.store import Store


def test_calls_are_counted_by_rpc_and_code(tmp_path: Path, socket_path: Path) -> None:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    with Server(tmp_path / "store", metrics=Prometheus(registry)) as server:
        server.listen_unix(socket_path)
        server.start()
        with connect(str(socket_path)) as store:
            store.add(b"hello")
            with pytest.raises(contentdb.NotFoundError):
                store.status("r")
    value = registry.get_sample_value
    assert value("contentdb_rpcs_total", {"rpc": "Write", "code": "OK"}) == 1
    assert value("contentdb_rpcs_total", {"rpc": "Status", "code": "NOT_FOUND"}) == 2
    assert value("contentdb_rpcs_open", {"rpc": "Write"}) == 0
    assert value("contentdb_rpc_seconds_count", {"rpc": "Write"}) == 1


def test_a_call_that_fails_at_the_door_leaves_its_place(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised there: else its client could not come in any more, after some of them."""
    from prometheus_client import CollectorRegistry

    def fail(_namespaces: Namespaces, _name: str) -> Store:
        raise MemoryError

    registry = CollectorRegistry()
    limits = Limits(calls=1)
    with Server(tmp_path / "store", limits=limits, metrics=Prometheus(registry)) as server:
        server.listen_unix(socket_path)
        server.start()
        with connect(str(socket_path)) as store:
            monkeypatch.setattr(Namespaces, "enter", fail)
            for _ in range(3):
                with pytest.raises(contentdb.StoreError, match="internal error"):
                    store.status("r")
            monkeypatch.undo()
            with pytest.raises(contentdb.NotFoundError):
                store.status("r")
    assert registry.get_sample_value("contentdb_rpcs_open", {"rpc": "Status"}) == 0


def test_metrics_are_served(free_port: int) -> None:
    from contentdb.server.metrics import serve_metrics

    metrics = serve_metrics("localhost", free_port)
    metrics.began("Info")
    with urllib.request.urlopen(f"http://localhost:{free_port}/metrics") as answer:
        assert b'contentdb_rpcs_open{rpc="Info"} 1.0' in answer.read()


def test_a_refused_call_is_logged_with_its_facts(
    served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "contentdb")
    with connect(str(served)) as store, pytest.raises(contentdb.NotFoundError):
        store.status("r\n2")
    records = [record for record in caplog.records if record.message == "call"]
    line = JsonLines().format(records[-1])
    facts = json.loads(line)
    assert "\n" not in line
    assert (facts["rpc"], facts["code"]) == ("Status", "NOT_FOUND")
    assert facts["text"] == "ref r\n2: not found"
