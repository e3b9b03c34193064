"""Structured logs: one JSON object per line, or the same facts as text."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Final

__all__ = ["LEVELS", "JsonLines", "log_to_stderr"]

LEVELS: Final = ("debug", "info", "warning", "error")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": getattr(record, "sentence", None) or record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)  # ASCII: a client's ref must not control a terminal


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        has_them = hasattr(record, "sentence")  # see `contentdb.logs`
        facts = {} if has_them else getattr(record, "facts", {})
        text = " ".join([text, *(f"{key}={facts[key]!r}" for key in facts)])
        return "\n".join(_printable(line) for line in text.split("\n"))  # of a traceback, too


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def log_to_stderr(*, level: str, as_json: bool) -> None:
    """Write log records of ``level`` and above to standard error; a later call replaces it."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonLines() if as_json else _Text("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logger = logging.getLogger("contentdb")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
