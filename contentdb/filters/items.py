"""Records as the items that a filter selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentdb.values import Info, LeaseInfo, Status, Tag

__all__ = ["fields_of_info", "fields_of_lease", "fields_of_status", "fields_of_tag"]


def fields_of_info(info: Info) -> dict[str, object]:
    """Return the values of a blob's `BLOB_FIELDS`."""
    return {
        "digest": info.digest,
        "size": info.size,
        "labels": info.labels,
        "created_at": info.created_ns,
        "updated_at": info.updated_ns,
    }


def fields_of_status(status: Status) -> dict[str, object]:
    """Return the values of an ingest's `INGEST_FIELDS`."""
    return {
        "ref": status.ref,
        "offset": status.offset,
        "total": status.total,
        "expected": status.expected,
        "started_at": status.started_ns,
        "updated_at": status.updated_ns,
    }


def fields_of_tag(tag: Tag) -> dict[str, object]:
    """Return the values of a tag's `TAG_FIELDS`."""
    return {
        "name": tag.name,
        "digest": tag.digest,
        "media_type": tag.media_type,
        "size": tag.size,
        "labels": tag.labels,
        "created_at": tag.created_ns,
        "updated_at": tag.updated_ns,
    }


def fields_of_lease(info: LeaseInfo) -> dict[str, object]:
    """Return the values of a lease's `LEASE_FIELDS`."""
    return {
        "id": info.id,
        "labels": info.labels,
        "created_at": info.created_ns,
        "expires_at": info.expires_ns,
    }
