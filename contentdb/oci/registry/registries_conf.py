"""Reads containers-registries.conf(5): mirrors, locations, and what is blocked or insecure.

Its unqualified search registries and short-name aliases are ignored: a reference means the same
whatever the machine. Version 1 of the format, of which only two lists mean something here, is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import InvalidArgumentError
from contentdb.oci.reference import Reference, parse_repository
from contentdb.oci.registry.endpoint import Endpoint, Endpoints
from contentdb.oci.registry.toml_file import RegistryConfigError, Table, load_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["find_locations"]

_PULLS: Final = frozenset({"", "all", "digest-only", "tag-only"})


class _Entry(NamedTuple):
    """One ``[[registry]]`` table."""

    table: Table
    prefix: str
    location: str
    """Empty if it is where the name says."""
    insecure: bool
    blocked: bool


def find_locations(files: Iterable[Path], place: Reference, source: Endpoint) -> Endpoints | None:
    """Return the places of a reference by the table with the longest prefix of its name.

    Args:
        files: In the order of containers-registries.conf.d(5): a later table with the same prefix
            replaces an earlier one. They need not exist.
        place: The reference. If it has no repository, only tables about its whole registry match.
        source: The registry at its own name.

    Raises:
        RegistryConfigError: A file cannot be used, or blocks the reference.
    """
    entries: dict[str, _Entry] = {}
    for file in files:
        table = load_table(file)
        if table is not None:
            entries |= {entry.prefix: entry for entry in _entries(table)}
    name = str(place) if place.repository else place.registry
    matches = [entry for prefix, entry in entries.items() if _starts(name, prefix)]
    if not matches:
        return None
    entry = max(matches, key=lambda entry: len(entry.prefix))
    if entry.blocked:
        raise RegistryConfigError(
            entry.table.file, f"blocks {entry.prefix}, so {name} is not asked for; use another name"
        )
    return _endpoints(entry, place, source)


def _entries(root: Table) -> Iterator[_Entry]:
    for table in root.tables("registry"):
        location = _location(table)
        prefix = table.text("prefix").rstrip("/") or location
        if not prefix or (not location and not prefix.startswith("*.")):
            raise table.fail("each [[registry]] needs a location")
        if prefix.startswith("*.") and not set(prefix[2:]).isdisjoint("*/:@"):
            raise table.fail(f"{prefix[:80]!r} has more than a wildcard and a host")
        yield _Entry(
            table,
            prefix,
            "" if location == prefix else location,
            table.flag("insecure"),
            table.flag("blocked"),
        )
    old = root.table("registries")  # version 1
    blocked, insecure = (
        {name.rstrip("/") for name in old.table(key).texts("registries")}
        for key in ("block", "insecure")
    )
    for name in sorted(blocked | insecure):
        yield _Entry(Table(root.file, {}), name, "", name in insecure, name in blocked)


def _location(table: Table) -> str:
    location = table.text("location").rstrip("/")
    if "://" in location:
        raise table.fail("a location has a scheme; name a host and a path alone")
    if "@" in location.partition("/")[0]:
        raise table.fail("a location has a user in it; name a host and a path alone")
    return location


def _starts(name: str, prefix: str) -> bool:
    """Return whether a prefix ends where a part of the name ends, or matches its host."""
    host = name.partition("/")[0]
    if prefix.startswith("*."):
        return host.partition(":")[0].endswith(prefix[1:])
    rest = name.removeprefix(prefix)
    if rest == name and prefix:
        return False
    return not rest or rest[0] == "/" or ("/" in prefix and rest[0] in ":@")


def _endpoints(entry: _Entry, place: Reference, source: Endpoint) -> Endpoints:
    table = entry.table
    own = _insecure(source) if entry.insecure else source
    main = own
    if entry.location and place.repository:
        main = _relocate(table, entry.location, entry.prefix, place)
        main = _insecure(main) if entry.insecure else main
    mirrors = table.tables("mirror") if place.repository else []
    found = [_mirror(mirror, entry, place) for mirror in mirrors]
    used = tuple(mirror for mirror in found if mirror.pulls)
    return Endpoints(main, used, own, str(table.file))


def _mirror(table: Table, entry: _Entry, place: Reference) -> Endpoint:
    when = table.text("pull-from-mirror")
    by_digest = entry.table.flag("mirror-by-digest-only")
    if when not in _PULLS or (when and by_digest):
        raise table.fail(
            "pull-from-mirror must be all, digest-only or tag-only, "
            "and does not go with mirror-by-digest-only"
        )
    location = _location(table)
    if not location:
        raise table.fail("each [[registry.mirror]] needs a location")
    found = _relocate(table, location, entry.prefix, place)
    found = _insecure(found) if table.flag("insecure") else found
    other = {"digest-only"} if place.digest is None else {"tag-only"}
    used = when not in other and not (by_digest and place.digest is None)
    return found._replace(resolves=used, pulls=used)


def _insecure(place: Endpoint) -> Endpoint:
    if place.root.startswith("http:"):
        return place
    return place._replace(verified=False, plain_too=True)


def _relocate(table: Table, location: str, prefix: str, place: Reference) -> Endpoint:
    """Return where a repository is if the prefix of its name is replaced."""
    name = f"{place.registry}/{place.repository}"
    start = place.registry if prefix.startswith("*.") else prefix
    if not _starts(name, start):
        raise table.fail(f"{prefix[:80]!r} has a tag or digest, and so can have no location")
    new = location + name.removeprefix(start)
    try:
        moved = parse_repository(new)
    except InvalidArgumentError as error:
        raise table.fail(f"location {location[:80]!r}: {error}") from None
    if moved.registry != new.partition("/")[0]:
        raise table.fail(f"the location {location[:80]!r} does not begin with a registry's host")
    return Endpoint.of(moved.registry)._replace(renamed=(place.repository, moved.repository))
