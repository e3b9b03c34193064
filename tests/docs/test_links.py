"""Every link between the documents leads somewhere, to the heading that it names."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md")
    for path in CHECKOUT.glob(pattern)
)
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """As the usual renderers make them: lower case, dashes for spaces, other marks left out."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(FENCED.sub("", text))
    }


def broken(document: str, text: str) -> list[str]:
    """The links of a text that lead nowhere."""
    found = []
    for target in LINK.findall(CODE.sub("", text)):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        path = (CHECKOUT / document).parent / name if name else CHECKOUT / document
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            found.append(target)
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    assert broken(document, (CHECKOUT / document).read_text()) == []


def test_a_link_to_nowhere_is_found() -> None:
    text = (
        "[a](nowhere.md) [b](#no-such) [c](LICENSE) [d](docs/cli.md#exit-codes) [e](docs/cli.md#x)"
    )
    assert broken("README.md", text) == ["nowhere.md", "#no-such", "docs/cli.md#x"]


def test_every_document_is_reached_from_the_readme() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        document = waiting.pop()
        reached.add(document)
        path = CHECKOUT / document
        for target in LINK.findall(CODE.sub("", path.read_text())):
            to = (path.parent / target.partition("#")[0]).resolve()
            name = to.relative_to(CHECKOUT).as_posix() if to.is_relative_to(CHECKOUT) else ""
            if name in DOCUMENTS and name not in reached:
                waiting.append(name)
    assert reached == set(DOCUMENTS)
