"""What users write by mistake: a type checker refuses each line that ends so, and no other."""

from __future__ import annotations

import io

import contentdb


def sources(store: contentdb.Store) -> None:
    """Text is no content, and what is no source is none either."""
    store.add("text")  # refused
    store.add(5)  # refused
    store.add(None)  # refused
    store.add([b"x"])  # refused
    store.add(io.StringIO("x"))  # refused
    store.add(open("x"))  # refused
    store.add(b"x", link="symlink")  # refused
    store.add_many(b"x", labels="k=v")  # refused
    store.add_many(["text"])  # refused
    store.add_many([b"x"], errors="ignore")  # refused
    store.ingest("r", "text")  # refused
    store.ingest("r", io.StringIO("x"))  # refused


def answers(store: contentdb.Store) -> None:
    """An answer that may be an error is no Info."""
    for answer in store.add_many([b"x"], errors="yield"):
        print(answer.digest)  # refused


def managed(store: contentdb.Store, manager: contentdb.Manager, info: contentdb.Info) -> None:
    """Labels are a mapping of text to text, filters are text, orders are known."""
    store.add(b"x", labels=[("a", "b")])  # refused
    store.add(b"x", labels={"n": 1})  # refused
    store.update(info.digest, {"a": 1})  # refused
    store.update(info.digest, [("a", "b")])  # refused
    store.walk(["size>1"])  # refused
    store.walk(labels={"n": 1})  # refused
    store.walk(sort="sized")  # refused
    manager.walk(sort="sized")  # refused
    store.delete_many(5)  # refused
    store.read(b"")  # refused
    info.size = 5  # refused
    info.labels["k"] = "v"  # refused
    contentdb.open("s", durability="fast")  # refused
