"""Draw the package from its tree: docs/house.svg, and the list of modules in docs/design.md.

``make docs`` runs it; a test fails when the result is not what is committed. Rooms are folders,
their floors are the layers of import-linter in pyproject.toml, and what a module is for is the
first line of its docstring.
"""

from __future__ import annotations

import ast
import re
import tomllib
from html import escape
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[1]
PACKAGE: Final = CHECKOUT / "contentdb"
BEGIN: Final = "<!-- modules: begin, made by `make docs` -->"
END: Final = "<!-- modules: end -->"

_WIDTH: Final = 960
_ROW: Final = 46
_BOX: Final = 32
_STEPS: Final = {
    "engine": "1",
    "ingest": "2 C0-C2",
    "commit": "3 C3-C5",
    "index": "4 C6",
    "locks": "5 C7",
}
"""Rooms of the local engine that a commit goes through, in order, with its steps."""


def describe(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def layers() -> dict[str, list[str]]:
    """Return the layers of each container, high to low, as import-linter has them."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    return {each["containers"][0]: each["layers"] for each in contracts if each["type"] == "layers"}


def names_of(layer: str) -> list[str]:
    """Split a layer into its modules."""
    return re.findall(r"\w+", layer)


def list_modules() -> str:
    """Return the list of rooms and modules as Markdown, a heading a folder."""
    parts = []
    for folder in sorted({path.parent for path in PACKAGE.rglob("*.py")}):
        if "migrations" in folder.parts:
            continue
        room = folder.relative_to(CHECKOUT).as_posix()
        lines = [f"### `{room}/`", "", describe(folder / "__init__.py"), ""]
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith("__init__") or "_pb2" in path.name:
                continue
            lines.append(f"- `{path.name}`: {describe(path)}")
        parts.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(parts)


def draw() -> str:
    """Return the picture: rooms by floor, and the way of a commit through the local engine."""
    found = layers()
    shapes: list[str] = []
    y = _floors(shapes, found["contentdb"], 20, 20, _WIDTH // 2 - 30, "contentdb", {})
    left = _WIDTH // 2 + 10
    inner = _floors(
        shapes, found["contentdb.local"], left, 20, _WIDTH // 2 - 30, "contentdb/local", _STEPS
    )
    height = max(y, inner) + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">\n'
        "<title>The rooms of contentdb, and the way of a commit</title>\n"
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _floors(
    shapes: list[str],
    floors: list[str],
    x: int,
    y: int,
    width: int,
    title: str,
    steps: dict[str, str],
) -> int:
    """Draw one container's layers from the top down; gives the lowest y used."""
    shapes.append(f'<text x="{x}" y="{y + 4}" font-weight="bold">{escape(title)}/</text>')
    y += 16
    for floor in floors:
        names = names_of(floor)
        box = (width - 8 * (len(names) - 1)) // len(names)
        for place, name in enumerate(names):
            left = x + place * (box + 8)
            step = steps.get(name)
            fill = "#fde7c4" if step else "#e8eef7" if _is_room(title, name) else "#f6f6f6"
            shapes.append(
                f'<rect x="{left}" y="{y}" width="{box}" height="{_BOX}" rx="4" '
                f'fill="{fill}" stroke="#667"/>'
            )
            label = name + ("/" if _is_room(title, name) else "")
            size = 13 if box > 8 * len(label) else 9
            shapes.append(
                f'<text x="{left + box // 2}" y="{y + 20}" text-anchor="middle" '
                f'font-size="{size}">{escape(label)}</text>'
            )
            if step:
                shapes.append(
                    f'<text x="{left + box - 6}" y="{y + 20}" text-anchor="end" '
                    f'fill="#a50">{escape(step)}</text>'
                )
        y += _ROW - 6
    return y


def _is_room(title: str, name: str) -> bool:
    return (CHECKOUT / title / name).is_dir()


def filled(design: str) -> str:
    """Return docs/design.md with the list of modules between its marks."""
    head, _, rest = design.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{list_modules()}\n{END}{tail}"


def main() -> None:
    """Write both."""
    (CHECKOUT / "docs/house.svg").write_text(draw(), encoding="utf-8")
    page = CHECKOUT / "docs/design.md"
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
