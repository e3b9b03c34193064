"""Checks the files of mutual TLS with OpenSSL, since gRPC does not say what is wrong in them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_authority", "check_pair"]


def check_pair(certificate: Path, key: Path) -> None:
    """Raise `ValueError` unless these are a certificate and its private key, in PEM."""
    try:
        _context().load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = f"cannot use the certificate {certificate} with the key {key}: {error}"
        raise ValueError(reason) from error


def check_authority(certificates: Path) -> None:
    """Raise `ValueError` unless these are certificates to trust, in PEM."""
    try:
        _context().load_verify_locations(certificates)
    except OSError as error:
        raise ValueError(f"cannot use the certificates {certificates}: {error}") from error


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
