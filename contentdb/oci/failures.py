"""Failures of an exchange, and their texts: never a URL, which may contain a secret."""

from __future__ import annotations

import ssl
from http.client import HTTPException, RemoteDisconnected
from typing import Final

__all__ = ["BUSY", "BrokenError", "OversizeError", "no_connection"]

_TLS_ADVICE: Final = {
    "CERTIFICATE_VERIFY_FAILED": "if it is right, name the CA that signed it with --ca",
    "WRONG_VERSION_NUMBER": "it speaks no TLS: use --plain-http for a registry on this machine",
    "HTTP_REQUEST": "it speaks no TLS: use --plain-http for a registry on this machine",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "name a client certificate with --cert",
}
"""Advice for the user, by OpenSSL's reason."""


BUSY: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses of servers that may answer a later try."""


class BrokenError(Exception):
    """The connection failed or broke; ``slow`` if the client cut it for being too slow.

    ``silent`` if no answer came in time. With an ``advice`` the client does not retry: the user
    has to change something first. ``elsewhere`` if the next request goes to another place, which
    is no retry.
    """

    def __init__(
        self,
        reason: str,
        *,
        slow: bool = False,
        silent: bool = False,
        elsewhere: bool = False,
        advice: str = "",
    ) -> None:
        super().__init__(reason)
        self.slow = slow
        self.silent = silent
        self.elsewhere = elsewhere
        self.advice = advice


class OversizeError(Exception):
    """The body is longer than its limit; reading stopped there."""


def no_connection(error: Exception) -> BrokenError:
    """Return the error for a failed request. urllib3's own messages contain URLs."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, ssl.SSLError):
        return _no_tls(cause)
    if isinstance(cause, OSError) and cause.strerror:
        return BrokenError(cause.strerror)
    if isinstance(cause, TimeoutError):
        return BrokenError("it does not answer in time", silent=True)
    if isinstance(cause, RemoteDisconnected):
        return BrokenError("it closes the connection without an answer")
    if isinstance(cause, HTTPException):
        return BrokenError(f"its answer breaks the rules of HTTP ({type(error).__name__})")
    return BrokenError(f"no connection ({type(error).__name__})")


def _no_tls(error: ssl.SSLError) -> BrokenError:
    advice = _TLS_ADVICE.get(error.reason or "", "")
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({error.verify_message})"
        return BrokenError(reason, advice=advice)
    return BrokenError(f"TLS fails ({error.reason})", advice=advice)
