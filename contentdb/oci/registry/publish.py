"""Puts a manifest into a registry: asks first, reads it back, and has it found by its subject.

A tag that may not be changed refuses even the bytes that it has, so the registry is asked whether
it has them. It may show what it took a moment later, or not to this account: that the manifest was
taken is then a success with a warning. Other bytes given back are an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.digest import DEFAULT_ALGORITHM, Digest
from contentdb.errors import InvalidDigestError
from contentdb.logs import warn
from contentdb.oci.documents.manifest import parse_document
from contentdb.oci.documents.media_types import ACCEPT
from contentdb.oci.errors import (
    HostileRegistryError,
    InvalidManifestError,
    ObjectNotFoundError,
    RegistryError,
    UnauthorizedError,
)
from contentdb.oci.registry.referrers import entry_of, list_by_tag, referrers_of

if TYPE_CHECKING:
    from contentdb.oci.documents.manifest import Document
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.registry.session import Session

__all__ = ["Published", "Sent", "publish"]

_WAITS_S: Final = (0.25, 0.5, 1.0, 2.0)
"""Waits between the tries of reading a manifest back."""


class Sent(NamedTuple):
    """A manifest, and where it goes."""

    repository: str
    name: str
    """A tag or a digest."""
    data: bytes
    media_type: str

    @property
    def thing(self) -> str:
        """The manifest's name for messages."""
        return f"{self.repository}{'@' if ':' in self.name else ':'}{self.name}"

    @property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        algorithm, colon, _ = self.name.partition(":")
        return Digest.of(self.data, algorithm if colon else DEFAULT_ALGORITHM)


class Published(NamedTuple):
    """What became of a manifest that was put into a registry."""

    existed: bool
    """Whether the registry had it under this name, so that it was not sent."""
    warnings: tuple[str, ...]
    """What could not be made sure of, a sentence each."""


def publish(registry: Registry, session: Session, sent: Sent, *, patient: bool = True) -> Published:
    """Put a manifest; see `contentdb.oci.registry.registry.Registry.put_manifest`."""
    document = _artifact(sent)
    if _is_there(registry, session, sent) and _is_listed(registry, session, sent, document):
        return Published(existed=True, warnings=())
    answer = session.request(
        "PUT",
        f"{sent.repository}/manifests/{sent.name}",
        sent.thing,
        scope=f"repository:{sent.repository}:pull,push",
        headers={"Content-Type": sent.media_type},
        body=sent.data,
        ok=(201, 202),
    )
    answer.close()
    doubts = [_read_back(registry, session, sent, patient=patient)]
    if document is not None and document.subject is not None:
        subject = document.subject.digest
        if answer.headers.get("OCI-Subject") != subject:
            entry = entry_of(sent.data, document, sent.digest)
            doubts.append(list_by_tag(registry, session, sent.repository, subject, entry))
    warnings = tuple(f"{sent.thing} was taken, but {doubt}" for doubt in doubts if doubt)
    for warning in warnings:
        warn("oci", "not read back", registry=registry.name, why=warning)
    return Published(existed=False, warnings=warnings)


def _artifact(sent: Sent) -> Document | None:
    """Parse a manifest that names a subject; None if it names none."""
    try:
        document = parse_document(sent.data, sent.media_type)
    except InvalidManifestError:
        return None  # it is the registry's to judge
    return None if document.subject is None else document


def _is_there(registry: Registry, session: Session, sent: Sent) -> bool:
    """Return whether the registry has these bytes under this name; False if it does not tell."""
    try:
        if _told(session, sent) not in {None, sent.digest}:
            return False
        return registry.manifest(sent.repository, sent.name).data == sent.data
    except (ObjectNotFoundError, HostileRegistryError, UnauthorizedError):
        return False
    except RegistryError as error:
        if error.status is None:
            raise
        return False


def _told(session: Session, sent: Sent) -> Digest | None:
    """Ask for the digest that a name has by a HEAD; None if the registry does not tell it."""
    try:
        answer = session.request(
            "HEAD",
            f"{sent.repository}/manifests/{sent.name}",
            sent.thing,
            scope=f"repository:{sent.repository}:pull",
            headers={"Accept": ", ".join(ACCEPT)},
        )
    except ObjectNotFoundError:
        raise
    except UnauthorizedError:
        return None
    except RegistryError as error:
        if error.status is None:
            raise
        return None
    answer.close()
    try:
        return Digest(answer.headers.get("Docker-Content-Digest", ""))
    except InvalidDigestError:
        return None


def _is_listed(registry: Registry, session: Session, sent: Sent, document: Document | None) -> bool:
    """Return whether an artifact is found by its subject already; True for what is none."""
    if document is None or document.subject is None:
        return True
    found = referrers_of(registry, session, sent.repository, document.subject.digest)
    try:
        return any(one.digest == sent.digest for one in found)
    except RegistryError as error:
        if error.status is None and not isinstance(error, HostileRegistryError):
            raise
        return False


def _read_back(registry: Registry, session: Session, sent: Sent, *, patient: bool) -> str | None:
    """Compare what the registry gives back; return why it gives nothing, None if it is right."""
    waits = iter(_WAITS_S if patient else ())
    while True:
        try:
            data = registry.manifest(sent.repository, sent.name).data
        except ObjectNotFoundError as error:
            doubt = f"the registry does not show it yet: {error.reason}"
        except UnauthorizedError as error:
            return f"this account may not read it back: {error.reason}"
        except RegistryError as error:
            if error.status is None:
                raise
            return f"the registry does not give it back: {error.reason}"
        else:
            if data == sent.data:
                return None
            doubt = ""  # perhaps what the tag had before
        wait_s = next(waits, None)
        if wait_s is not None:
            session.pause(wait_s)
        elif doubt:
            return doubt
        else:
            session.refuse(
                sent.thing,
                "it gives back other bytes than it was sent",
                "push again, or to another registry",
            )
