"""Finds out with OpenSSL why TLS with a server fails; gRPC says only that it cannot connect."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Final

from contentdb.wire.addresses import Address

if TYPE_CHECKING:
    from contentdb.remote.channel import Credentials

__all__ = ["tls_failure"]

_PATIENCE_S: Final = 10.0


def tls_failure(address: str, credentials: Credentials) -> str | None:
    """Repeat the TLS handshake; return what fails, or None if it succeeds or cannot connect.

    When the server rejects the client's certificate, the client's side of a TLS 1.3 handshake
    still succeeds: the alert comes in place of the server's first bytes (RFC 8446, 4.4.2.4).
    """
    try:
        host, port = Address.parse(address)
        context = ssl.create_default_context(cafile=credentials.authority)
        context.load_cert_chain(credentials.certificate, credentials.key, password="")
        context.set_alpn_protocols(["h2"])
        connection = socket.create_connection((host, port), timeout=_PATIENCE_S)
    except (OSError, ValueError):
        return None
    ours = f"the certificate {credentials.certificate} of this client"
    try:
        with closing(connection), context.wrap_socket(connection, server_hostname=host) as secure:
            if secure.recv(1):
                return None
    except ssl.SSLCertVerificationError as error:
        return f"TLS does not accept the server's certificate: {error.verify_message}"
    except ssl.SSLEOFError:
        pass
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return (
            f"the server says {reason} to {ours}" if "alert" in reason else f"TLS fails: {reason}"
        )
    except OSError:  # a reset says no more than an end of the stream
        pass
    # gRPC's servers send no alert.
    return f"the server ends TLS: it does not accept {ours}, or is about to stop"
