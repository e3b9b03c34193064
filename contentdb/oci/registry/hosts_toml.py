"""Reads containerd's directories about registries: ``hosts.toml``, or certificates alone.

The format is https://github.com/containerd/containerd/blob/main/docs/hosts.md. Unlike in
containerd, a host is pushed to only if its ``capabilities`` say so, since a mirror may be a cache.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from contentdb.oci.registry.endpoint import Endpoint, Endpoints
from contentdb.oci.registry.toml_file import RegistryConfigError, Table, load_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["find_hosts"]

_CAPABILITIES: Final = frozenset({"pull", "resolve", "push", "referrers"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]{0,8000}")
_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "range",
        "transfer-encoding",
    }
)
"""Headers that the client makes itself."""


def find_hosts(folders: Iterable[Path], source: Endpoint) -> Endpoints | None:
    """Return the places of a registry by the first directory that is about it, or about all.

    Args:
        folders: Such as ``/etc/containerd/certs.d``; they need not exist.
        source: The registry at its own name.

    Raises:
        RegistryConfigError: A file cannot be used.
    """
    for folder in folders:
        for name in _folder_names(source.name):
            if _is_folder(folder / name):
                return _read(folder / name, source)
    return None


def _folder_names(registry: str) -> Iterator[str]:
    host, colon, port = registry.rpartition(":")
    if colon and port.isdecimal():
        yield f"{host}_{port}_"
    yield registry
    yield "_default"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise RegistryConfigError(path, f"cannot be read: {error.strerror}") from error


def _read(folder: Path, source: Endpoint) -> Endpoints:
    file = folder / "hosts.toml"
    root = load_table(file)
    if root is None:
        own = _with_certificates(folder, source)
        return Endpoints(own, writes=own, file=str(folder))
    hosts = root.table("host")
    tables = {url: hosts.table(url) for url in hosts.values}
    mirrors = {url: _endpoint(table, url, source.name) for url, table in tables.items()}
    server = root.text("server")
    own = _endpoint(root, server, source.name) if server else _with_settings(root, source)
    written = [mirrors[url] for url in tables if "push" in _capabilities(tables[url])]
    if not server or not _capabilities(root) or "push" in _capabilities(root):
        written.append(own)
    return Endpoints(own, tuple(mirrors.values()), written[0] if written else None, str(file))


def _endpoint(table: Table, url: str, registry: str) -> Endpoint:
    try:
        found = Endpoint.at(url, is_root=table.flag("override_path"))
    except ValueError as error:
        shown = url.partition("?")[0].rpartition("@")[2]  # without what may be a secret
        raise table.fail(f"{shown[:80]!r} is no place: {error}") from None
    able = _capabilities(table)
    found = found._replace(namespace="" if found.name == registry else registry)
    if able:
        found = found._replace(pulls="pull" in able, resolves=able >= {"pull", "resolve"})
    return _with_settings(table, found)


def _with_settings(table: Table, place: Endpoint) -> Endpoint:
    folder = table.file.parent
    return place._replace(
        verified=place.verified and not table.flag("skip_verify"),
        ca=tuple(str(folder / name) for name in table.texts("ca")),
        cert=_certificate(table),
        headers=tuple(_headers(table.table("header"))),
    )


def _capabilities(table: Table) -> frozenset[str]:
    """Return what a host may be used for; empty if that is not limited."""
    able = frozenset(name.lower() for name in table.texts("capabilities"))
    if not able <= _CAPABILITIES:
        raise table.fail(f"capabilities are {', '.join(sorted(_CAPABILITIES))}")
    return able


def _certificate(table: Table) -> tuple[str, str | None] | None:
    """Return the client certificate: a file, or a pair of files."""
    pairs = [[one, ""] if isinstance(one, str) else one for one in table.array("client")]
    for pair in pairs:
        if not isinstance(pair, list) or [type(name) for name in pair] != [str, str]:
            raise table.fail("client must be a file, or pairs of a certificate and its key")
    if len(pairs) > 1:
        raise table.fail("contentdb can show a host one client certificate, not several")
    folder = table.file.parent
    return next(
        ((str(folder / cert), str(folder / key) if key else None) for cert, key in pairs), None
    )


def _headers(table: Table) -> Iterator[tuple[str, str]]:
    for name in table.values:
        value = ", ".join(table.texts(name))
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise table.fail("a header has a name or value that HTTP does not allow")
        if name.lower() in _OURS:
            raise table.fail(f"the header {name} is made by the client itself")
        yield name.title(), value


def _with_certificates(folder: Path, source: Endpoint) -> Endpoint:
    """Return the source with a directory's certificates, named as Docker names them."""
    certs = sorted(folder.glob("*.cert"))
    if len(certs) > 1:
        raise RegistryConfigError(folder, "has several client certificates; leave one of them")
    pair = [(str(cert), str(cert.with_suffix(".key"))) for cert in certs]
    return source._replace(
        ca=tuple(map(str, sorted(folder.glob("*.crt")))), cert=pair[0] if pair else None
    )
