"""The parser of filters. Its errors tell the position and what to write instead."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final

from contentdb.errors import InvalidFilterError
from contentdb.filters.patterns import searcher
from contentdb.filters.tree import BLOB_FIELDS, Filter, Kind, Operator, Selector
from contentdb.units import moment_ns, size_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse"]

_MAX_CHARS: Final = 64 * 1024
_MAX_SELECTORS: Final = 256
"""Limit for all filters of one parse, well below SQLite's limit for an expression's depth, 1000."""
_SHOWN_CHARS: Final = 40

_TEXT_OPERATORS: Final = (Operator.EQUAL, Operator.NOT_EQUAL, Operator.MATCHES)
_VALUE_OPERATORS: Final = tuple(each for each in Operator if each and each != Operator.MATCHES)

_SPACE: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_OPERATOR: Final = re.compile(r"[=!~]+|[<>]=?")
_PLAIN: Final = re.compile(r"[^\s,]+")
_QUOTED: Final = {
    quote: re.compile(rf"\{quote}((?:[^\{quote}\\\n]|\\.)*+)\{quote}") for quote in '"/|'
}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|([0-3][0-7]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))"
)
_SURROGATES: Final = range(0xD800, 0xE000)
_ESCAPED: Final = dict(zip("abfnrtv\\", "\a\b\f\n\r\t\v\\", strict=True))


def parse(
    *texts: str, fields: Mapping[str, Kind] = BLOB_FIELDS, now_ns: int | None = None
) -> Filter:
    """Parse filters. An item is selected if any filter selects it; no or empty text selects all.

    Args:
        *texts: The filters.
        fields: The known fields: `BLOB_FIELDS`, `INGEST_FIELDS`, `TAG_FIELDS` or
            `LEASE_FIELDS`.
        now_ns: The time that ages are subtracted from, instead of the clock's.

    Raises:
        InvalidFilterError: A text does not parse or is too long, a field is unknown, or a field
            cannot have such a value. The message tells the position and what to do.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    room = _MAX_SELECTORS
    alternatives = []
    for text in texts:
        if not isinstance(text, str):
            raise InvalidFilterError(
                repr(text),
                0,
                f"a filter is text, not {type(text).__name__}; give several one by one, as in"
                ' walk("size>1MB", "labels.kind")',
            )
        selectors = _Parser(text, fields, now_ns).selectors(room) if text else ()
        alternatives.append(selectors)
        room -= len(selectors)
    return Filter(tuple(alternatives) if alternatives and all(alternatives) else ((),))


