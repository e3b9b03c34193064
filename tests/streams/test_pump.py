"""Copying a stream into an ingest, while the last piece is hashed."""

from __future__ import annotations

import io

import pytest
from typing_extensions import Buffer

from contentdb.streams import pump as pump_module


class Taken:
    """Counts what it is given."""

    size = 0

    def feed(self, data: Buffer) -> None:
        self.size += memoryview(data).nbytes

    def settle(self, *, pending: int = 0) -> None:
        pass


@pytest.mark.parametrize(
    ("most", "sizes"), [(1_500_000, [65_536, 1 << 20]), (100_000, [65_536, 100_000]), (10, [10])]
)
def test_no_buffers_are_made_for_an_end_that_comes_in_full(
    most: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def make(size: int) -> list[memoryview]:
        made.append(size)
        return [memoryview(bytearray(size)) for _ in range(2)]

    monkeypatch.setattr(pump_module, "_make_buffers", make)
    taken = Taken()
    pump_module.pump(io.BytesIO(bytes(most)).readinto, taken, most)
    assert (taken.size, made) == (most, sizes)
