"""Fixtures of this folder."""

from tests.cluster.places import place, store

__all__ = ["place", "store"]
