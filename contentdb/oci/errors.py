"""The errors of registries and image layouts, a branch of the store's error tree.

::

    ContentDBError
     ├─ InvalidArgumentError
     │   └─ InvalidReferenceError
     ├─ InvalidManifestError              a manifest, index or image layout that breaks its rules
     └─ RegistryError                     names the registry, the object, and what to do
         ├─ UnreachableError              no connection, or cut too often
         │   └─ TooSlowError              slower than the least rate for too long
         ├─ UnauthorizedError             it wants credentials, or rejects the given ones
         ├─ ObjectNotFoundError           (also NotFoundError)
         └─ HostileRegistryError          its answer breaks the protocol; nothing was kept

No message contains a credential, a token or a query string, which may contain either.
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
    """Return untrusted text fit for one line of a message: printable and short."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return clean if len(clean) <= _SHOWN_CHARS else clean[:_SHOWN_CHARS] + "…"


class InvalidReferenceError(InvalidArgumentError):
    """A text is not an image reference. Attribute: ``text``."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"invalid reference {shown(text)!r}: {reason}")
        self.text = text


class InvalidManifestError(ContentDBError, ValueError):
    """A document is not a valid manifest or index. Attribute: ``reason``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid manifest: {reason}")
        self.reason = reason


class RegistryError(ContentDBError):
    """A request to a registry failed. Attributes: ``registry``, ``object``, ``reason``."""

    def __init__(self, registry: str, thing: str, reason: str, advice: str = "") -> None:
        tail = f"; {advice}" if advice else ""
        sentence = f"registry {shown(registry)}, {shown(thing)}: {shown(reason)}{tail}"
        ContentDBError.__init__(self, sentence)  # not super(): a subclass is a NotFoundError too
        self.registry = registry
        self.object = thing
        self.reason = reason


class UnreachableError(RegistryError):
    """The client cannot reach the registry, or the connection broke too often."""


class TooSlowError(UnreachableError):
    """The registry sent less than the least rate for longer than the grace time."""


def given_up(error: BrokenError, registry: str, thing: str, advice: str) -> UnreachableError:
    """Return the error to raise when a broken exchange is not retried."""
    kind = TooSlowError if error.slow else UnreachableError
    return kind(registry, thing, str(error), advice)


class UnauthorizedError(RegistryError):
    """The registry wants credentials, or rejects the given ones."""


class ObjectNotFoundError(RegistryError, NotFoundError):
    """The registry has no such object, or hides it from this user."""

    def __init__(self, registry: str, thing: str, reason: str, advice: str = "") -> None:
        RegistryError.__init__(self, registry, thing, reason, advice)
        self.digest = None
        self.ref = None


class HostileRegistryError(RegistryError):
    """An answer breaks the protocol; the client keeps nothing of it."""
