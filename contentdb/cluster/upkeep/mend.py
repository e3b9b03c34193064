"""Acts on a finding of verify, after another look: the marks of rows are set right.

Nothing is removed here: objects that no row names are a prune's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contentdb.cluster.catalog import blobs
from contentdb.cluster.damage import examine, matches
from contentdb.cluster.extents import pack_runs

if TYPE_CHECKING:
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest
    from contentdb.findings import Action, Finding

__all__ = ["mend"]


def mend(resources: Resources, finding: Finding, *, dry_run: bool) -> Action:
    """Act on one finding, durably, and return what was done, or with ``dry_run`` would be."""
    digest = finding.digest
    if digest is None:
        return "left alone"
    found = blobs.find_object(resources.database, digest)
    if found is None:  # it was deleted, or never had a row
        return "left alone"
    if dry_run:
        bad = not matches(resources, digest, found.place, found.size)
    else:
        own = examine(resources, digest)
        if own is None:
            return "left alone"
        bad = own.damaged
    if bad:
        return "marked as missing" if finding.kind == "missing" else "marked as damaged"
    if finding.kind == "missing" and found.place.runs:
        return _write_manifest(resources, digest, found, dry_run=dry_run)
    return "adopted" if found.damaged else "left alone"


def _write_manifest(
    resources: Resources, digest: Digest, found: blobs.StoredObject, *, dry_run: bool
) -> Action:
    """Write the manifest of a whole blob again, if it is gone, as it was."""
    key = found.place.key or ""
    if resources.bucket.size(key) is not None:
        return "left alone"
    if not dry_run:
        resources.bucket.put(key, json.dumps(pack_runs(found.place.runs)).encode())
        now = blobs.find_object(resources.database, digest)
        if now is None or now.place.key != key:  # a prune may have removed it before
            resources.bucket.delete([key])
            return "left alone"
    return "written again"
