"""One answer's body: read once, counted, bounded, never decoded."""

from __future__ import annotations

import re
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from urllib3.exceptions import HTTPError, ReadTimeoutError

from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import InvalidManifestError
from contentdb.oci.failures import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import HTTPHeaderDict
    from urllib3.response import HTTPResponse

    from contentdb.oci.registry.connection import Connection
    from contentdb.oci.registry.watchdog import Exchange

__all__ = ["BREAKS", "Answer", "error_code"]

CHUNK_BYTES: Final = 1024 * 1024
"""Limit for one piece of a body."""
BREAKS: Final = (HTTPError, HTTPException, OSError, ValueError, AttributeError)
"""Errors of a broken connection; AttributeError if the socket is shut during a TLS read."""
_ERROR_BYTES: Final = 64 * 1024
_CODE: Final = re.compile(r"[A-Z_]{1,60}")


class Answer:
    """A response whose body has not been read yet; read it, or drop it with `close`."""

    def __init__(
        self,
        conn: Connection,
        response: HTTPResponse,
        exchange: Exchange,
        give_back: Callable[[Connection], None],
    ) -> None:
        self._give_back = give_back
        self._conn = conn
        self._response = response
        self._exchange = exchange
        self.cut = exchange.end
        """Ends the exchange from another thread: reads of the body raise `BrokenError` at once."""
        self._whole = False
        self.status: int = response.status
        self.headers: HTTPHeaderDict = response.headers
        self.proxy = None if conn.proxy_used is None else conn.proxy_used.place
        """The proxy that the request went through, for messages."""

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the body as it comes, never decoded.

        Raises:
            OversizeError: The body is longer than ``most_bytes``, which have been yielded.
            BrokenError: The body ended before its declared length, or was too slow.
        """
        left = most_bytes
        broken = None
        try:
            while data := self._response.read1(min(CHUNK_BYTES, left + 1), decode_content=False):
                self._exchange.moved(len(data))
                if len(data) > left:
                    yield data[:left]
                    raise OversizeError
                left -= len(data)
                yield data
        except BREAKS as error:
            broken = self._broken(error)
        if self._exchange.cut:
            broken = BrokenError(self._exchange.late, slow=True)
        if broken is not None:
            raise broken  # out here: the first error's text may be what the server sent
        self._whole = True

    def read(self, most_bytes: int) -> bytes:
        """Return the whole body; it raises the same errors as `chunks`."""
        return b"".join(self.chunks(most_bytes))

    def is_encoded(self, *, as_stored: bool = False) -> bool:
        """Return whether the body is said to be encoded.

        With ``as_stored``, gzip does not count if there is a length, which what is encoded on the
        way lacks: web servers that look into a file say so of a layer that is a gzip itself.
        """
        said = self.headers.get("Content-Encoding", "").strip().lower()
        if as_stored and "Content-Length" in self.headers and said in {"gzip", "x-gzip"}:
            return False
        return said not in {"", "identity"}

    def close(self) -> None:
        """Keep the connection for the next request if the body was read; else close it."""
        self._exchange.done()
        empty = self._response.length_remaining == 0 and not self._response.chunked
        self._response.close()  # else the connection refuses the next request
        if (self._whole or empty) and not self._exchange.cut and self._keep_alive():
            self._give_back(self._conn)
        else:
            self._conn.close()

    def _keep_alive(self) -> bool:
        return (
            "close" not in self.headers.get("Connection", "").lower()
            and self._conn.sock is not None
        )

    @staticmethod
    def _broken(error: Exception) -> BrokenError:
        if isinstance(error, ReadTimeoutError | TimeoutError):
            return BrokenError("it stopped sending amid its answer")
        return BrokenError(f"the connection broke ({type(error).__name__})")


def error_code(answer: Answer) -> str:
    """Return the registry's error code, without its message, which may echo a secret."""
    try:
        raw = parse_object(answer.read(_ERROR_BYTES), most_bytes=_ERROR_BYTES)
        code = raw["errors"][0]["code"]
    except (BrokenError, OversizeError, InvalidManifestError, LookupError, TypeError):
        return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
