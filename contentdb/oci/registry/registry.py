"""A client of one registry, which it does not trust.

The protocol is https://github.com/opencontainers/distribution-spec. The client checks a server's
answers: it bounds bodies, compares lengths and ranges with the request, and verifies a manifest's
digest. `contentdb.oci.registry.session` guards the exchange itself.
"""

# Long: one class has the calls of one protocol.

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError, InvalidDigestError
from contentdb.oci.documents.manifest import MANIFEST_BYTES
from contentdb.oci.documents.media_types import ACCEPT, LEGACY, bare
from contentdb.oci.errors import (
    HostileRegistryError,
    shown,
)
from contentdb.oci.registry.hints import has_blob, has_object
from contentdb.oci.registry.pages import tags_of
from contentdb.oci.registry.publish import Published, Sent, publish
from contentdb.oci.registry.referrers import referrers_of, unlist_by_tag
from contentdb.oci.registry.session import Session
from contentdb.oci.registry.span import asked_range, served_span
from contentdb.oci.registry.upload import Upload
from contentdb.oci.registry.whole import check_length, get_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from contentdb.oci.documents.manifest import Descriptor
    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.endpoint import Endpoint
    from contentdb.oci.registry.proxy import Proxies
    from contentdb.oci.registry.tries import Tries

__all__ = ["BlobStream", "Registry", "Served"]


class Served(NamedTuple):
    """A manifest as served; its bytes have been verified against ``digest``."""

    data: bytes
    digest: Digest
    media_type: str | None
    """The Content-Type, without parameters."""


