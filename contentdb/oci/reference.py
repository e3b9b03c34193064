"""Parses image references as Docker and containerd do.

The grammar is https://github.com/distribution/reference: ``[domain/]path[:tag][@digest]``.
The first component is a registry if it contains a dot, a colon or a capital letter or is
``localhost``. Otherwise the registry is the default one, where a bare name means an official
image, under ``library/``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError
from contentdb.oci.errors import InvalidReferenceError

__all__ = ["DEFAULT_REGISTRY", "Reference", "is_tag", "parse_reference", "parse_repository"]

DEFAULT_REGISTRY: Final = "docker.io"
_OLD_DEFAULT: Final = "index.docker.io"
_OFFICIAL: Final = "library/"
_DEFAULT_TAG: Final = "latest"

_LABEL: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)
_PATH_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HEX_NAME: Final = re.compile(r"[0-9a-f]{64}")

_NAME_CHARS: Final = 255
_TEXT_CHARS: Final = 1024
_HIGHEST_PORT: Final = 65535


class Reference(NamedTuple):
    """A repository of a registry, and the tag or digest of an object in it."""

    registry: str
    """Host, with the port if one was given, e.g. ``docker.io`` or ``127.0.0.1:5000``."""
    repository: str
    tag: str | None
    digest: Digest | None

    @property
    def object(self) -> str:
        """The name to request from the registry: the digest if given, else the tag."""
        return self.digest or self.tag or _DEFAULT_TAG

    def __str__(self) -> str:
        """Return the whole name, without relying on defaults."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Parse a reference; without tag and digest it means the tag ``latest``.

    Raises:
        InvalidReferenceError: The text breaks the grammar; the reason says where.
    """
    if len(text) > _TEXT_CHARS:
        raise InvalidReferenceError(text, f"it is longer than {_TEXT_CHARS} characters")
    name, at, digest_text = text.partition("@")
    digest = _parse_digest(text, digest_text) if at else None
    slash = name.rfind("/")
    colon = name.rfind(":")
    tag = None
    if colon > slash:
        name, tag = name[:colon], name[colon + 1 :]
        if not is_tag(tag):
            raise InvalidReferenceError(text, f"{tag[:40]!r} is not a tag")
    registry, repository = _split(text, name)
    if tag is None and digest is None:
        tag = _DEFAULT_TAG
    return Reference(registry, repository, tag, digest)


def is_tag(text: str) -> bool:
    """Return whether a text can be a tag."""
    return _TAG.fullmatch(text) is not None


def parse_repository(text: str) -> Reference:
    """Parse the name of a repository, which has neither tag nor digest.

    Raises:
        InvalidReferenceError: The text breaks the grammar, or has a tag or digest.
    """
    if "@" in text or text.rfind(":") > text.rfind("/"):
        raise InvalidReferenceError(text, "name the repository alone, without a tag or digest")
    registry, repository, _, _ = parse_reference(text)
    return Reference(registry, repository, None, None)


def _parse_digest(text: str, digest_text: str) -> Digest:
    try:
        return Digest(digest_text)
    except InvalidDigestError as error:
        raise InvalidReferenceError(text, str(error)) from error


def _split(text: str, name: str) -> tuple[str, str]:
    """Split a name into registry and repository, as ``splitDockerDomain`` does."""
    if _HEX_NAME.fullmatch(name):
        raise InvalidReferenceError(text, "64 hexadecimal characters name an image ID, not a place")
    first, slash, rest = name.partition("/")
    is_registry = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    registry, repository = (first, rest) if is_registry else (DEFAULT_REGISTRY, name)
    registry = DEFAULT_REGISTRY if registry == _OLD_DEFAULT else registry
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL + repository
    _check(text, registry, repository)
    return registry, repository


def _check(text: str, registry: str, repository: str) -> None:
    if repository != repository.lower():
        raise InvalidReferenceError(text, "the repository must be in lower case")
    if len(registry) + 1 + len(repository) > _NAME_CHARS:
        raise InvalidReferenceError(text, f"the name is longer than {_NAME_CHARS} characters")
    domain = _DOMAIN.fullmatch(registry)
    if domain is None or int(domain["port"] or 0) > _HIGHEST_PORT:
        raise InvalidReferenceError(text, f"{registry[:80]!r} is not a registry's host[:port]")
    if _PATH.fullmatch(repository) is None:
        raise InvalidReferenceError(text, f"{repository[:80]!r} is not a repository")
