"""Records as the items that a filter selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentdb.content import LeaseInfo, Tag

__all__ = ["fields_of_lease", "fields_of_tag"]


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
