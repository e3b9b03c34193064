"""Packs: files in ``packs/`` that hold small blobs as records, one behind the other.

A store made with ``pack_below`` keeps its small blobs here. A process appends to a pack of its own,
and one sync of that file makes all blobs durable that its threads have brought: no file is made,
no name is put on disk. `docs/design.md` has the protocol, under "Packs".
"""
