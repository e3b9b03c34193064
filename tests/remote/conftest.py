"""The servers of tests/server, for their clients."""

from __future__ import annotations

from tests.server.conftest import channel, free_port, served, socket_path

__all__ = ["channel", "free_port", "served", "socket_path"]