class _Parser:
    """The parser of one filter; `at` is the index of the next character."""

    def __init__(self, text: str, fields: Mapping[str, Kind], now_ns: int) -> None:
        self.text = text
        self.fields = fields
        self.now_ns = now_ns
        self.at = 0

    def selectors(self, room: int) -> tuple[Selector, ...]:
        self.check_characters()
        found: list[Selector] = []
        while not found or self.take(","):
            if len(found) == room:
                raise self.error(f"more than {_MAX_SELECTORS} selectors; ask in several calls")
            found.append(self.selector())
        if self.at < len(self.text):
            raise self.error(
                "expected a comma or the end; a value with spaces or commas needs double quotes"
            )
        return tuple(found)

    def selector(self) -> Selector:
        field, key = self.path()
        operator = self.operator(field)
        if operator is Operator.PRESENT:
            return Selector(field, key, operator, None)
        return Selector(field, key, operator, self.value(field, operator))

    def path(self) -> tuple[str, str | None]:
        start = self.skip()
        names = [self.name()]
        while self.take("."):
            names.append(self.name())
        field, *rest = names
        kind = self.fields.get(field)
        if kind is None:
            known = ", ".join(
                f"{name}.KEY" if each is Kind.LABELS else name for name, each in self.fields.items()
            )
            raise self.error(f"unknown field {field[:_SHOWN_CHARS]!r}; use one of {known}", start)
        if kind is Kind.LABELS:
            if not rest:
                raise self.error(f"{field} needs a key; write {field}.KEY")
            return field, ".".join(rest)
        if rest:
            raise self.error(f"{field} has no parts; write {field} alone", start)
        return field, None

    def name(self) -> str:
        if self.text.startswith('"', self.skip()):
            return self.quoted('"')
        return self.token(
            _NAME, "expected a name of letters, digits, _ and -, or any in double quotes"
        )

    def operator(self, field: str) -> Operator:
        start = self.skip()
        if self.text[start : start + 1] in {"", ","}:
            return Operator.PRESENT
        spelled = self.token(
            _OPERATOR,
            "expected an operator, a comma or the end; a name with other characters than"
            ' letters, digits, _ and - needs double quotes: labels."a/b"',
        )
        kind = self.fields[field]
        usable = _TEXT_OPERATORS if kind in {Kind.TEXT, Kind.LABELS} else _VALUE_OPERATORS
        if spelled in usable:
            return Operator(spelled)
        raise self.error(
            f"{spelled[:_SHOWN_CHARS]} does not compare {field}; use one of {' '.join(usable)}"
            " (a value that begins with = ! or ~ needs double quotes)",
            start,
        )

    def value(self, field: str, operator: Operator) -> str | int:
        start = self.skip()
        text = self.operand(operator)
        kind = self.fields[field]
        try:
            if kind is Kind.SIZE:
                return size_bytes(text)
            if kind is Kind.TIME:
                return moment_ns(text, self.now_ns)
            if operator is Operator.MATCHES:
                searcher(text)
        except ValueError as error:
            raise self.error(str(error), start) from error
        return text

    def operand(self, operator: Operator) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote not in _QUOTED:
            return self.token(_PLAIN, f'expected a value after {operator}; an empty one is ""')
        if quote != '"' and operator is not Operator.MATCHES:
            raise self.error(f"a value that begins with {quote} needs double quotes")
        return self.quoted(quote)

    def quoted(self, quote: str) -> str:
        """Parse a Go string. Its escapes may write the bytes of UTF-8 one by one."""
        start = self.at
        body = self.token(_QUOTED[quote], rf"this {quote} is not closed; a newline is written \n")
        data = bytearray()
        done = 0
        for escape in _ESCAPE.finditer(body):
            data += body[done : escape.start()].encode()
            try:
                data += _decode(escape, quote)
            except ValueError as error:
                raise self.error(str(error), start + 1 + escape.start()) from error
            done = escape.end()
        data += body[done:].encode()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.error(
                r"these bytes are not UTF-8; write a character as itself or as \u", start
            ) from error

    def check_characters(self) -> None:
        if len(self.text) > _MAX_CHARS:
            raise self.error(
                f"a filter has at most {_MAX_CHARS} characters; ask in several calls", _MAX_CHARS
            )
        if "\0" in self.text:
            raise self.error("no field holds a NUL; leave it out", self.text.index("\0"))
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise self.error("no field holds what is not Unicode", error.start) from error

    def skip(self) -> int:
        """Skip space; return the index of the next character."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.at

    def take(self, char: str) -> bool:
        """Skip space, and then this character if it is next; return whether it was."""
        if not self.text.startswith(char, self.skip()):
            return False
        self.at += 1
        return True

    def token(self, form: re.Pattern[str], expected: str) -> str:
        """Skip text that matches ``form``; return its group, or all of it if there is none."""
        found = form.match(self.text, self.at)
        if found is None:
            raise self.error(expected)
        self.at = found.end()
        return str(found[form.groups])

    def error(self, reason: str, position: int | None = None) -> InvalidFilterError:
        return InvalidFilterError(self.text, self.at if position is None else position, reason)


def _decode(escape: re.Match[str], quote: str) -> bytes:
    r"""Return the UTF-8, or the one byte of it, that an escape stands for.

    The rules are Go's: https://go.dev/ref/spec#String_literals. By them ``\d`` would be an error
    and ``\b`` a backspace, so in an expression these two kinds are left to RE2.
    """
    hexadecimal, octal, short, long, char = escape.groups()
    byte = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else None
    code = int(short or long, 16) if short or long else None
    if 0 in {byte, code}:
        raise ValueError("no field holds a NUL; leave it out")
    if byte is not None:
        return bytes([byte])
    if code is not None:
        if code > sys.maxunicode or code in _SURROGATES:
            raise ValueError(f"{escape[0]} is no character of Unicode")
        return chr(code).encode()
    if char == quote:
        return quote.encode()
    if quote != '"' and (char == "b" or char not in _ESCAPED):
        return escape[0].encode()
    if char not in _ESCAPED:
        raise ValueError(f"{escape[0]} is no escape; a backslash in quotes is written twice")
    return _ESCAPED[char].encode()
