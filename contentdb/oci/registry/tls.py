"""Makes the contexts of TLS connections from files of certificates."""

from __future__ import annotations

import ssl

from contentdb.errors import InvalidArgumentError

__all__ = ["make_context"]


def make_context(
    ca: tuple[str, ...], cert: tuple[str, str | None] | None, *, verified: bool
) -> ssl.SSLContext:
    """Return a context that trusts the system's CA certificates, and more.

    Args:
        ca: Files of further CA certificates, in PEM.
        cert: Files of a client certificate and its key, in PEM.
        verified: Whether the server's certificate has to be right.

    Raises:
        InvalidArgumentError: A file cannot be used.
    """
    context = ssl.create_default_context()
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for file in ca:
        try:
            context.load_verify_locations(file)
        except OSError as error:
            raise InvalidArgumentError(f"{file} holds no CA certificates in PEM") from error
    try:
        if cert is not None:
            context.load_cert_chain(*cert)
    except OSError as error:
        names = " and ".join(name for name in cert or () if name)
        raise InvalidArgumentError(f"{names}: no client certificate and its key, PEM") from error
    return context
