"""Uploads a blob in the way that its registry takes: whole in one request, or in chunks.

The protocol is https://github.com/opencontainers/distribution-spec, "Pushing blobs". Registries and
the proxies before them differ: some refuse a long request, some refuse chunks or take only a part
of one. So the upload goes on from where the registry says that it stands, sends smaller chunks, and
turns to the other way, within a bounded number of tries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from contentdb.logs import inform
from contentdb.oci.errors import (
    HostileRegistryError,
    ObjectNotFoundError,
    RegistryError,
    TooSlowError,
    UnauthorizedError,
    UnreachableError,
    UploadBrokenError,
)
from contentdb.oci.registry.chunks import Begun, Chunks
from contentdb.oci.registry.hints import has_blob
from contentdb.oci.registry.parts import Part, SourceError, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.digest import Digest
    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.parts import Opener
    from contentdb.oci.registry.session import Session

__all__ = ["Upload"]

_LEAST_DIGITS: Final = 18
"""Limit for the number of an OCI-Chunk-Min-Length, below 2**63."""


class Upload:
    """One blob's way into a repository. Not thread-safe.

    Args:
        session: Sends the requests.
        repository: Where to.
        digest: The blob; the registry verifies it.
        size: Its size in bytes.
        chunk_bytes: Send a larger blob in chunks of this size first; None sends it whole first.
    """

    def __init__(
        self,
        session: Session,
        repository: str,
        digest: Digest,
        size: int,
        *,
        chunk_bytes: int | None = None,
    ) -> None:
        self._session = session
        self._repository = repository
        self._digest = digest
        self._size = size
        self._scope = f"repository:{repository}:pull,push"
        self._whole = chunk_bytes is None or size <= chunk_bytes
        self._chunks = Chunks(session, repository, size, chunk_bytes)
        self._turned = size == 0
        self._tries = session.tries()
        self._begun: Begun | None = None

    @property
    def begun(self) -> bool:
        """Whether the registry began an upload instead of mounting the blob."""
        return self._begun is not None

    def mount(self, source: str) -> bool:
        """Ask for the blob from another repository of the registry; return whether it came.

        A registry that refuses, and a token server that gives no token for both repositories, mean
        only that the blob has to be sent.

        Raises:
            UnreachableError: The registry cannot be reached.
        """
        query = f"?mount={quote(self._digest)}&from={quote(source, safe='')}"
        scope = f"{self._scope} repository:{source}:pull"
        try:
            answer = self._begin(query, scope, ok=(201, 202))
        except RegistryError as error:
            if isinstance(error, UnreachableError) and error.status is None:
                raise
            inform("oci", "not mounted", blob=self._digest, source=source, why=error.reason)
            return False
        return answer.status == 201  # noqa: PLR2004 - HTTP

    def begin(self) -> None:
        """Begin now, to learn of a refusal before the bytes are at hand; else `send` begins.

        Raises:
            RegistryError: The registry takes no blobs from this user.
        """
        if self._begun is None:
            self._begin("", self._scope, ok=(202,))

    def send(
        self, open_at: Opener, *, moved: Callable[[int], object] = lambda _offset: None
    ) -> None:
        """Send the blob, a piece at a time, and let the registry verify it.

        May be repeated. The registry has the blob on return.

        Args:
            open_at: Opens the blob at an offset; it is called again to go back.
            moved: Called with the offset of each piece; an exception from it ends the upload.

        Raises:
            RegistryError: The registry takes the blob in neither way, or broke off too often.
        """
        while True:
            self.begin()
            try:
                self._send(open_at, moved)
            except SourceError as error:
                raise error.cause from None
            except RegistryError as error:
                self._begun = None
                if self._change(error):
                    return
            else:
                return

    # -- what to do after a failure --------------------------------------------------------

    def _change(self, error: RegistryError) -> bool:
        """Choose how to send the blob after a failure, or raise it; True if the blob arrived."""
        lasting = isinstance(error, HostileRegistryError | TooSlowError | UnauthorizedError)
        lasting |= isinstance(error, UploadBrokenError) and not self._session.retries
        if lasting or error.code == "DIGEST_INVALID":
            raise error
        passing = isinstance(error, UnreachableError | ObjectNotFoundError)
        if passing and self._has_arrived():
            return True
        waited = passing and self._tries.again(getattr(error, "after_s", None))
        if not waited and (self._whole or not self._chunks.shrink(error)) and not self._turn(error):
            raise error
        way = "whole" if self._whole else f"in chunks of {self._chunks.size_bytes} bytes"
        inform("oci", "uploading again", blob=self._digest, way=way, why=error.reason)
        return False

    def _turn(self, error: RegistryError) -> bool:
        """Change to the other way, once, unless the registry lost this one."""
        if self._turned or isinstance(error, ObjectNotFoundError):
            return False
        self._turned = True
        if self._whole and self._size <= self._chunks.size_bytes:
            self._chunks.shrink(error)
        self._whole = not self._whole
        self._tries = self._session.tries()
        return True

    def _has_arrived(self) -> bool:
        """Return whether the blob is there: an answer can be lost after the work was done."""
        try:
            return has_blob(
                self._session, self._repository, self._digest, self._size, scope=self._scope
            )
        except TooSlowError:  # or interrupted
            raise
        except RegistryError:
            return False

    # -- requests --------------------------------------------------------------------------

    def _begin(self, query: str, scope: str, *, ok: tuple[int, ...]) -> Answer:
        path = f"{self._repository}/blobs/uploads/{query}"
        thing = f"{self._repository}@{self._digest}" if query else self._repository
        headers = {"Content-Length": "0"}
        answer = self._session.request("POST", path, thing, scope=scope, headers=headers, ok=ok)
        answer.close()
        if answer.status == 202:  # noqa: PLR2004 - HTTP
            url = self._session.location(answer, self._repository, path)
            text = answer.headers.get("OCI-Chunk-Min-Length", "")
            plain = text.isascii() and text.isdecimal() and len(text) <= _LEAST_DIGITS
            least = int(text) if plain else 0
            self._begun = Begun(url, least)
        return answer

    def _send(self, open_at: Opener, moved: Callable[[int], object]) -> None:
        assert self._begun is not None  # noqa: S101 - `send` began it
        if not self._size:
            self._finish(self._begun.url, b"")
        elif self._whole:
            self._finish(self._begun.url, Part(open_at, 0, self._size, moved))
        else:
            self._finish(self._chunks.send(self._begun, open_at, moved), b"")

    def _finish(self, url: str, body: Part | bytes) -> None:
        """Send the rest, if any, and ask the registry to verify the digest."""
        size = self._size if isinstance(body, Part) else 0
        joint = "&" if "?" in url else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        url = f"{url}{joint}digest={quote(self._digest)}"
        stream(
            self._session, "PUT", url, f"{self._repository}@{self._digest}",
            scope=self._scope, headers=headers, body=body, ok=(201, 204),
        ).close()  # fmt: skip
