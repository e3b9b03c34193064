"""Asks by a HEAD whether a registry has something: a hint, since not every registry answers one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.oci.errors import HostileRegistryError, RegistryError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentdb.digest import Digest
    from contentdb.oci.registry.session import Session

__all__ = ["has_blob", "has_object"]


def has_blob(
    session: Session, repository: str, digest: Digest, size: int | None, *, scope: str
) -> bool:
    """Return whether the registry says that a repository has a blob, of that size if given.

    Raises:
        RegistryError: The registry did not answer at all.
    """
    path = f"{repository}/blobs/{digest}"
    return has_object(session, path, scope=scope, headers={}, size=size)


def has_object(
    session: Session,
    path: str,
    *,
    scope: str,
    headers: Mapping[str, str],
    size: int | None = None,
) -> bool:
    """Return whether the registry says that it has what is at a path; False if it does not tell.

    Args:
        session: Sends the request.
        path: Below ``/v2/``.
        scope: What the request does.
        headers: The media types to ask for.
        size: The object's size in bytes; one of another length does not count.

    Raises:
        RegistryError: The registry did not answer at all.
    """
    try:
        answer = session.request("HEAD", path, path, scope=scope, headers=headers, ok=(200, 404))
    except (HostileRegistryError, UnauthorizedError):
        return False  # a redirect to a URL that is signed for a GET, for example
    except RegistryError as error:
        if error.status is None:
            raise
        return False
    answer.close()
    length = answer.headers.get("Content-Length", "")
    return answer.status == 200 and (size is None or length in {"", str(size)})  # noqa: PLR2004 - HTTP
