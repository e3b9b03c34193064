"""Scripted registries for the tests of a client."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.hostile.server import Script, Server

Start = Callable[[Script], Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a scripted registry; they all end with the test."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(Server(script))
