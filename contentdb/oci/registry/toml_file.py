"""Reads the TOML files of other tools about registries, value by value."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RegistryConfigError", "Table", "load_table"]

_FILE_BYTES: Final = 4 * 1024 * 1024
_ADVICE: Final = "name other files with --hosts-dir or --registries-conf"


class RegistryConfigError(ContentDBError):
    """A file about registries cannot be used, or forbids what was asked. Attribute: ``file``."""

    def __init__(self, file: str | Path, reason: str) -> None:
        super().__init__(f"{file} {reason}")
        self.file = str(file)


class Table:
    """A table of a file, whose values are checked as they are taken.

    Args:
        file: For messages.
        values: As parsed.
    """

    def __init__(self, file: Path, values: Mapping[str, Any]) -> None:
        self.file = file
        self.values = values

    def fail(self, reason: str) -> RegistryConfigError:
        """Return the error for a value that cannot be used."""
        return RegistryConfigError(self.file, f"cannot be used: {reason}")

    def text(self, key: str) -> str:
        """Return a text; empty if there is none."""
        return self._take(key, str, "a text") or ""

    def flag(self, key: str) -> bool:
        """Return a boolean; False if there is none."""
        return self._take(key, bool, "true or false") or False

    def array(self, key: str) -> list[Any]:
        """Return an array; empty if there is none. A lone text is an array of one."""
        if isinstance(self.values.get(key), str):
            return [self.values[key]]
        return self._take(key, list, "an array") or []

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of texts."""
        found = self.array(key)
        if not all(isinstance(value, str) for value in found):
            raise self.fail(f"{key} must hold texts")
        return tuple(found)

    def table(self, key: str) -> Table:
        """Return a table below this one; empty if there is none."""
        return Table(self.file, self._take(key, dict, "a table") or {})

    def tables(self, key: str) -> list[Table]:
        """Return an array of tables."""
        found = self.array(key)
        if not all(isinstance(value, dict) for value in found):
            raise self.fail(f"{key} must be tables")
        return [Table(self.file, value) for value in found]

    def _take(self, key: str, kind: type, what: str) -> Any:  # noqa: ANN401 - of that type
        value = self.values.get(key)
        if value is not None and not isinstance(value, kind):
            raise self.fail(f"{key} must be {what}")
        return value


def load_table(file: Path) -> Table | None:
    """Return a file's root table, or None if there is no such file.

    Raises:
        RegistryConfigError: The file cannot be read, or is no TOML.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RegistryConfigError(file, f"cannot be read: {error.strerror}; {_ADVICE}") from error
    if len(data) > _FILE_BYTES:
        raise RegistryConfigError(file, f"has more than {_FILE_BYTES} bytes")
    try:
        return Table(file, tomllib.loads(data.decode()))
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise RegistryConfigError(file, f"is not TOML: {reason}") from error
