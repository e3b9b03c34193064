"""Names of the headers of a call."""

from __future__ import annotations

from typing import Final

__all__ = ["LEASE", "LEASE_CREATED", "LEASE_ENCODED", "NAMESPACE"]

NAMESPACE: Final = "containerd-namespace"
"""Names the namespace that a call is about."""

LEASE: Final = "containerd-lease"
"""Names the lease that keeps what the call stores."""

LEASE_CREATED: Final = "contentdb-lease-created"
"""When that lease began, in nanoseconds, so that another one with its id is not meant.

Only a contentdb knows it.
"""

LEASE_ENCODED: Final = "contentdb-lease-bin"
"""Names a lease whose id cannot be a header of text. Only a contentdb knows it."""
