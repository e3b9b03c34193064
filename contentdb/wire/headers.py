"""Names of the headers of a call."""

from __future__ import annotations

from typing import Final

__all__ = ["NAMESPACE"]

NAMESPACE: Final = "containerd-namespace"
"""Names the namespace that a call is about."""
