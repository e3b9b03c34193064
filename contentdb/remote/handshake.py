"""Why TLS with a server fails, in OpenSSL's words: gRPC says no more than that nothing answers."""

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
    """Shake hands once more and say what fails; None if TLS does not, or nothing is reached.

    Where the server does not take the client's certificate, TLS 1.3 lets the handshake succeed at
    the client, and tells it in the place of the server's first bytes (RFC 8446, 4.4.2.4).
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
    except OSError:  # reset, which tells no more than an end
        pass
    # gRPC's servers send no alert.
    return f"the server ends TLS: it does not accept {ours}, or is about to stop"
