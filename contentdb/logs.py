"""What the library tells through `logging`: nothing, unless a program asks for it.

Loggers are ``contentdb.ROOM``. A WARNING is given where a promise was at stake or something was
left undone, an INFO where a caller waits for another process. `logging` is imported with the first
line: it takes 5 ms, which a command that has nothing to tell need not spend.
"""

from __future__ import annotations

import sys

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

__all__ = ["inform", "swallow", "warn"]

_INFO: Final = 20
_WARNING: Final = 30


def warn(room: str, message: str, **facts: object) -> None:
    """Log that something was left undone, or found damaged."""
    _log(_WARNING, room, message, facts)


def inform(room: str, message: str, **facts: object) -> None:
    """Log what a caller waits for, or tries again."""
    _log(_INFO, room, message, facts)


def _log(level: int, room: str, message: str, facts: dict[str, object]) -> None:
    if sys.is_finalizing():  # nothing can be imported any more
        return
    import logging

    top = logging.getLogger("contentdb")
    if not top.handlers:  # or Python would print warnings of a program that has asked for none
        top.addHandler(logging.NullHandler())
    logger = logging.getLogger(f"contentdb.{room}")
    if logger.isEnabledFor(level):
        texts = {key: str(facts[key]) for key in facts}
        line = message + "".join(f" {key}={text!r}" for key, text in texts.items())
        logger.log(level, line, extra={"sentence": message, "facts": texts})


class swallow:  # noqa: N801 - used like `contextlib.suppress`
    """Suppress errors of a block, with a line in the log for each.

    Args:
        room: The logger's name below ``contentdb``.
        message: What was left undone.
        errors: Which errors.
        facts: What the line is about.
    """

    def __init__(
        self, room: str, message: str, *errors: type[BaseException], **facts: object
    ) -> None:
        self._room = room
        self._message = message
        self._errors = errors
        self._facts = facts

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Log the error and go on, if it is one of those."""
        if kind is None or not issubclass(kind, self._errors):
            return False
        warn(self._room, self._message, **self._facts, error=error)
        return True