class BlobStream(NamedTuple):
    """The response with a blob's bytes. Close ``answer`` after use."""

    answer: Answer
    start: int
    """The offset in the blob where the bytes begin; 0 if the registry ignored the range."""
    size: int | None
    """The blob's size in bytes, if the registry states it."""
    stop: int | None = None
    """The offset where they end, perhaps earlier than asked; None if unknown."""

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the bytes from `start`; see `Answer.chunks`."""
        return self.answer.chunks(most_bytes)


class Registry:
    """A client of one registry. Thread-safe; close it when done.

    Args:
        name: As in a reference, e.g. ``docker.io`` or ``127.0.0.1:5000``.
        credentials: The user's; None is anonymous.
        place: Where to reach it, if not at its name; then ``plain_http`` is not looked at.
        plain_http: Use http; only for this machine, unless ``insecure``.
        insecure: Allow ``plain_http`` over the network, which exposes content and secrets.
        ca: A file of further CA certificates (PEM).
        cert: Files of a client certificate and its key (PEM).
        trusted_realms: Hosts that may see the credentials if the registry names them as its
            token server.
        proxies: The proxies to go through; by default none, whatever the environment says.
        retries: How often to try a request again after a break or a busy answer; 0 is never.
        timeout_s: Seconds to wait for the first byte of an answer.
        grace_s: Seconds that the registry may stay silent at any other time: while a connection
            is made, a body sent, an answer read.
        least_rate: Bytes per second that it must sustain.
        pause: Called with the seconds to wait between tries; `interrupt` ends the default wait.

    Raises:
        InvalidArgumentError: ``plain_http`` is set for another machine, or a number or the proxy
            cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each is an independent setting of a connection
        self,
        name: str,
        *,
        credentials: Credentials | None = None,
        place: Endpoint | None = None,
        plain_http: bool = False,
        insecure: bool = False,
        ca: str | None = None,
        cert: tuple[str, str | None] | None = None,
        trusted_realms: Iterable[str] = (),
        proxies: Proxies | None = None,
        retries: int = 4,
        timeout_s: float = 300.0,
        grace_s: float = 30.0,
        least_rate: float = 1024.0,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.name = name
        self._session = Session(
            name,
            credentials=credentials,
            place=place,
            plain_http=plain_http,
            insecure=insecure,
            ca=ca,
            cert=cert,
            trusted_realms=trusted_realms,
            proxies=proxies,
            retries=retries,
            timeout_s=timeout_s,
            grace_s=grace_s,
            least_rate=least_rate,
            pause=pause,
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def interrupt(self) -> None:
        """Cut the exchanges of all threads, as if they were too slow.

        Later requests fail too, until `resume`, since a thread may be between two requests.
        """
        self._session.interrupt()

    def resume(self) -> None:
        """Allow requests again after `interrupt`; `pull` and `push` call this at their start."""
        self._session.resume()

    @property
    def retries(self) -> int:
        """How often to try again."""
        return self._session.retries

    def tries(self) -> Tries:
        """Return a count of tries, with the waits between them, for a step of several requests."""
        return self._session.tries()

    def pause(self, seconds: float) -> None:
        """Wait between two tries."""
        self._session.pause(seconds)

    @property
    def place(self) -> Endpoint:
        """Where this client reaches it."""
        return self._session.place

    def speaks(self) -> bool:
        """Return whether a server answers there, whatever it says; try once."""
        return self._session.speaks()

    def doubt(self, digest: Digest) -> bool:
        """Note that a blob's bytes are wrong; return whether another place may have the right ones.

        A registry without mirrors is the only place.
        """
        del digest
        return False

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # -- reading ---------------------------------------------------------------------------

    def manifest(
        self, repository: str, name: str, *, accept: Iterable[str] = ACCEPT, size: int | None = None
    ) -> Served:
        """Get a manifest by tag or digest, and verify its digest.

        Args:
            repository: The repository to get it from.
            name: A tag or a digest.
            accept: Media types to ask for.
            size: The descriptor's size in bytes; another length is refused.

        Raises:
            InvalidArgumentError: ``accept`` has what is no media type.
            ObjectNotFoundError: The registry has no such manifest of those media types.
            HostileRegistryError: The manifest is too long, or does not match its digest.
        """
        thing = f"{repository}@{name}" if ":" in name else f"{repository}:{name}"
        headers = {"Accept": ", ".join(map(_sendable, accept))}
        answer, data = get_whole(
            self._session,
            f"{repository}/manifests/{name}",
            thing,
            scope=_scope(repository, "pull"),
            headers=headers,
            most_bytes=MANIFEST_BYTES if size is None else min(size, MANIFEST_BYTES),
        )
        media_type = bare(answer.headers.get("Content-Type"))
        if media_type in LEGACY:
            self._session.refuse(
                thing,
                "it serves schema 1, whose digest does not cover its bytes",
                "push the image anew",
            )
        if size is not None and len(data) != size:
            self._session.refuse(thing, f"expected {size} bytes, got {len(data)}")
        wanted = Digest(name) if ":" in name else None
        return Served(data, self._check_digest(data, answer, thing, wanted), media_type)

    def has_manifest(self, repository: str, name: str) -> bool:
        """Return whether the repository says that it has a manifest of this tag or digest.

        False if it does not tell: a HEAD is a hint.
        """
        path = f"{repository}/manifests/{name}"
        headers = {"Accept": ", ".join(ACCEPT)}
        return has_object(self._session, path, scope=_scope(repository, "pull"), headers=headers)

    def has_blob(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        """Return whether the repository says that it has a blob, of ``size`` bytes if given.

        False if it does not tell: a HEAD is a hint.
        """
        return has_blob(self._session, repository, digest, size, scope=_scope(repository, "pull"))

    def tags(self, repository: str) -> Iterator[str]:
        """Yield the tags of a repository in the registry's order, a page of them at a time.

        Raises:
            ObjectNotFoundError: There is no such repository.
            HostileRegistryError: The list has no end, leads elsewhere, or is none.
        """
        return tags_of(self._session, repository)

    def referrers(
        self, repository: str, digest: Digest, *, artifact_type: str | None = None
    ) -> Iterator[Descriptor]:
        """Yield the artifacts whose ``subject`` is this manifest, as the registry lists them.

        They come from the referrers API, or from the index that clients keep under the tag
        ``sha256-…`` where a registry has no such API. The artifacts are not fetched, so it is not
        verified that they name the subject.

        Args:
            repository: Where to look.
            digest: The subject, which need not be there.
            artifact_type: Yield only those of this type.

        Raises:
            HostileRegistryError: The list has no end, leads elsewhere, or is none.
        """
        found = referrers_of(self, self._session, repository, digest, artifact_type)
        return (one for one in found if artifact_type in {None, one.artifact_type})

    def blob(
        self,
        repository: str,
        digest: Digest,
        *,
        offset: int = 0,
        stop: int | None = None,
        size: int | None = None,
    ) -> BlobStream:
        """Request a blob, or a part of it. The caller has to verify the bytes.

        Args:
            repository: The repository to get it from.
            digest: The blob.
            offset: Where to begin, in bytes; must be below ``size``.
            stop: Where to end; None asks for all from ``offset`` on. The registry may send less
                of it, or ignore both and send the whole.
            size: The blob's size in bytes, if known; another size in the answer is refused.

        Raises:
            ObjectNotFoundError: The repository has no such blob.
            HostileRegistryError: The answer's range or length does not match.
        """
        thing = f"{repository}@{digest}"
        answer = self._session.request(
            "GET",
            f"{repository}/blobs/{digest}",
            thing,
            scope=_scope(repository, "pull"),
            headers=asked_range(offset, stop),
            as_stored=True,
        )
        try:
            return self._stream(answer, thing, offset, stop, size)
        except HostileRegistryError:
            answer.close()
            raise

    # -- writing ---------------------------------------------------------------------------

    def upload(
        self, repository: str, digest: Digest, size: int, *, chunk_bytes: int | None = None
    ) -> Upload:
        """Return the upload of a blob, which can mount it from another repository, or send it.

        Args:
            repository: Where to.
            digest: The blob; the registry verifies it.
            size: Its size in bytes.
            chunk_bytes: Send a larger blob in chunks of this size first; None sends it whole first.
        """
        return Upload(self._session, repository, digest, size, chunk_bytes=chunk_bytes)

    def put_manifest(
        self, repository: str, name: str, data: bytes, media_type: str, *, patient: bool = True
    ) -> Published:
        """Store a manifest under a tag or its digest, and compare what the registry gives back.

        It is not sent if the registry has the same bytes under this name. A manifest with a
        ``subject`` is also found by `referrers` afterwards.

        Args:
            repository: Where to.
            name: A tag, or the digest of ``data``.
            data: The manifest.
            media_type: Its type.
            patient: Wait some seconds for a registry that does not show at once what it took.

        Raises:
            HostileRegistryError: The registry gives back other bytes.
        """
        return publish(
            self, self._session, Sent(repository, name, data, media_type), patient=patient
        )

    def unlist_referrer(self, repository: str, subject: Digest, referrer: Digest) -> None:
        """Take an artifact out of the index under its subject's tag, where a registry has no API.

        The artifact itself stays.

        Raises:
            ObjectNotFoundError: That index does not list it.
        """
        unlist_by_tag(self, self._session, repository, subject, referrer)

    # -- what answers say ------------------------------------------------------------------

    def _stream(
        self, answer: Answer, thing: str, offset: int, stop: int | None, size: int | None
    ) -> BlobStream:
        if answer.status == 206 or answer.headers.get("Content-Range"):  # noqa: PLR2004 - HTTP
            span = served_span(answer.headers)
            if answer.status != 206 or span is None or not asked_range(offset, stop):  # noqa: PLR2004 - HTTP
                self._session.refuse(thing, "it answers with a range that was not asked for")
            if not span.fits(offset, stop, size):
                wanted = f"{offset}-{'' if stop is None else stop - 1} of {size}"
                self._session.refuse(thing, f"asked for bytes {wanted}, it answers {span}")
            check_length(self._session, answer, thing, span.stop - span.start)
            return BlobStream(answer, span.start, span.size or size, span.stop)
        length = check_length(self._session, answer, thing, size)
        whole = size if size is not None else length
        return BlobStream(answer, 0, whole, whole)

    def _check_digest(
        self, data: bytes, answer: Answer, thing: str, wanted: Digest | None
    ) -> Digest:
        said = answer.headers.get("Docker-Content-Digest")
        try:
            told = Digest(said) if said else None
        except InvalidDigestError:
            self._session.refuse(thing, "its Docker-Content-Digest is not a digest")
        for digest in (wanted, told):
            if digest is not None and Digest.of(data, digest.algorithm) != digest:
                self._session.refuse(thing, f"its bytes do not have the digest {digest}")
        return wanted or told or Digest.of(data)


def _scope(repository: str, actions: str) -> str:
    return f"repository:{repository}:{actions}"


def _sendable(media_type: str) -> str:
    if not media_type.isascii() or not media_type.isprintable() or "/" not in media_type:
        raise InvalidArgumentError(f"{shown(media_type)!r} is no media type")
    return media_type
