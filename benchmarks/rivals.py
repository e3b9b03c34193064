"""What one would use instead, where it is installed. What is missing is said to be missing."""

from __future__ import annotations

import hashlib
import io
import subprocess
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.material import CHUNK, batched
from benchmarks.subject import Entry, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["ENTRIES"]

_GROUP = 1000


class Loose(Subject):
    """disk-objectstore, an object a file."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._container: Any = import_module("disk_objectstore").Container(directory)
        if not self._container.is_initialised:
            self._container.init_container()

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def put(self, data: bytes) -> str:
        """``add_object``."""
        return str(self._container.add_object(data))

    def put_known(self, data: bytes, key: str) -> None:  # noqa: ARG002 - it has no such call
        """``add_object``: it cannot be told the key."""
        self._container.add_object(data)

    def put_stream(self, stream: BinaryIO) -> str:
        """``add_streamed_object``."""
        return str(self._container.add_streamed_object(stream))

    def get(self, key: str) -> bytes:
        """``get_object_content``."""
        content: bytes = self._container.get_object_content(key)
        return content

    def listing(self) -> Iterator[object]:
        """``list_all_objects``, then the metadata of each."""
        for keys in batched(self._container.list_all_objects(), _GROUP):
            yield from self._container.get_objects_meta(list(keys))

    def delete(self, key: str) -> None:
        """``delete_objects``."""
        self._container.delete_objects([key])


class Packed(Loose):
    """disk-objectstore, into a pack, a thousand in a call."""

    def put_many(self, items: Iterable[bytes]) -> Iterator[str]:
        """``add_objects_to_pack(do_fsync=True)``."""
        for group in batched(items, _GROUP):
            yield from self._container.add_objects_to_pack(list(group), do_fsync=True)


class PackedAtOnce(Loose):
    """disk-objectstore, into a pack, everything in one call."""

    def put_many(self, items: Iterable[bytes]) -> Iterator[str]:
        """``add_objects_to_pack(do_fsync=True)``."""
        yield from self._container.add_objects_to_pack(list(items), do_fsync=True)


class DiskCache(Subject):
    """diskcache under sha256 keys, never evicting."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._cache: Any = import_module("diskcache").Cache(
            str(directory), eviction_policy="none", size_limit=1 << 50
        )

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()

    def put(self, data: bytes) -> str:
        """Hash, then ``set``."""
        key = hashlib.sha256(data).hexdigest()
        self._cache.set(key, data)
        return key

    def put_known(self, data: bytes, key: str) -> None:
        """``add``, which leaves what is there."""
        self._cache.add(key, data)

    def put_stream(self, stream: BinaryIO) -> str:
        """Read twice: its key must be known before."""
        hasher = hashlib.sha256()
        while piece := stream.read(CHUNK):
            hasher.update(piece)
        stream.seek(0)
        self._cache.set(hasher.hexdigest(), stream, read=True)
        return hasher.hexdigest()

    def get(self, key: str) -> bytes:
        """``get``."""
        content: bytes = self._cache.get(key)
        return content

    def listing(self) -> Iterator[object]:
        """``iterkeys``; it knows no sizes."""
        return iter(self._cache.iterkeys())

    def delete(self, key: str) -> None:
        """``delete``."""
        self._cache.delete(key)


class HashFS(Subject):
    """hashfs with its defaults."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._files: Any = import_module("hashfs").HashFS(str(directory))

    def put(self, data: bytes) -> str:
        """``put``."""
        return str(self._files.put(io.BytesIO(data)).id)

    def put_known(self, data: bytes, key: str) -> None:  # noqa: ARG002 - it has no such call
        """``put``: it cannot be told the key."""
        self._files.put(io.BytesIO(data))

    def put_stream(self, stream: BinaryIO) -> str:
        """``put``."""
        return str(self._files.put(stream).id)

    def get(self, key: str) -> bytes:
        """``open`` and read."""
        with self._files.open(key) as file:
            content: bytes = file.read()
        return content

    def listing(self) -> Iterator[object]:
        """``files``; it knows no sizes."""
        return iter(self._files.files())

    def delete(self, key: str) -> None:
        """``delete``."""
        self._files.delete(key)


class Git(Subject):
    """``git hash-object -w --stdin-paths`` on files made beforehand: sha256, no zlib, fsync."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._repository = directory / "git"
        if not self._repository.exists():
            self._git("init", "-q", "--bare", "--object-format=sha256", str(self._repository))
        settings = ("core.compression=0", "core.fsync=loose-object")
        options = [word for setting in settings for word in ("-c", setting)]
        self._hasher = self._start(*options, "hash-object", "-w", "--no-filters", "--stdin-paths")
        self._reader = self._start("cat-file", "--batch")

    @staticmethod
    def _git(*words: str) -> None:
        subprocess.run(["git", *words], check=True, capture_output=True)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = ["git", "-C", str(self._repository), *words]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End the two processes."""
        for process in (self._hasher, self._reader):
            process.communicate()

    def put(self, data: bytes) -> str:
        """Write the file that git then reads: part of the price, as git takes no bytes here."""
        path = self.directory / "source"
        path.write_bytes(data)
        return self._ask(self._hasher, str(path)).strip().decode()

    def put_known(self, data: bytes, key: str) -> None:  # noqa: ARG002 - it has no such call
        """Hash again: it cannot be told the key."""
        self.put(data)

    def put_stream(self, stream: BinaryIO) -> str:
        """Write the file that git then reads."""
        path = self.directory / "source"
        with path.open("wb") as file:
            while piece := stream.read(CHUNK):
                file.write(piece)
        return self._ask(self._hasher, str(path)).strip().decode()

    @staticmethod
    def _ask(process: subprocess.Popen[bytes], line: str) -> bytes:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("git was started without pipes")
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline()

    def get(self, key: str) -> bytes:
        """``cat-file --batch``."""
        size = int(self._ask(self._reader, key).split()[2])
        if self._reader.stdout is None:
            raise RuntimeError("git was started without pipes")
        return self._reader.stdout.read(size + 1)[:size]

    def listing(self) -> Iterator[object]:
        """``cat-file --batch-all-objects --batch-check``."""
        process = self._start("cat-file", "--batch-all-objects", "--batch-check")
        yield from process.communicate()[0].splitlines()


ENTRIES = (
    Entry("disk-objectstore loose", "rival", "file", Loose, "disk_objectstore"),
    Entry("disk-objectstore packed", "rival", "per group", Packed, "disk_objectstore"),
    Entry(
        "disk-objectstore packed, one call", "rival", "per call", PackedAtOnce, "disk_objectstore"
    ),
    Entry("diskcache", "rival", "no", DiskCache, "diskcache"),
    Entry("hashfs", "rival", "no", HashFS, "hashfs"),
    Entry("git hash-object", "rival", "file", Git, "$git"),
)
