"""A collection before the answer to a delete, for clients that ask for it by ``sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.errors import ContentDBError, NoRootsError
from contentdb.logs import swallow

if TYPE_CHECKING:
    from contentdb.store import Store

__all__ = ["collect_before_answer"]

_FAILED: Final = "something was deleted, and the collection that the client asked for failed"


def collect_before_answer(store: Store) -> None:
    """Collect what nothing keeps any more, by the policy or with the usual grace.

    A client cannot begin that: before the first collection or policy nothing happens. Nor does
    anything where nothing is left that says what is wanted. What was deleted stays deleted if the
    collection fails, so that is only logged.
    """
    if store.queue_status().begins_ns is None:
        return
    with swallow("server", _FAILED, ContentDBError, namespace=store.namespace):
        try:
            store.collect()
        except NoRootsError:
            return
