"""A token server on loopback; see https://distribution.github.io/distribution/spec/auth/token/.

Without credentials it grants pulls, with the right ones whatever is asked for.
"""

import base64
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

__all__ = ["ISSUER", "SERVICE", "token_server"]

ISSUER: Final = "tests"
SERVICE: Final = "registry"


@contextlib.contextmanager
def token_server(folder: Path, user: str, password: str) -> Iterator[tuple[str, Path]]:
    """Serve until the block ends; gives the realm's URL and the certificate that signs."""
    cert, key = folder / "token.pem", folder / "token.key"
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens",
             "-keyout", str(key), "-out", str(cert))  # fmt: skip
    der = _openssl("x509", "-in", str(cert), "-outform", "DER")
    known = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            if given is not None and given != known:
                self.send_error(401)
                return
            access = [
                _granted(scope, everything=given == known)
                for line in scopes
                for scope in line.split()
            ]
            body = json.dumps({"token": _signed(access, der, key)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token", cert
        finally:
            server.shutdown()
            thread.join()


def _granted(scope: str, *, everything: bool) -> dict[str, object]:
    kind, name, actions = scope.split(":")
    allowed = [a for a in actions.split(",") if everything or a == "pull"]
    return {"type": kind, "name": name, "actions": allowed}


def _signed(access: list[dict[str, object]], der: bytes, key: Path) -> str:
    now = int(time.time())
    head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    claims = {"iss": ISSUER, "sub": "", "aud": SERVICE, "iat": now, "nbf": now - 10,
              "exp": now + 300, "jti": str(time.monotonic_ns()), "access": access}  # fmt: skip
    signing = f"{_url_safe(json.dumps(head).encode())}.{_url_safe(json.dumps(claims).encode())}"
    signature = _openssl("dgst", "-sha256", "-sign", str(key), data=signing.encode())
    return f"{signing}.{_url_safe(signature)}"


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _openssl(*arguments: str, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True)
    return done.stdout
