"""Whose store it is: whether this process may write to it, and whether a stranger may."""

from __future__ import annotations

import errno
import os

from contentdb import files
from contentdb.errors import ContentDBError, NotAStoreError, StoreError, StoreReadOnlyError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.create import open_root
from contentdb.local.layout import root_path

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["check_no_other_writes", "check_owner", "may_only_read"]


def may_only_read(root: str | os.PathLike[str]) -> bool:
    """Return whether there is a store that this process may perhaps read, but not write to."""
    path = root_path(root)
    try:
        directory = open_root(path, create=False)
    except ContentDBError:
        return False
    try:
        return _find_other_owner(directory) is not None or not _is_writable(path)
    finally:
        directory.close()


def _is_writable(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _find_other_owner(root: Directory) -> str | None:
    """Return whose store it is, if this process may not write to it; else None."""
    found = files.stat_open(root.fd, root.path)
    if root.group is None:
        return None if found.st_uid == os.geteuid() else f"user {found.st_uid}; only its owner"
    # The owner must be a member too: else chmod(2) drops the set-group-ID bit of new directories.
    mine = os.geteuid() == found.st_uid == 0 or root.group in {os.getegid(), *os.getgroups()}
    return None if mine else f"group {root.group}; only its members"


def check_owner(directory: Directory, path: str) -> None:
    """Raise unless this process may write to the store, and no stranger may."""
    if (whose := _find_other_owner(directory)) is not None:
        raise NotAStoreError(
            path, f"it belongs to {whose} may write to it; others may open it with mode='r'"
        )
    if not _is_writable(path):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        raise StoreReadOnlyError(
            path,
            f"{os.strerror(errno.EROFS if read_only else errno.EACCES)}; "
            "what is there can be read with mode='r'",
        )
    check_no_other_writes(directory, path)


def check_no_other_writes(directory: Directory, path: str) -> None:
    """Raise if users beside the owner and the group may write into the store's directory."""
    found = files.stat_open(directory.fd, directory.path)
    bits = 0o022 if directory.group is None else 0o002
    if found.st_mode & bits and any(True for _ in files.entries(directory)):
        raise StoreError(
            path,
            f"others may write into it; run chmod go-w on it (mode {found.st_mode & 0o777:o}), "
            "or make it for a group: contentdb init --shared=group",
        )
