"""Leases over a connection, of a contentdb or of a containerd; and the engine of one lease.

The server keeps what a Write stores or finds stored under the lease that its header names. A lease
over a connection lives for a time, or until it is ended: no server sees whether this process lives.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from contentdb.content import LeaseInfo, LeaseItem
from contentdb.engine import Capability
from contentdb.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    LeaseEndedError,
    LeaseExistsError,
    NotFoundError,
    StoreError,
)
from contentdb.filters import quote
from contentdb.filters.items import fields_of_lease
from contentdb.remote.answers import is_unimplemented
from contentdb.remote.believing import as_lease
from contentdb.remote.blobs import Blobs
from contentdb.remote.lease_channel import LeaseChannel, fits_header
from contentdb.remote.own_services import ask_own
from contentdb.wire import keeping_pb2
from contentdb.wire import leases_pb2 as wire
from contentdb.wire.leasing import item_of, labels_of, resource_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.digest import Digest
    from contentdb.engine import LeaseTerms
    from contentdb.filters import Filter
    from contentdb.remote.channel import Channel

__all__ = ["LeasedRemoteEngine", "Leases"]


class Leases(Blobs):
    """The engine's part of `contentdb.content.Leaser`, over a connection."""

    def lease(self, terms: LeaseTerms) -> LeasedRemoteEngine:
        """Begin a lease that a time or a call ends."""
        if terms.expires_ns is None and not terms.lasting:
            raise FailedPreconditionError(
                f"no process can hold a lease of {self.place}, which does not see it end: give "
                "expires, or lasting=True"
            )
        self._check_id(terms.id or "")
        request = wire.CreateRequest(id=terms.id or "", labels=labels_of(terms))
        try:
            with self._channel.translate_errors():
                answer = self._channel.ask("Leases.Create", request)
        except AlreadyExistsError as error:
            raise LeaseExistsError(terms.id or "") from error
        return LeasedRemoteEngine(self, as_lease(answer.lease), began=True)

    def use_lease(self, id: str) -> LeasedRemoteEngine:  # noqa: A002 - as the contract calls it
        """Return an engine bound to a lease that lives."""
        self._check_id(id)
        found = find_lease(self._channel, id)
        if found is None:
            raise NotFoundError(lease=id)
        return LeasedRemoteEngine(self, found, began=False)

    def _check_id(self, id_: str) -> None:
        """Refuse an id that the server could not be told with a Write, which it would let pass."""
        if not id_ or fits_header(id_):
            return
        with suppress(NotFoundError):
            self.tagged(id_)  # which tells whether it is a contentdb
        if "Tags" in self._channel.lacks:
            raise FailedPreconditionError(
                f"lease {id_!r:.80}: at {self.place} an id is of printable ASCII characters"
            )

    def leases(self, chosen: Filter | None) -> Iterator[LeaseInfo]:
        """List live leases by id, from one message. A server without leases has none."""
        try:
            found = _list(self._channel)
        except StoreError as error:
            if is_unimplemented(error):
                return iter(())
            raise
        infos = sorted(found, key=lambda info: info.id)
        return (info for info in infos if chosen is None or chosen.matches(fields_of_lease(info)))

    def end_lease(self, id: str) -> None:  # noqa: A002 - as above
        """End a lease."""
        _end(self._channel, id)


def find_lease(channel: Channel, id_: str) -> LeaseInfo | None:
    """Return a live lease."""
    found = _list(channel, f"id=={quote(id_)}")
    return next((info for info in found if info.id == id_), None)


def _list(channel: Channel, *filters: str) -> Iterator[LeaseInfo]:
    """List live leases: a contentdb says which live; of others this machine's clock does."""
    with channel.translate_errors():
        answer = channel.ask("Leases.List", wire.ListRequest(filters=filters))
    now_ns = time.time_ns()
    infos = ((as_lease(lease), lease.lives) for lease in answer.leases)
    return (info for info, lives in infos if lives or (info.expires_ns or now_ns + 1) > now_ns)


def _end(channel: Channel, id_: str) -> None:
    with channel.translate_errors(absent=NotFoundError(lease=id_)):
        channel.ask("Leases.Delete", wire.DeleteRequest(id=id_))


class LeasedRemoteEngine(Blobs):
    """A `contentdb.engine.LeasedEngine` with a connection of its own."""

    capabilities = frozenset({Capability.TAGS})

    def __init__(self, owner: Leases, info: LeaseInfo, *, began: bool) -> None:
        # Not as its parents do: the connection is another kind.
        self.place = owner.place
        self.namespace = owner.namespace
        self.credentials = owner.credentials
        self._lease = info
        self._began = began
        self._channel: LeaseChannel = LeaseChannel(
            self.place, self.namespace, self.credentials, info
        )
        self._channel.lacks = owner._channel.lacks  # noqa: SLF001 - one engine in two classes

    @property
    def lease_id(self) -> str:
        """The lease's name."""
        return self._lease.id

    def exists(self, digest: Digest) -> bool:
        """Add a blob to the lease if it is stored; return whether it is."""
        return self.keep(digest)

    def keep(self, digest: Digest) -> bool:
        """Add a blob to the lease if it is stored; return whether it is.

        A contentdb asks and adds at once. At another server the blob is added first, so that
        nothing takes it after it was found; if it is not found, it is dropped.
        """
        request = keeping_pb2.KeepRequest(id=self.lease_id, digest=digest)
        ended = LeaseEndedError(self.lease_id)
        if (answer := ask_own(self._channel, "Keeping.Keep", request, absent=ended)) is not None:
            return bool(answer.kept)
        item = LeaseItem("content", digest)
        self.add_lease_item(item)
        if super().exists(digest):
            return True
        self.drop_lease_item(item)
        return False

    def lease_info(self) -> LeaseInfo:
        """Describe the lease."""
        found = find_lease(self._channel, self.lease_id)
        if found is None or found.created_ns != self._lease.created_ns:
            self._refuse()
        return found

    def _refuse(self) -> NoReturn:
        raise LeaseEndedError(self.lease_id)

    def lease_items(self) -> Iterator[LeaseItem]:
        """List the items by kind and name, from one message."""
        request = wire.ListResourcesRequest(id=self.lease_id)
        with self._channel.translate_errors(absent=LeaseEndedError(self.lease_id)):
            answer = self._channel.ask("Leases.ListResources", request)
        return iter(sorted(map(item_of, answer.resources)))

    def add_lease_item(self, item: LeaseItem) -> None:
        """Add an item, whether it is there or not."""
        request = wire.AddResourceRequest(id=self.lease_id, resource=resource_of(item))
        with self._channel.translate_errors(absent=LeaseEndedError(self.lease_id)):
            self._channel.ask("Leases.AddResource", request)

    def drop_lease_item(self, item: LeaseItem) -> None:
        """Drop an item."""
        request = wire.DeleteResourceRequest(id=self.lease_id, resource=resource_of(item))
        with self._channel.translate_errors(absent=LeaseEndedError(self.lease_id)):
            self._channel.ask("Leases.DeleteResource", request)

    def end_own_lease(self) -> None:
        """End the lease; nothing happens if it has ended."""
        if self._channel.ended or self._channel.is_parents:
            return
        with suppress(LeaseEndedError, NotFoundError):
            self.lease_info()  # a server that is no contentdb would end another with its id
            _end(self._channel, self.lease_id)
        self._channel.ended = True

    def close(self) -> None:
        """End the lease if this object began it, and disconnect; twice is harmless."""
        try:
            if self._began:
                self.end_own_lease()
        finally:
            super().close()
            self._channel.ended = True
