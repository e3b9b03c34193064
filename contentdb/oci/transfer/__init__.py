"""Transfers between a registry and a store: pull, push, fetch, and their progress."""
