"""One place to reach a registry at: its name, or a mirror or another location of it."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlencode

from contentdb.errors import InvalidArgumentError
from contentdb.oci.reference import DEFAULT_REGISTRY
from contentdb.oci.registry.url import is_loopback, target_of

__all__ = ["Endpoint", "Endpoints"]

_DEFAULT_HOST: Final = "registry-1.docker.io"


class Endpoint(NamedTuple):
    """How to reach one place, and what it may be asked for."""

    name: str
    """Host and port, as credentials and messages name it."""
    root: str
    """The URL of its API, with a slash at the end, e.g. ``https://mirror.example/v2/``."""
    renamed: tuple[str, str] = ("", "")
    """A repository, and its name here; no other repository has another name."""
    resolves: bool = True
    """Whether it may say which digest a tag has."""
    pulls: bool = True
    """Whether it may be asked for an object by its digest."""
    verified: bool = True
    """Whether its TLS certificate has to be right."""
    plain_too: bool = False
    """Whether to use http if https does not answer."""
    ca: tuple[str, ...] = ()
    """Files of CA certificates to trust too, in PEM."""
    cert: tuple[str, str | None] | None = None
    """Files of a client certificate and its key, in PEM."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers for it alone; their values may be secrets."""
    namespace: str = ""
    """The registry that is meant, which containerd tells a mirror as ``ns``."""

    @classmethod
    def of(cls, name: str, *, plain_http: bool = False, insecure: bool = False) -> Endpoint:
        """Return the place that a registry's own name means.

        Raises:
            InvalidArgumentError: ``plain_http`` is set for another machine, without ``insecure``.
        """
        host = _DEFAULT_HOST if name == DEFAULT_REGISTRY else name
        root = f"{'http' if plain_http else 'https'}://{host}/v2/"
        if plain_http and not insecure and not is_loopback(target_of(root).host):
            raise InvalidArgumentError(
                f"{name} is another machine, and plain http shows it everything: "
                "use https, or allow it by --insecure (insecure=True)"
            )
        return cls(name, root)

    @classmethod
    def at(cls, url: str, *, is_root: bool = False) -> Endpoint:
        """Return the place of a URL, as containerd reads it in ``hosts.toml``.

        Args:
            url: Without a scheme, https is meant.
            is_root: The API begins here; else under ``v2/`` below it.

        Raises:
            ValueError: It is no http or https URL.
        """
        target = target_of(url if "://" in url else f"https://{url}")
        if "?" in target.path:
            raise ValueError("it has a query")
        host = f"[{target.host}]" if ":" in target.host else target.host
        usual = {"http": 80, "https": 443}[target.scheme]
        name = host if target.port == usual else f"{host}:{target.port}"
        path = target.path.rstrip("/")
        path = path if is_root or path.endswith("/v2") else f"{path}/v2"
        name = DEFAULT_REGISTRY if name == _DEFAULT_HOST else name
        return cls(name, f"{target.place}{path}/")

    def __repr__(self) -> str:
        """Return a text without the headers' values, for logs."""
        return f"Endpoint({self.name!r}, {self.root!r}, …)"

    @property
    def is_exposed(self) -> bool:
        """Whether the network can see or change what is exchanged."""
        target = target_of(self.root)
        return not is_loopback(target.host) and (target.scheme == "http" or not self.verified)

    def plain(self) -> Endpoint:
        """Return the same place by http."""
        return self._replace(root="http" + self.root.removeprefix("https"))

    def path(self, path: str) -> str:
        """Return the path and query to request for a path below a repository's name."""
        old, new = self.renamed
        if old and path.startswith(old + "/"):
            path = new + path.removeprefix(old)
        if self.namespace:
            path += ("&" if "?" in path else "?") + urlencode({"ns": self.namespace})
        return target_of(self.root).path + path

    def scope(self, scope: str) -> str:
        """Return a token's scope with the repository's name here."""
        old, new = self.renamed
        return scope.replace(f"repository:{old}:", f"repository:{new}:") if old else scope


class Endpoints(NamedTuple):
    """The places to ask for one reference, as a file or the name alone says."""

    source: Endpoint
    """The place that is read last."""
    mirrors: tuple[Endpoint, ...] = ()
    """The places that are read first, in order."""
    writes: Endpoint | None = None
    """The only place that is written to; None if the file forbids it."""
    file: str = ""
    """The file that says so, for messages."""

    @classmethod
    def of(cls, source: Endpoint) -> Endpoints:
        """Return the places of a registry that has no mirrors."""
        return cls(source, writes=source)

    @property
    def reads(self) -> tuple[Endpoint, ...]:
        """The places to read from, in the order to ask them."""
        return tuple(one for one in (*self.mirrors, self.source) if one.pulls or one.resolves)
