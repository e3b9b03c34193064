"""Work done as another user, in a child of this process; for tests that run as root."""

from __future__ import annotations

import codecs
import importlib
import os
import pickle
import pkgutil
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import contentdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OTHERS", "as_user", "place_for_all"]

OTHERS: Final = (64_001, 64_002)
"""Users that nothing else on this machine runs as."""


def as_user(
    user: int, work: Callable[[], Any], *, group: int = 64_000, groups: tuple[int, ...] = ()
) -> Any:  # noqa: ANN401 - what the work gives
    """Give what the work gave, or raise what it raised."""
    _import_all()  # another user may not be able to read the interpreter's own files
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            os.setgroups(groups)
            os.setgid(group)
            os.setuid(user)
            os.umask(0o022)
            answer = (True, work())
        except BaseException as error:  # noqa: BLE001 - the parent raises it
            answer = (False, error)
        with open(writing, "wb") as pipe:  # noqa: PTH123 - a descriptor
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123
        done, answer = pickle.load(pipe)  # noqa: S301 - our own child's
    os.waitpid(child, 0)
    if not done:
        raise answer
    return answer


def _import_all() -> None:
    codecs.lookup("ascii")
    for found in pkgutil.walk_packages(contentdb.__path__, "contentdb."):
        if not found.name.startswith(("contentdb.__main__", "contentdb.migrations")):
            importlib.import_module(found.name)


def place_for_all() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are for one."""
    folder = Path(tempfile.mkdtemp(prefix="contentdb-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
