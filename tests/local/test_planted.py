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


@pytest.mark.parametrize("planted", [True, False])
def test_a_wrong_mode_is_mended_in_no_other_file(
    store: contentdb.Store, tmp_path: Path, *, planted: bool
) -> None:
    """Between the finding and its repair a link came, or the file went: neither is touched."""
    blob = store.path(store.add(b"content").digest)
    blob.chmod(0o600)
    (finding,) = store.verify()
    assert finding.kind == "mode"
    outside = tmp_path / "outside"
    outside.write_bytes(b"content")
    outside.chmod(0o600)
    blob.unlink()
    if planted:
        blob.symlink_to(outside)
    assert [action for _, action in contentdb.repair(store, [finding])] == ["left alone"]
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_a_mode_is_mended_that_keeps_its_owner_out(store: contentdb.Store) -> None:
    blob = store.path(store.add(b"content").digest)
    blob.chmod(0)
    assert [action for _, action in contentdb.repair(store, store.verify())] == ["made read-only"]
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444
