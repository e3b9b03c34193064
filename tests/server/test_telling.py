"""What a server tells those who run it: logs and metrics."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cli.logs import JsonLines, _Text
from contentdb.server.daemon import Server
from contentdb.server.limits import Limits
from contentdb.server.metrics import Prometheus
from contentdb.server.namespaces import Namespaces
from contentdb.store.connect import connect

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
    assert value("contentdb_rpcs_total", {"rpc": "Status", "code": "NOT_FOUND"}) == 1
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


def scrape(port: int) -> bytes:
    with urllib.request.urlopen(f"http://localhost:{port}/metrics") as answer:
        told: bytes = answer.read()
    return told


def test_silent_connections_neither_take_threads_nor_lock_scrapes_out(free_port: int) -> None:
    from contentdb.server.metrics import serve_metrics

    serve_metrics("localhost", free_port)
    with ExitStack() as silent:
        for _ in range(40):
            one = silent.enter_context(socket.create_connection(("localhost", free_port)))
            one.sendall(b"GET /metr")
        assert b"contentdb_rpcs" in scrape(free_port)
        first = silent.enter_context(socket.create_connection(("localhost", free_port)))
        for _ in range(8):  # as many as there may be beside it, so it is the oldest
            scrape(free_port)
            silent.enter_context(socket.create_connection(("localhost", free_port)))
        assert first.recv(1) == b""
        while sum(one.name == "contentdb-scrape" for one in threading.enumerate()) > 8:
            time.sleep(0.01)  # those that were ended are leaving


def test_a_silent_scrape_times_out(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from contentdb.server import metrics

    monkeypatch.setattr(metrics._Scrape, "timeout", 0.1)
    metrics.serve_metrics("localhost", free_port)
    with socket.create_connection(("localhost", free_port)) as silent:
        assert silent.recv(1) == b""


def test_a_log_paints_nothing() -> None:
    """Clients choose refs, and the log is read at a terminal."""
    error = ValueError("a\x1b[31m\x9b2J\u202e")
    told = (ValueError, error, None)
    record = logging.LogRecord("contentdb.server", logging.ERROR, "", 0, "call", None, told)
    record.facts = {"text": "ref \x1b[31m\x9b2J\u202e: not found"}
    for line in (JsonLines().format(record), _Text("%(message)s").format(record)):
        assert all(part.isprintable() for part in line.split("\n"))
        assert "ref \\" in line


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
