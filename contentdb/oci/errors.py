"""The errors of registries and image layouts, a branch of the store's error tree.

::

    ContentDBError
     ├─ InvalidArgumentError
     │   └─ InvalidReferenceError
     ├─ IncompleteIndexError              (also NotFoundError) an index that is not stored whole
     ├─ InvalidManifestError              a manifest or index that breaks its rules
     │   └─ InvalidLayoutError             an image layout or archive that does, with its path
     │       └─ IncompleteLayoutError      it lists more than it has
     └─ RegistryError                     names the registry, the object, and what to do
         ├─ UnreachableError              no connection, or cut too often
         │   ├─ TooSlowError              slower than the least rate for too long
     │   └─ UploadBrokenError         a part may have arrived; ask how much, or begin again
         ├─ UnauthorizedError             it wants credentials, or rejects the given ones
         ├─ ObjectNotFoundError           (also NotFoundError)
         └─ HostileRegistryError          its answer breaks the protocol; nothing was kept

No message contains a credential, a token or a query string, which may contain either.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from contentdb.errors import ContentDBError, InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentdb.digest import Digest
    from contentdb.oci.failures import BrokenError

__all__ = [
    "HostileRegistryError",
    "IncompleteIndexError",
    "IncompleteLayoutError",
    "InvalidLayoutError",
    "InvalidManifestError",
    "InvalidReferenceError",
    "ObjectNotFoundError",
    "RegistryError",
    "TooSlowError",
    "UnauthorizedError",
    "UnreachableError",
    "UploadBrokenError",
    "given_up",
    "shown",
]

_SHOWN_CHARS = 200
_NAMED = 4
"""Limit of digests in one message."""


def shown(text: str) -> str:
    """Return untrusted text fit for one line of a message: printable and short."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return clean if len(clean) <= _SHOWN_CHARS else clean[:_SHOWN_CHARS] + "…"


def _named(platforms: Mapping[str, str], joint: str) -> str:
    """Return digests with their platforms, as many as fit into a message."""
    texts = [f"{digest} ({shown(text)})" for digest, text in islice(platforms.items(), _NAMED)]
    more = f" and {len(platforms) - _NAMED} more" if len(platforms) > _NAMED else ""
    return joint.join(texts) + more


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


class InvalidLayoutError(InvalidManifestError):
    """A layout or archive cannot be imported. Attributes: ``path``, ``reason``."""

    def __init__(self, path: str, reason: str) -> None:
        ContentDBError.__init__(self, f"cannot import {shown(path)}: {reason}")
        self.path = path
        self.reason = reason


class IncompleteLayoutError(InvalidLayoutError):
    """A layout or archive lists what neither it nor the store has.

    Attributes: ``path``, ``reason``, ``missing`` (digests).
    """

    def __init__(self, path: str, missing: Sequence[Digest], *, partial: bool) -> None:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        advice = (
            "no image in it is whole; get it again"
            if partial
            else "it was cut off, or has fewer platforms than its index lists: get it again, or "
            "import what is whole by --partial (partial=True)"
        )
        super().__init__(path, f"it lacks {missing[0]}{more}, which it lists; {advice}")
        self.missing = tuple(missing)


class IncompleteIndexError(NotFoundError):
    """Manifests of an index are neither stored nor in the registry; nothing was sent.

    Attributes: ``index``, ``missing``, and ``stored``, which can be pushed instead; the last two
    map digests to platforms.
    """

    def __init__(self, index: str, missing: Mapping[str, str], stored: Mapping[str, str]) -> None:
        ContentDBError.__init__(
            self,
            f"index {index} is not whole: the store lacks {_named(missing, ', ')}; "
            + (f"push {_named(stored, ' or ')} instead, or " if stored else "")
            + "first pull --all-platforms, or push --sparse, if the registry takes an index "
            "that lacks manifests",
        )
        self.digest = None
        self.ref = None
        self.index = index
        self.missing = missing
        self.stored = stored


class RegistryError(ContentDBError):
    """A request to a registry failed.

    Attributes: ``registry``, ``object``, ``reason``; ``status``, the answer's HTTP status, and
    ``code``, its error code such as ``BLOB_UNKNOWN``, if the registry answered.
    """

    status: int | None = None
    code: str = ""

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
    """The registry sent less than the least rate, or nothing, for longer than the grace time."""


class UploadBrokenError(UnreachableError):
    """An upload's connection broke, or the registry was busy, after bytes were sent.

    The registry may have taken any part of them. Attribute: ``after_s``, the seconds that it
    asked to wait, or None.
    """

    def __init__(
        self, registry: str, thing: str, reason: str, *, after_s: float | None = None
    ) -> None:
        super().__init__(registry, thing, reason, "try again later")
        self.after_s = after_s


def given_up(error: BrokenError, registry: str, thing: str, advice: str) -> UnreachableError:
    """Return the error to raise when a broken exchange is not retried."""
    kind = TooSlowError if error.slow or error.silent else UnreachableError
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
