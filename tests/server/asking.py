"""A client that calls the server's services by their stubs, and says what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from contentdb.wire.addresses import unix_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["IN_TEST", "connected", "refused"]

IN_TEST = (("containerd-namespace", "test"),)


def connected(served: Path) -> Iterator[grpc.Channel]:
    """Yield a channel to a unix socket, for a fixture."""
    options = (("grpc.default_authority", "localhost"),)
    with grpc.insecure_channel(unix_target(served), options) as channel:
        yield channel


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Return status and text of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()
