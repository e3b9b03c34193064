"""The artifacts that name a manifest as their subject: by the registry's API, or by a tag.

A registry without the referrers API leaves it to its clients to keep an index of them under a tag
that is made from the subject's digest: https://github.com/opencontainers/distribution-spec,
"Referrers Tag Schema" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from contentdb.oci.documents.manifest import (
    MANIFEST_BYTES,
    entries_of,
    parse_descriptor,
    parse_document,
)
from contentdb.oci.documents.media_types import OCI_INDEX
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import (
    InvalidManifestError,
    ObjectNotFoundError,
    RegistryError,
    UnauthorizedError,
)
from contentdb.oci.failures import BUSY
from contentdb.oci.registry.pages import pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.digest import Digest
    from contentdb.oci.documents.manifest import Descriptor, Document
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.registry.session import Session

__all__ = ["entry_of", "list_by_tag", "referrers_of", "tag_of", "unlist_by_tag"]

_JSON: Final = frozenset({None, OCI_INDEX, "application/json"})
_ROUNDS: Final = 3
"""How often to add an entry that another client's push overwrote."""


def tag_of(subject: Digest) -> str:
    """Return the tag of the index of a manifest's referrers, e.g. ``sha256-2cf2…``."""
    return f"{subject.algorithm[:32]}-{subject.encoded[:64]}"


def referrers_of(
    registry: Registry,
    session: Session,
    repository: str,
    subject: Digest,
    artifact_type: str | None = None,
) -> Iterator[Descriptor]:
    """Yield what the registry lists; it may ignore the type. See `Registry.referrers`."""
    thing = f"{repository}@{subject}"
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    found = pages(
        session,
        f"{repository}/referrers/{subject}{query}",
        thing,
        scope=f"repository:{repository}:pull",
        accept=OCI_INDEX,
    )
    try:
        page = next(found)
    except RegistryError as error:
        if error.status is None or error.status in BUSY:
            raise
        yield from _listed_by_tag(registry, repository, subject)
        return
    if page.media_type not in _JSON:  # a page for people, from a server that has one for any path
        yield from _listed_by_tag(registry, repository, subject)
        return
    for each in chain([page], found):
        try:
            index = parse_document(each.data, OCI_INDEX)
        except InvalidManifestError as error:
            session.refuse(thing, f"its list of referrers is none: {error.reason}")
        yield from index.manifests


def entry_of(data: bytes, document: Document, digest: Digest) -> dict[str, Any]:
    """Return the entry of an artifact in the index of its subject's referrers."""
    entry: dict[str, Any] = {
        "mediaType": document.media_type,
        "digest": digest,
        "size": len(data),
    }
    config_type = None if document.config is None else document.config.media_type
    if artifact_type := document.artifact_type or config_type:
        entry["artifactType"] = artifact_type
    annotations = parse_object(data, most_bytes=MANIFEST_BYTES).get("annotations")
    if isinstance(annotations, dict) and annotations:
        entry["annotations"] = annotations
    return entry


def list_by_tag(
    registry: Registry, session: Session, repository: str, subject: Digest, entry: dict[str, Any]
) -> str | None:
    """Add an entry to the index under the subject's tag, unless it is in it; keep the others.

    Two clients that do this at once may overwrite each other's entry, so it looks again.

    Returns:
        None, or why it is not sure that the entry is in the index.

    Raises:
        RegistryError: The index is full, is none, or cannot be written.
    """
    for round_ in range(_ROUNDS + 1):
        if round_ > 1:
            session.pause(0.25 * 2**round_)
        try:
            index = _by_tag(registry, repository, subject)
        except UnauthorizedError:
            return f"this account may not read the list under {tag_of(subject)}"
        entries = entries_of(index)
        if any(one["digest"] == entry["digest"] for one in entries):
            return None
        if round_ < _ROUNDS:
            _write(session, repository, subject, index | {"manifests": [*entries, entry]})
    return f"the list under {tag_of(subject)} does not show it yet"


def unlist_by_tag(
    registry: Registry, session: Session, repository: str, subject: Digest, digest: Digest
) -> None:
    """Take an entry out of the index under the subject's tag; see `Registry.unlist_referrer`."""
    index = _by_tag(registry, repository, subject)
    entries = entries_of(index)
    left = [one for one in entries if one["digest"] != digest]
    if len(left) == len(entries):
        raise ObjectNotFoundError(
            session.name,
            f"{repository}:{tag_of(subject)}",
            f"it does not list {digest}",
            "a registry that lists artifacts itself ends that when the artifact is deleted there",
        )
    _write(session, repository, subject, index | {"manifests": left})


def _write(session: Session, repository: str, subject: Digest, index: dict[str, Any]) -> None:
    thing = f"{repository}:{tag_of(subject)}"
    data = json.dumps(index).encode()
    try:
        parse_document(data, OCI_INDEX)
    except InvalidManifestError as error:
        advice = "remove artifacts that are not needed any more from that index"
        raise RegistryError(
            session.name, thing, f"the list of referrers is full: {error.reason}", advice
        ) from error
    session.request(
        "PUT",
        f"{repository}/manifests/{tag_of(subject)}",
        thing,
        scope=f"repository:{repository}:pull,push",
        headers={"Content-Type": OCI_INDEX},
        body=data,
        ok=(201, 202),
    ).close()


def _by_tag(registry: Registry, repository: str, subject: Digest) -> dict[str, Any]:
    """Return the index under the subject's tag, checked, or a new one."""
    try:
        served = registry.manifest(repository, tag_of(subject))
    except ObjectNotFoundError:
        return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    try:
        if parse_document(served.data, served.media_type).is_index:
            return parse_object(served.data, most_bytes=MANIFEST_BYTES)
        reason = "it is no index"
    except InvalidManifestError as error:
        reason = error.reason
    raise RegistryError(
        registry.name,
        f"{repository}:{tag_of(subject)}",
        f"what has the tag of a list of referrers is none: {reason}",
        "give it another tag, and remove this one",
    )


def _listed_by_tag(registry: Registry, repository: str, subject: Digest) -> tuple[Descriptor, ...]:
    index = _by_tag(registry, repository, subject)
    return tuple(
        parse_descriptor(entry, f"manifests[{n}]") for n, entry in enumerate(entries_of(index))
    )
