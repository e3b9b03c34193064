"""`docs/cli.md` and the commands say the same."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from contentdb.cli.app import COMMANDS, contentdb
from contentdb.cli.failures import EXIT_CODES, FOUND

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTIONS = {
    match[1]: match[2]
    for match in re.finditer(r"^### `?([\w-]+).*?\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
}
COMMON = TEXT[: TEXT.index("## What comes in")]
REGISTRY = {"copy", "fetch", "pull", "push", "referrers", "remote-tags"}


def options(command: click.Command) -> list[tuple[str, ...]]:
    """Each option's names, and those of a group's commands, but for the group of all."""
    own = [tuple(one.opts) for one in command.params if isinstance(one, click.Option)]
    if isinstance(command, click.Group) and command is not contentdb:
        own += [found for one in command.commands.values() for found in options(one)]
    return own


def names(text: str) -> set[str]:
    """All options that a text names in code."""
    code = " ".join(re.findall(r"`[^`\n]+`", text))
    return set(re.findall(r"(?<![\w-])--?[a-z0][a-z-]*", code))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_section_with_all_of_its_options(name: str) -> None:
    command = contentdb.get_command(click.Context(contentdb), name)
    assert command is not None
    told = names(SECTIONS[name]) | (names(SECTIONS["Reaching"]) if name in REGISTRY else set())
    for option in options(command):
        common = set(option) & names(COMMON)
        assert common or set(option) <= told, option


@pytest.mark.parametrize("name", COMMANDS)
def test_no_section_names_an_option_that_is_not(name: str) -> None:
    command = contentdb.get_command(click.Context(contentdb), name)
    assert command is not None
    known = {text for option in options(command) for text in option}
    assert names(SECTIONS[name]) - known == set()


@pytest.mark.parametrize("option", options(contentdb), ids=" ".join)
def test_the_options_before_the_command_are_told(option: tuple[str, ...]) -> None:
    assert set(option) <= names(TEXT)


def test_the_options_that_many_have_are_on_the_commands_that_are_named() -> None:
    rows = re.findall(r"^\| `(--[a-z-]+)[^|]*\| (`[^|]*) \|", COMMON, re.MULTILINE)
    assert {option for option, _ in rows} == {"--filter", "--sort", "--limit", "--dry-run"}
    for option, commands in rows:
        assert set(re.findall(r"`([a-z-]+)`", commands)) == with_option(option), option


def test_json_and_quiet_are_everywhere_but_where_the_output_is_content() -> None:
    rest = set(COMMANDS) - {"cat", "fetch", "serve"}
    assert with_option("--json") == with_option("--quiet") == rest


def with_option(option: str) -> set[str]:
    """The commands that have an option."""
    context = click.Context(contentdb)
    return {
        name
        for name in COMMANDS
        if (command := contentdb.get_command(context, name)) is not None
        and any(option in known for known in options(command))
    }


def test_every_exit_code_is_told() -> None:
    codes = {code for _, code in EXIT_CODES} | {0, FOUND}
    told = re.findall(r"^\| ([0-9, ]+) \|", TEXT, re.MULTILINE)
    assert {int(code) for row in told for code in row.split(",")} == codes
