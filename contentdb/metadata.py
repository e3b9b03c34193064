"""Metadata of an ingest: texts that the caller notes with it, such as the ETag of its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contentdb.errors import InvalidArgumentError

__all__ = ["NO_METADATA", "pack_metadata", "unpack_metadata"]

NO_METADATA: Final = "{}"
"""Empty metadata, packed."""

_METADATA_BYTES: Final = 16 * 1024
"""Of all keys and values of one ingest together."""


def pack_metadata(metadata: Mapping[Any, Any] | None) -> str | None:
    """Write it as it stands in the index: equal metadata gives equal text; None stays None.

    Raises:
        InvalidArgumentError: A key or value is no text, or together they have over 16 KiB.
    """
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise InvalidArgumentError(f"metadata is a mapping of texts to texts, not {metadata!r:.80}")
    texts = [text for item in metadata.items() for text in item]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidArgumentError("metadata is a mapping of texts to texts")
    try:
        size = sum(len(text.encode()) for text in texts)
    except UnicodeEncodeError:
        raise InvalidArgumentError("metadata is not valid Unicode") from None
    if size > _METADATA_BYTES:
        raise InvalidArgumentError(f"metadata has {size} bytes; {_METADATA_BYTES} is the most")
    if not metadata:
        return NO_METADATA
    import json  # most ingests have none

    return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def unpack_metadata(packed: str | None) -> dict[str, str]:
    """Read what `pack_metadata` wrote; empty where there is none."""
    if packed in {None, NO_METADATA}:
        return {}
    import json

    unpacked: dict[str, str] = json.loads(packed or NO_METADATA)
    return unpacked
