"""Acting on what `Store.verify` has found."""

from __future__ import annotations

from contentdb.findings import Repaired
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentdb.findings import Finding
    from contentdb.store import Store

__all__ = ["repair"]


def repair(
    store: Store,
    findings: Iterable[Finding],
    *,
    dry_run: bool = False,
    progress: Callable[[Repaired], object] = lambda _done: None,
) -> list[Repaired]:
    """Repair each finding as it comes, after another check of it. Durable when it returns.

    On files an orphan that matches its name gets a row, or its row is served again; one that does
    not goes to ``quarantine/``, as does a corrupt blob. The row of a corrupt blob or a missing file
    is marked: it is not served until its content is stored again. A wrong mode is set right. May
    be repeated.

    In a database the rows of corrupt and missing blobs are marked, and the mark of a blob that is
    whole goes. A manifest that is missing is written again. Objects that no row names stay: `prune`
    removes them, and after a restore `adopt` makes blobs of them.

    Args:
        store: The store that the findings are of.
        findings: From `Store.verify`, all or some.
        dry_run: Only return what would be done.
        progress: Called with each when it is done, and durable.

    Returns:
        What was done, in the order of the findings.
    """
    repaired: list[Repaired] = []
    for finding in findings:
        repaired.append(Repaired(finding, store.mend(finding, dry_run=dry_run)))
        progress(repaired[-1])  # it may close the store
    return repaired
