"""What somebody else has put into the store's directories; `tests/stress` tries much more."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

import contentdb

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.root
def test_a_device_in_a_blobs_place_is_not_read(store: contentdb.Store, root: Path) -> None:
    """This one has no end."""
    info = store.add(b"content")
    path = store.path(info.digest)
    path.unlink()
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    with pytest.raises(contentdb.CorruptBlobError):
        store.read(info.digest)
    findings = list(store.verify())
    assert [finding.kind for finding in findings] == ["corrupt"]
    (done,) = contentdb.repair(store, findings)
    assert done.action == "quarantined"
    store.add(b"content")
    assert store.read(info.digest) == b"content"


def test_deleting_content_of_an_algorithm_never_used_is_absence(store: contentdb.Store) -> None:
    """Its shards are not there."""
    with pytest.raises(contentdb.NotFoundError):
        store.delete(contentdb.Digest.of(b"content", "sha512"))
