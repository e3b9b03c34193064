"""The connection of a lease: its calls name the lease, and fail once it has ended."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc

from contentdb.errors import LeaseEndedError, NotFoundError
from contentdb.remote.channel import Channel
from contentdb.wire import headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import LeaseInfo
    from contentdb.errors import ContentDBError
    from contentdb.remote.channel import Connection, Credentials

__all__ = ["LeaseChannel", "fits_header"]


_PLAIN: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def fits_header(id_: str) -> bool:
    """Return whether a lease's id can be a header as it is; else only a contentdb takes it."""
    return _PLAIN.fullmatch(id_) is not None


class LeaseChannel(Channel):
    """A `Channel` whose calls are under a lease.

    A contentdb is also told when the lease began: another may have its id by now.
    """

    def __init__(
        self, address: str, namespace: str, credentials: Credentials | None, lease: LeaseInfo
    ) -> None:
        super().__init__(address, namespace, credentials)
        self._lease = lease.id
        self.ended = False
        """Whether the lease was ended, or let go of, by this process."""
        named: tuple[str, str | bytes] = (headers.LEASE, lease.id)
        if not fits_header(lease.id):
            named = (headers.LEASE_ENCODED, lease.id.encode())
        created = (headers.LEASE_CREATED, str(lease.created_ns))
        self._metadata = (*self._metadata, named, created)

    def _get_connection(self) -> Connection:
        if self.ended:
            raise LeaseEndedError(self._lease)
        return super()._get_connection()

    @contextmanager
    def translate_errors(
        self, *, digest: str = "", ref: str | None = None, absent: ContentDBError | None = None
    ) -> Iterator[None]:
        """Translate like the parent, and say that the lease has ended where the server means it."""
        try:
            with super().translate_errors(digest=digest, ref=ref, absent=absent):
                yield
        except NotFoundError as error:
            if _is_of_lease(error):
                raise LeaseEndedError(self._lease) from error
            raise


def _is_of_lease(error: NotFoundError) -> bool:
    """Return whether it is the lease that was not found; a containerd says it in its text alone."""
    if error.lease is not None:
        return True
    call: Any = error.__cause__  # of a kind that mypy takes for no error
    return isinstance(call, grpc.Call) and (call.details() or "").startswith("lease ")
