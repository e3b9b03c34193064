"""A client of one registry, which it does not trust.

The protocol is https://github.com/opencontainers/distribution-spec. The client checks a server's
answers: it bounds bodies, compares lengths and ranges with the request, and verifies a manifest's
digest. `contentdb.oci.registry.session` guards the exchange itself.
"""

# Long: one class has the calls of one protocol.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import quote

from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError
from contentdb.oci.documents.manifest import MANIFEST_BYTES
from contentdb.oci.documents.media_types import ACCEPT, LEGACY, bare
from contentdb.oci.errors import (
    HostileRegistryError,
    given_up,
)
from contentdb.oci.failures import BrokenError, OversizeError
from contentdb.oci.registry.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import BinaryIO

    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.transport import Answer

__all__ = ["BlobStream", "Registry", "Served"]

_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


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

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the bytes from `start`; see `Answer.chunks`."""
        return self.answer.chunks(most_bytes)


class Registry:
    """A client of one registry. Thread-safe; close it when done.

    Args:
        name: As in a reference, e.g. ``docker.io`` or ``127.0.0.1:5000``.
        credentials: The user's; None is anonymous.
        plain_http: Use http; only for this machine, unless ``insecure``.
        insecure: Allow ``plain_http`` over the network, which exposes content and secrets.
        ca: A file of further CA certificates (PEM).
        cert: Files of a client certificate and its key (PEM).
        trusted_realms: Hosts that may see the credentials if the registry names them as its
            token server.
        grace_s: Seconds that the registry may stay silent.
        least_rate: Bytes per second that it must sustain.
        pause: Called with the seconds to wait between tries; `interrupt` ends the default wait.

    Raises:
        InvalidArgumentError: ``plain_http`` is set for another machine.
    """

    def __init__(  # noqa: PLR0913 - each is an independent setting of a connection
        self,
        name: str,
        *,
        credentials: Credentials | None = None,
        plain_http: bool = False,
        insecure: bool = False,
        ca: str | None = None,
        cert: tuple[str, str | None] | None = None,
        trusted_realms: Iterable[str] = (),
        grace_s: float = 30.0,
        least_rate: float = 1024.0,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.name = name
        self._session = Session(
            name,
            credentials=credentials,
            plain_http=plain_http,
            insecure=insecure,
            ca=ca,
            cert=cert,
            trusted_realms=trusted_realms,
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

    def pause(self, seconds: float) -> None:
        """Wait between two tries."""
        self._session.pause(seconds)

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
            ObjectNotFoundError: The registry has no such manifest of those media types.
            HostileRegistryError: The manifest is too long, or does not match its digest.
        """
        thing = f"{repository}@{name}" if ":" in name else f"{repository}:{name}"
        answer = self._session.request(
            "GET",
            f"{repository}/manifests/{name}",
            thing,
            scope=_scope(repository, "pull"),
            headers={"Accept": ", ".join(accept)},
        )
        data = self._read_whole(
            answer, thing, MANIFEST_BYTES if size is None else min(size, MANIFEST_BYTES)
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
        """Return whether the repository has a manifest of this tag or digest."""
        return self._exists(repository, f"manifests/{name}", {"Accept": ", ".join(ACCEPT)})

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Return whether the repository has a blob."""
        return self._exists(repository, f"blobs/{digest}", {})

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return a blob's size in bytes, or None if the registry does not state it.

        Raises:
            ObjectNotFoundError: The repository has no such blob.
        """
        thing = f"{repository}@{digest}"
        scope = _scope(repository, "pull")
        answer = self._session.request(
            "HEAD", f"{repository}/blobs/{digest}", thing, scope=scope, headers={}
        )
        answer.close()
        return self._check_length(answer, thing, None)

    def blob(
        self, repository: str, digest: Digest, *, offset: int = 0, size: int | None = None
    ) -> BlobStream:
        """Request a blob. The caller has to verify the bytes.

        Args:
            repository: The repository to get it from.
            digest: The blob.
            offset: Where to begin, in bytes; must be below ``size``.
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
            headers={"Range": f"bytes={offset}-"} if offset else {},
        )
        try:
            return self._stream(answer, thing, offset, size)
        except HostileRegistryError:
            answer.close()
            raise

    # -- writing ---------------------------------------------------------------------------

    def mount(self, repository: str, digest: Digest, source: str) -> str | None:
        """Mount a blob from another repository of this registry.

        Returns:
            None if the blob was mounted; else the URL of an upload that the registry began.
        """
        path = f"{repository}/blobs/uploads/?mount={quote(digest)}&from={quote(source, safe='')}"
        scope = f"{_scope(repository, 'pull,push')} {_scope(source, 'pull')}"
        answer = self._session.request(
            "POST", path, f"{repository}@{digest}", scope=scope, headers={}, ok=(201, 202)
        )
        answer.close()
        return None if answer.status == 201 else self._session.location(answer, repository)  # noqa: PLR2004 - HTTP

    def begin_upload(self, repository: str) -> str:
        """Begin an upload, and return the URL to send it to."""
        answer = self._session.request(
            "POST",
            f"{repository}/blobs/uploads/",
            repository,
            scope=_scope(repository, "pull,push"),
            headers={"Content-Length": "0"},
            ok=(202,),
        )
        answer.close()
        return self._session.location(answer, repository)

    def send_chunk(self, repository: str, url: str, data: BinaryIO, start: int, size: int) -> str:
        """Upload ``size`` bytes at the blob's offset ``start``; return the next URL."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Content-Range": f"{start}-{start + size - 1}",
        }
        answer = self._send_to(url, "PATCH", repository, headers, data, ok=(202,))
        return self._session.location(answer, repository)

    def finish_upload(
        self, repository: str, url: str, digest: Digest, data: BinaryIO | bytes = b"", size: int = 0
    ) -> None:
        """Upload the rest, if any, and ask the registry to verify the digest."""
        joint = "&" if "?" in url else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._send_to(
            f"{url}{joint}digest={quote(digest)}",
            "PUT",
            f"{repository}@{digest}",
            headers,
            data,
            ok=(201, 204),
        )

    def put_manifest(self, repository: str, name: str, data: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest, and compare what the registry gives back.

        Raises:
            HostileRegistryError: The registry gives back other bytes.
        """
        thing = f"{repository}@{name}" if ":" in name else f"{repository}:{name}"
        answer = self._session.request(
            "PUT",
            f"{repository}/manifests/{name}",
            thing,
            scope=_scope(repository, "pull,push"),
            headers={"Content-Type": media_type},
            body=data,
            ok=(201, 202),
        )
        answer.close()
        if self.manifest(repository, name).data != data:
            self._session.refuse(
                thing,
                "it gives back other bytes than it was sent",
                "push again, or to another registry",
            )

    def _exists(self, repository: str, path: str, headers: Mapping[str, str]) -> bool:
        thing = f"{repository}/{path}"
        scope = _scope(repository, "pull")
        answer = self._session.request(
            "HEAD", thing, thing, scope=scope, headers=headers, ok=(200, 404)
        )
        answer.close()
        return answer.status == 200  # noqa: PLR2004 - HTTP

    def _send_to(
        self,
        url: str,
        method: str,
        thing: str,
        headers: Mapping[str, str],
        body: BinaryIO | bytes | None,
        *,
        ok: tuple[int, ...],
    ) -> Answer:
        repository = thing.partition("@")[0]
        answer = self._session.request(
            method,
            url,
            thing,
            scope=_scope(repository, "pull,push"),
            headers=headers,
            body=body,
            ok=ok,
        )
        answer.close()
        return answer

    # -- what answers say ------------------------------------------------------------------

    def _stream(self, answer: Answer, thing: str, offset: int, size: int | None) -> BlobStream:
        if answer.status == 206 or answer.headers.get("Content-Range"):  # noqa: PLR2004 - HTTP
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status != 206 or found is None or not offset:  # noqa: PLR2004 - HTTP
                self._session.refuse(thing, "it answers with a range that was not asked for")
            first, last, whole = (int(text) for text in found.groups())
            if first != offset or last != whole - 1 or (size is not None and whole != size):
                self._session.refuse(
                    thing, f"asked for bytes {offset}- of {size}, it answers {first}-{last}/{whole}"
                )
            self._check_length(answer, thing, whole - first)
            return BlobStream(answer, first, whole)
        length = self._check_length(answer, thing, size)
        return BlobStream(answer, 0, size if size is not None else length)

    def _check_length(self, answer: Answer, thing: str, wanted: int | None) -> int | None:
        text = answer.headers.get("Content-Length")
        if text is None:
            return wanted
        if not text.isascii() or not text.isdecimal() or len(text) > 19:  # noqa: PLR2004 - of 2**63
            self._session.refuse(thing, "its Content-Length is not a count of bytes")
        if wanted is not None and int(text) != wanted:
            self._session.refuse(thing, f"expected {wanted} bytes, it announces {text}")
        return int(text)

    def _read_whole(self, answer: Answer, thing: str, most_bytes: int) -> bytes:
        try:
            self._check_length(answer, thing, None)
            return answer.read(most_bytes)
        except OversizeError:
            self._session.refuse(thing, f"it sends more than {most_bytes} bytes")
        except BrokenError as error:
            raise given_up(error, self.name, thing, "try again") from error
        finally:
            answer.close()

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
