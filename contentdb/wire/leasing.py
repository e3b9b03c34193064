"""Converts leases and what they keep to containerd's messages and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.content import LeaseInfo, LeaseItem
from contentdb.expiry import EXPIRE, parse_expiry, write_expiry
from contentdb.wire import leases_pb2 as wire
from contentdb.wire.messages import set_time, to_ns

if TYPE_CHECKING:
    from contentdb.engine import LeaseTerms

__all__ = [
    "FLAT",
    "KEEPING",
    "LEASES",
    "info_of_lease",
    "item_of",
    "labels_of",
    "lease_of",
    "resource_of",
]

KEEPING: Final = "contentdb.v1.Keeping"
LEASES: Final = "containerd.services.leases.v1.Leases"
FLAT: Final = "containerd.io/gc.flat"
"""A label of a lease that keeps only what it has, and not what that refers to."""
_INGESTS: Final = "ingests"
_INGEST: Final = "ingest"


def lease_of(info: LeaseInfo) -> wire.Lease:
    """Convert a lease; its labels tell what containerd's say of its end, however it began."""
    message = wire.Lease(id=info.id, labels=info.labels, lives=True, holder=info.holder or "")
    set_time(message.created_at, info.created_ns)
    if info.expires_at is not None:
        message.labels.setdefault(EXPIRE, info.expires_at.isoformat())
    if info.flat:
        message.labels.setdefault(FLAT, "1")
    return message


def info_of_lease(message: wire.Lease) -> LeaseInfo:
    """Undo `lease_of`; raise `ValueError` for a time that is none."""
    labels = dict(message.labels)
    is_flat = labels.pop(FLAT, None) is not None
    expires = labels.pop(EXPIRE, None)
    expires_ns = None if expires is None else parse_expiry(expires)
    created_ns, holder = to_ns(message.created_at), message.holder or None
    return LeaseInfo(message.id, created_ns, expires_ns, is_flat, holder, labels)


def labels_of(terms: LeaseTerms) -> dict[str, str]:
    """Return the labels that ask for a lease with these terms."""
    labels = dict(terms.labels)
    if terms.expires_ns is not None:
        labels[EXPIRE] = write_expiry(terms.expires_ns)
    if terms.flat:
        labels[FLAT] = "1"
    return labels


def resource_of(item: LeaseItem) -> wire.Resource:
    """Convert a thing that a lease keeps."""
    return wire.Resource(id=item.name, type=_INGESTS if item.kind == _INGEST else item.kind)


def item_of(message: wire.Resource) -> LeaseItem:
    """Undo `resource_of`."""
    return LeaseItem(_INGEST if message.type == _INGESTS else message.type, message.id)
