"""Upkeep of a store in a database and an object store, while others use it."""
