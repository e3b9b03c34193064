"""A small registry that takes pushes and keeps them in memory; a test overrules single answers."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from contentdb import oci
from tests.hostile.server import Reply, Request, Script, Server, reply, sha

Rule = Callable[[Request, "Shelf"], Reply | None]
"""Answers a request in the registry's place; None leaves it to the registry."""


class Shelf:
    """Keeps blobs of all repositories together, manifests by repository and name.

    Without the referrers API, as docker-registry is.
    """

    def __init__(self, rule: Rule = lambda _request, _shelf: None) -> None:
        self.rule = rule
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.log: list[str] = []
        """Method and path of each request."""

    def answer(self, request: Request) -> Reply:
        self.log.append(f"{request.method} {request.path}")
        ruled = self.rule(request, self)
        if ruled is not None:
            return ruled
        path = urlsplit(request.path).path
        if found := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            return self._manifest(request, found[1], found[2])
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/(.*)", path):
            return self._upload(request, found[1], found[2])
        if found := re.fullmatch(r"/v2/(.+)/blobs/(sha.+)", path):
            blob = self.blobs.get(found[2])
            return reply(404) if blob is None else _shown(request, blob)
        return reply(200 if path == "/v2/" else 404)

    def _manifest(self, request: Request, repository: str, name: str) -> bytes:
        if request.method == "PUT":
            kept = request.headers["content-type"], request.body
            self.manifests[repository, name] = kept
            self.manifests[repository, sha(request.body)] = kept
            return reply(201, Docker_Content_Digest=sha(request.body))
        if (repository, name) not in self.manifests:
            return reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        media_type, data = self.manifests[repository, name]
        return _shown(request, data, Docker_Content_Digest=sha(data), Content_Type=media_type)

    def _upload(self, request: Request, repository: str, name: str) -> bytes:
        place = f"/v2/{repository}/blobs/uploads/"
        query = {key: found[0] for key, found in parse_qs(urlsplit(request.path).query).items()}
        if request.method == "POST":
            if query.get("mount") in self.blobs:
                return reply(201, Location=f"/v2/{repository}/blobs/{query['mount']}")
            name = f"u{len(self.log)}"
            self.uploads[name] = b""
            return reply(202, Location=place + name)
        if name not in self.uploads:
            return reply(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
        if request.method == "GET":
            return self.standing(204, name, request.path)
        if request.method == "PATCH":
            return self._chunk(request, name)
        return self._end(request, repository, name, query["digest"])

    def _chunk(self, request: Request, name: str) -> bytes:
        start = int(request.headers["content-range"].partition("-")[0])
        if start != len(self.uploads[name]):
            return self.standing(416, name, request.path)
        self.uploads[name] += request.body
        return self.standing(202, name, request.path)

    def _end(self, request: Request, repository: str, name: str, digest: str) -> bytes:
        blob = self.uploads.pop(name) + request.body
        if sha(blob) != digest:
            return reply(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
        self.blobs[sha(blob)] = blob
        return reply(201, Location=f"/v2/{repository}/blobs/{sha(blob)}")

    def standing(self, status: int, name: str, path: str) -> bytes:
        """Say how far an upload is, as docker-registry does: 0-0 for nothing too."""
        last = max(0, len(self.uploads[name]) - 1)
        return reply(status, Location=path, Range=f"0-{last}")

    def count(self, word: str) -> int:
        """How many requests have this in their method and path."""
        return sum(word in line for line in self.log)


def _shown(request: Request, data: bytes, **headers: str) -> bytes:
    body = b"" if request.method == "HEAD" else data
    return reply(200, body, Content_Length=str(len(data)), **headers)


@contextmanager
def serving(shelf: Shelf | Script) -> Iterator[tuple[Server, oci.Registry]]:
    """Run a registry that answers so, and a client that does not wait between its tries."""
    with (
        Server(shelf.answer if isinstance(shelf, Shelf) else shelf) as server,
        oci.Registry(server.name, plain_http=True, pause=lambda _s: None) as registry,
    ):
        yield server, registry
