"""docs/contract.md and the tests that cite it name the same rules."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
CONTRACT = (CHECKOUT / "docs/contract.md").read_text()
_NUMBER = r"(?:[AB]|[1-7]\.\d+[a-z]?)"
_RULE = re.compile(rf"^- \*\*({_NUMBER})\.?\*\*", re.MULTILINE)
_CITATION = re.compile(rf'"""({_NUMBER}(?:, {_NUMBER})*): ')


def rules() -> list[str]:
    return [match[1] for match in _RULE.finditer(CONTRACT)]


def cited() -> set[str]:
    folders = ("contentdb/testing", "tests")
    files = [path for folder in folders for path in (CHECKOUT / folder).rglob("*.py")]
    texts = [path.read_text() for path in files if path != Path(__file__)]
    return {
        rule for text in texts for group in _CITATION.findall(text) for rule in group.split(", ")
    }


def test_each_rule_stands_once() -> None:
    assert len(rules()) > 40
    assert len(set(rules())) == len(rules())


def test_each_rule_is_cited_by_a_test() -> None:
    assert [rule for rule in rules() if rule not in cited()] == []


def test_each_citation_is_of_a_rule() -> None:
    assert cited() - set(rules()) == set()
