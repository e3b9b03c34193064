"""Reads from a registry's mirrors in order and then from the registry itself.

A mirror is a registry like any other: guarded in the same way, and believed only as far as digests
can be checked, or its configuration lets it resolve tags. It never sees the registry's credentials.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from contentdb.errors import InvalidArgumentError
from contentdb.logs import warn
from contentdb.oci.documents.manifest import parse_document
from contentdb.oci.errors import (
    HostileRegistryError,
    InvalidManifestError,
    RegistryError,
    UnreachableError,
)
from contentdb.oci.registry.mirror import Mirror, Watched
from contentdb.oci.registry.registry import BlobStream, Registry, Served
from contentdb.oci.registry.toml_file import RegistryConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from contentdb.digest import Digest
    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.endpoint import Endpoint, Endpoints

__all__ = ["MirroredRegistry", "open_registry"]

T = TypeVar("T")
_MIRROR_RETRIES: Final = 1
"""Another place is asked sooner than a mirror again and again."""
_SETTLE_S: Final = 30.0
"""Seconds to wait for a sign that a server speaks https, or http."""


def open_registry(
    registry: str,
    endpoints: Endpoints,
    *,
    writes: bool = False,
    credentials: Callable[[Endpoint], Credentials | None] = lambda _place: None,
    cert: tuple[str, str | None] | None = None,
    **settings: Any,  # noqa: ANN401 - Registry's own
) -> Registry:
    """Return a client of a reference's places: of all to read, or of the one to write to.

    Args:
        registry: As in the reference.
        endpoints: The places. One that may use http if https does not answer is asked at once.
        writes: Whether to write.
        credentials: Finds the credentials of one place.
        cert: Client certificate and key, for the place of the registry's own name alone.
        settings: Those of `Registry` that hold for all places.

    Raises:
        RegistryConfigError: There is no place for that.
        ContentDBError: The credentials or certificates cannot be used.
    """

    def settled(
        endpoint: Endpoint, tried: Callable[[Registry], object] = lambda _one: None
    ) -> dict[str, Any]:
        found = _settle(endpoint, settings, tried)
        if endpoints.file and found.is_exposed:
            warn("oci", "a place is not verified", place=found.root, file=endpoints.file)
        own = cert if found.name == registry else None
        known = credentials(found)
        return {"name": found.name, "place": found, "credentials": known, "cert": own, **settings}

    if writes and endpoints.writes is None:
        raise RegistryConfigError(endpoints.file, f"lets nothing be pushed to {registry}")
    if writes and endpoints.writes is not None:
        return Registry(**settled(endpoints.writes))
    fewer = {"retries": min(_MIRROR_RETRIES, settings.get("retries", _MIRROR_RETRIES))}
    mirrors = [
        Mirror(one, lambda *one: Registry(**settled(*one) | fewer)) for one in endpoints.mirrors
    ]
    if not mirrors:
        return Registry(**settled(endpoints.source))
    return MirroredRegistry(mirrors=mirrors, **settled(endpoints.source))


def _settle(
    endpoint: Endpoint, settings: dict[str, Any], tried: Callable[[Registry], object]
) -> Endpoint:
    """Choose https or, if only that answers and the file allows it, http."""
    if endpoint.plain_too:
        patience = {"timeout_s": min(_SETTLE_S, settings.get("timeout_s", _SETTLE_S))}
        for one in (endpoint, endpoint.plain()):
            with Registry(one.name, place=one, **settings | patience) as registry:
                tried(registry)
                if registry.speaks():
                    return one
    return endpoint


class MirroredRegistry(Registry):
    """A client of one registry that asks mirrors first, for reads alone. Thread-safe.

    A mirror that fails or lies is gone past, with a line in the log. One that broke while it sent a
    blob is not asked for that blob again; one that cannot be reached, refuses the user or lies is
    not asked for anything more, until `resume`. What the mirrors lack or fail at is asked of the
    registry, whose error is the one that is raised.

    Args:
        name: As for `Registry`; so are the other settings, which are those of the registry itself.
        mirrors: In the order to ask them.
    """

    def __init__(self, name: str, *, mirrors: Iterable[Mirror], **settings: Any) -> None:  # noqa: ANN401 - Registry's own
        super().__init__(name, **settings)
        self._mirrors = tuple(mirrors)
        self._lock = threading.Lock()
        self._served: dict[Digest, set[Mirror]] = {}
        """The mirrors that sent bytes of a blob."""
        self._broke: dict[Digest, set[Mirror]] = {}
        """The mirrors that did not send a blob to its end."""

    def close(self) -> None:
        """Close the connections to all places."""
        super().close()
        for mirror in self._mirrors:
            mirror.close()

    def interrupt(self) -> None:
        """Cut the exchanges with all places."""
        super().interrupt()
        for mirror in self._mirrors:
            mirror.interrupt()

    def resume(self) -> None:
        """Allow requests again, and begin anew with all mirrors."""
        with self._lock:
            self._served.clear()
            self._broke.clear()
        for mirror in self._mirrors:
            mirror.resume()
        super().resume()

    def manifest(self, repository: str, name: str, **asked: Any) -> Served:  # noqa: ANN401 - as Registry's
        """Get a manifest as `Registry.manifest`; a tag only from where it may be resolved."""
        tag = ":" not in name

        def ask(one: Registry) -> Served:
            served = Registry.manifest(one, repository, name, **asked)
            if tag and one is not self:
                _check_manifest(one, f"{repository}:{name}", served)
            return served

        return self._first(ask, tag=tag)

    def has_manifest(self, repository: str, name: str, **asked: Any) -> bool:  # noqa: ANN401 - as Registry's
        """Return whether one of the places says that it has a manifest."""
        return self._first(
            lambda one: Registry.has_manifest(one, repository, name, **asked),
            tag=":" not in name,
            good=bool,
        )

    def has_blob(self, repository: str, digest: Digest, *more: Any, **asked: Any) -> bool:  # noqa: ANN401 - as Registry's
        """Return whether one of the places says that it has a blob."""
        return self._first(
            lambda one: Registry.has_blob(one, repository, digest, *more, **asked), good=bool
        )

    def blob(self, repository: str, digest: Digest, **asked: Any) -> BlobStream:  # noqa: ANN401 - as Registry's
        """Request a blob as `Registry.blob`; not of a mirror that broke while it sent this one."""
        for mirror in self._asked(tag=False):
            if mirror in self._broke.get(digest, ()):
                continue
            try:
                stream = Registry.blob(mirror.client(), repository, digest, **asked)
            except RegistryError as error:
                mirror.fail(error)
                continue
            self._note(self._served, digest, mirror)
            broke = partial(self._note, self._broke, digest, mirror)
            watched: Any = Watched(stream, mirror, digest, broke)
            return stream._replace(answer=watched)
        self._need_source(tag=False)
        return super().blob(repository, digest, **asked)

    def upload(self, *_: object, **_more: object) -> NoReturn:
        """Refuse, as all that writes does: what a mirror has, the registry may lack.

        Raises:
            InvalidArgumentError: Always.
        """
        raise InvalidArgumentError(
            f"this client of {self.name} reads from mirrors too, and so writes nothing: "
            "open one by open_registry(…, writes=True)"
        )

    put_manifest = unlist_referrer = upload

    def doubt(self, digest: Digest) -> bool:
        """Note that a blob's bytes are wrong; return whether another place may have the right ones.

        The mirrors that sent some of them are not asked again.
        """
        with self._lock:
            guilty = self._served.pop(digest, set())
        for mirror in guilty:
            mirror.lie(digest, "its bytes have another digest")
        return bool(guilty)

    def _asked(self, *, tag: bool) -> Iterator[Mirror]:
        return (mirror for mirror in self._mirrors if mirror.serves(tag=tag))

    def _first(
        self,
        ask: Callable[[Registry], T],
        *,
        tag: bool = False,
        good: Callable[[T], bool] = lambda _answer: True,
    ) -> T:
        """Return the first good answer; that of the registry itself is always the last."""
        for mirror in self._asked(tag=tag):
            try:
                answer = ask(mirror.client())
            except RegistryError as error:
                mirror.fail(error)
                continue
            if good(answer):
                return answer
        self._need_source(tag=tag)
        return ask(self)

    def _need_source(self, *, tag: bool) -> None:
        place = self.place
        if not (place.resolves if tag else place.pulls):
            raise UnreachableError(
                self.name,
                "tags" if tag else "blobs",
                "no mirror serves them, and its own capabilities leave them out",
                "see hosts.toml, and the log of -v",
            )

    def _note(self, table: dict[Digest, set[Mirror]], digest: Digest, mirror: Mirror) -> None:
        with self._lock:
            table.setdefault(digest, set()).add(mirror)


def _check_manifest(mirror: Registry, thing: str, served: Served) -> None:
    """Refuse what is no manifest: a tag has no digest that would tell, and web servers have pages.

    Raises:
        HostileRegistryError: It is none.
    """
    try:
        parse_document(served.data, None)
    except InvalidManifestError as error:
        raise HostileRegistryError(
            mirror.name, thing, f"what it serves is no manifest: {error.reason}"
        ) from error
