"""Metadata of an ingest: texts that the caller stores with it, such as the ETag of its source."""

from __future__ import annotations

from collections.abc import Mapping

from contentdb.errors import InvalidArgumentError
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["NO_METADATA", "pack_metadata", "unpack_metadata"]

NO_METADATA: Final = "{}"
"""Empty metadata, packed."""

_METADATA_BYTES: Final = 16 * 1024
"""Limit for all keys and values of one ingest together."""


def pack_metadata(metadata: Mapping[Any, Any] | None) -> str | None:
    """Return the text that the index stores: equal metadata gives equal text; None stays None.

    Raises:
        InvalidArgumentError: A key or value is not text, or together they exceed 16 KiB.
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
    import json  # here, since most ingests have no metadata

    return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def unpack_metadata(packed: str | None) -> dict[str, str]:
    """Parse what `pack_metadata` returned; return an empty dict for None."""
    if packed in {None, NO_METADATA}:
        return {}
    import json

    unpacked: dict[str, str] = json.loads(packed or NO_METADATA)
    return unpacked
