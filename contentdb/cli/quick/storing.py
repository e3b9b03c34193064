"""``add`` and ``ingest``, by the library, as click's way does them too."""

from __future__ import annotations

from contextlib import nullcontext

from contentdb.cli.progress import bar
from contentdb.store.open import open_store

TYPE_CHECKING = False  # as in `contentdb.cli.quick`
if TYPE_CHECKING:
    from contentdb.cli.quick import Call

__all__ = ["store"]


def store(call: Call) -> int:
    """Store what a recognised command line names; return the exit code."""
    return _add(call) if call.command == "add" else _ingest(call)


def _add(call: Call) -> int:
    from contentdb.cli.adding import Printed, store_files, total_bytes

    errors: list[Exception] = []

    def tell(error: Exception) -> None:
        from contentdb.cli.failures import tell

        tell(error)
        errors.append(error)

    opened = open_store(call.root)
    printed = Printed(tell, as_json=False, quiet=call.quiet)
    total = total_bytes(call.words)
    with nullcontext() if call.quiet else bar(total, what="adding"):
        for name, answer in store_files(opened, call.words, None, None, "copy"):
            printed.answered(name, answer)
    if len(call.words) > 1:
        printed.sum_up()
    if not errors:
        return 0
    from contentdb.cli.failures import exit_code_of

    return exit_code_of(errors[0])


def _ingest(call: Call) -> int:
    from contentdb.cli.ingesting import read_standard_input, take_in

    (ref,) = call.words
    source = read_standard_input()

    def invocation() -> str:
        from shlex import quote

        return f"contentdb --root {quote(call.root)}" if call.names_root else "contentdb"

    take_in(
        open_store(call.root),
        ref,
        source=source,
        expected_digest=call.digest,
        expected_size=call.size,
        labels=None,
        wait=True,
        as_json=False,
        quiet=call.quiet,
        invocation=invocation,
    )
    return 0
