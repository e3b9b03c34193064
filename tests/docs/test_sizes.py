"""Long functions, classes and modules are questions; a module says why it is one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import contentdb

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE: Final = Path(contentdb.__file__).parent
_FUNCTION_LINES: Final = 45
"""Without its docstring."""
_CLASS_LINES: Final = 250
_MODULE_LINES: Final = 300
_REASON: Final = "\n# Long: "

_MODULES: Final = [
    path
    for path in sorted(_PACKAGE.rglob("*.py"))
    if "_pb2" not in path.name and "migrations" not in path.relative_to(_PACKAGE).parts
]


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _too_long(source: str) -> Iterator[str]:
    if source.count("\n") > _MODULE_LINES:
        yield "the module"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and _length(node) > _CLASS_LINES:
            yield node.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            described = ast.get_docstring(node, clean=False) or ""
            if _length(node) - len(described.splitlines()) > _FUNCTION_LINES:
                yield f"{node.name} (a function: no reason helps)"


@pytest.mark.parametrize(
    "path", _MODULES, ids=[str(path.relative_to(_PACKAGE)) for path in _MODULES]
)
def test_what_is_long_has_a_reason_beside_it(path: Path) -> None:
    source = path.read_text()
    found = list(_too_long(source))
    if _REASON in source:
        assert found, "it is not long any more: remove its reason"
        found = [name for name in found if "function" in name]
    assert not found
