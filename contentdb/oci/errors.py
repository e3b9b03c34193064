"""What can go wrong with a registry, as a branch of the store's tree.

::

    ContentDBError
     ├─ InvalidArgumentError
     │   └─ InvalidReferenceError
     ├─ InvalidManifestError              a manifest, index or image layout that breaks its rules
     └─ RegistryError                     names the registry, the object, and what to do
         ├─ UnreachableError              no connection, or cut too often
         │   └─ TooSlowError              below the least rate for too long
         ├─ UnauthorizedError             it wants credentials, or refuses these
         ├─ ObjectNotFoundError           (also NotFoundError)
         └─ HostileRegistryError          an answer that breaks the protocol; nothing was kept

No message holds a credential, a token or a query string, which may hold either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.errors import ContentDBError, InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from contentdb.oci.failures import BrokenError

__all__ = [
    "HostileRegistryError",
    "InvalidManifestError",
    "InvalidReferenceError",
    "ObjectNotFoundError",
    "RegistryError",
    "TooSlowError",
    "UnauthorizedError",
    "UnreachableError",
    "given_up",
]

_SHOWN_CHARS = 200


def shown(text: str) -> str:
    """Make text from outside fit for one line of a message: printable and short."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return clean if len(clean) <= _SHOWN_CHARS else clean[:_SHOWN_CHARS] + "…"


class InvalidReferenceError(InvalidArgumentError):
    """A text that is no image reference. Attribute: ``text``."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"invalid reference {shown(text)!r}: {reason}")
        self.text = text


class InvalidManifestError(ContentDBError, ValueError):
    """A document that is not a manifest or index to be trusted. Attribute: ``reason``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid manifest: {reason}")
        self.reason = reason


class RegistryError(ContentDBError):
    """A registry that did not do its part. Attributes: ``registry``, ``object``, ``reason``."""

    def __init__(self, registry: str, thing: str, reason: str, advice: str = "") -> None:
        tail = f"; {advice}" if advice else ""
        sentence = f"registry {shown(registry)}, {shown(thing)}: {shown(reason)}{tail}"
        ContentDBError.__init__(self, sentence)  # not super(): a subclass is a NotFoundError too
        self.registry = registry
        self.object = thing
        self.reason = reason


class UnreachableError(RegistryError):
    """The registry cannot be reached, or the connection broke too often."""


class TooSlowError(UnreachableError):
    """The registry sent less than the least rate for longer than the grace time."""


def given_up(error: BrokenError, registry: str, thing: str, advice: str) -> UnreachableError:
    """What a caller is told when a broken exchange is not worth another try."""
    kind = TooSlowError if error.slow else UnreachableError
    return kind(registry, thing, str(error), advice)


class UnauthorizedError(RegistryError):
    """The registry wants credentials, or does not take these."""


class ObjectNotFoundError(RegistryError, NotFoundError):
    """The registry has no such object, or hides it from us."""

    def __init__(self, registry: str, thing: str, reason: str, advice: str = "") -> None:
        RegistryError.__init__(self, registry, thing, reason, advice)
        self.digest = None
        self.ref = None


class HostileRegistryError(RegistryError):
    """An answer that breaks the protocol: refused, and nothing of it kept."""
