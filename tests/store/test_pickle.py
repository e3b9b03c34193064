"""A store crosses to another process by its address; what is held in this one stays here."""

from __future__ import annotations

import concurrent.futures
import copy
import gc
import multiprocessing
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest
from contentdb.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COPIES = [copy.copy, copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))]  # noqa: S301


def add(store: Store, content: bytes) -> str:
    return store.add(content).digest


def test_a_process_pool_gets_stores_among_its_arguments(store: Store) -> None:
    """6.6: by a start that inherits nothing."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(add, store, b"content").result() == Digest.of(b"content")
    assert store.read(Digest.of(b"content")) == b"content"


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_another_store_at_the_same_root(
    store: Store, copied: Callable[[Store], Store]
) -> None:
    """To lose or to close either leaves the other as it is."""
    made = copied(store)
    digest = made.add(b"content").digest
    assert store.read(digest) == b"content"
    del made
    gc.collect()
    assert store.usage().blobs == 1
    made = copied(store)
    store.close()
    assert made.read(digest) == b"content"
    made.close()


@pytest.mark.parametrize(
    "options", [{"durability": "process"}, {"namespace": "other"}, {"mode": "r"}, {}]
)
def test_it_is_opened_as_it_was(root: Path, options: dict[str, Any]) -> None:
    contentdb.open(root).close()
    with contentdb.open(root, **options) as store, copy.copy(store) as made:
        assert type(made) is type(store)
        for name in ("root", "durability", "namespace", "mode"):
            assert getattr(made, name) == getattr(store, name)


def test_no_store_is_made_where_the_root_is_gone(root: Path) -> None:
    """A job that comes late must not work on an empty one."""
    with contentdb.open(root) as store:
        pickled = pickle.dumps(store)
    root.rename(root.with_name("moved"))
    with pytest.raises(contentdb.StoreNotFoundError):
        pickle.loads(pickled)  # noqa: S301
    assert not root.exists()


@pytest.mark.parametrize("copied", COPIES)
def test_a_closed_store_has_no_copies(store: Store, copied: Callable[[Store], Store]) -> None:
    store.close()
    with pytest.raises(contentdb.StoreClosedError):
        copied(store)


@pytest.mark.parametrize("copied", COPIES)
def test_writers_and_readers_stay_where_they_are(
    store: Store, copied: Callable[[Any], Any]
) -> None:
    """A copy of a descriptor's number would close the file of somebody else."""
    digest = store.add(b"content").digest
    with store.writer("r") as writer:
        writer.write(b"half")
        with pytest.raises(TypeError, match="the writer of ref 'r' cannot be pickled"):
            copied(writer)
        writer.write(b" and half")
        assert writer.commit().size == 13
    with store.open(digest) as reader:
        with pytest.raises(TypeError, match="cannot be pickled or copied; open the blob again"):
            copied(reader)
        assert reader.read() == b"content"


def test_the_class_is_where_it_was_pickled_from() -> None:
    """Pickles of one version are read by the next."""
    assert Store.__module__ == "contentdb.store"
    assert contentdb.Store is Store
