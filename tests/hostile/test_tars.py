"""Tars that lie: each is refused after a bounded look, and nothing of it reaches the store."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING, Final

import pytest

from contentdb import oci
from contentdb.oci.layout.tarball import Tarball
from tests.hostile.server import MANIFEST, Image, descriptor, sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import contentdb

IMAGE: Final = Image()
NAME_OF_LAYER: Final = f"blobs/sha256/{sha(IMAGE.layer)[7:]}"
BOUND: Final = 4 << 20
"""Bytes that may be read of a tar that is refused."""


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def header(name: str, size: int, kind: bytes = b"0") -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes, kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + padded(data)


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    return member("pax", b"".join(records), kind)


def with_checksum(block: bytes) -> bytes:
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def layout() -> bytes:
    """A good layout's tar, without its end."""
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(MANIFEST, IMAGE.manifest)]})
    return (
        member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        + member("index.json", index.encode())
        + b"".join(
            member(f"blobs/sha256/{sha(data)[7:]}", data)
            for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest)
        )
    )


END: Final = bytes(1024)


def sparse_file(path: Path, first: bytes, size: int) -> None:
    """A file that has holes where its headers promise bytes."""
    path.write_bytes(first)
    os.truncate(path, size)


def of(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def negative() -> bytes:
    block = header("a", 0)
    return with_checksum(block[:124] + b"\xff" * 12 + block[136:])


BAD: Final[dict[str, tuple[str, Callable[[Path], object]]]] = {
    "long name of 400 MB": (
        "too large",
        lambda path: sparse_file(path, header("x", 400 << 20, b"L"), (400 << 20) + 1024),
    ),
    "long link of 400 MB": (
        "too large",
        lambda path: sparse_file(path, header("x", 400 << 20, b"K"), (400 << 20) + 1024),
    ),
    "pax header of 400 MB": (
        "too large",
        lambda path: sparse_file(path, header("x", 400 << 20, b"x"), (400 << 20) + 1024),
    ),
    "global header of 400 MB": (
        "too large",
        lambda path: sparse_file(path, header("x", 400 << 20, b"g"), (400 << 20) + 1024),
    ),
    "records without number": (
        "too large",
        of(pax(*(record(f"k{number}", "v") for number in range(200_000))) + layout() + END),
    ),
    "digits without end": ("extended header", of(pax(b"1" * 80_000) + layout() + END)),
    "lengths that are none": ("extended header", of(pax(b"1 a\n" * (1 << 16)) + layout() + END)),
    "a length of none": ("extended header", of(pax(b"0 a=b\n") + layout() + END)),
    "a length beyond its header": ("extended header", of(pax(b"99 a=b\n") + layout() + END)),
    "no length": ("extended header", of(pax(b" path=b\n") + layout() + END)),
    "pax headers in a row": ("without end", of(pax(record("a", "b")) * 5000 + layout() + END)),
    "global headers in a row": (
        "without end",
        of(pax(record("a", "b"), kind=b"g") * 5000 + layout() + END),
    ),
    "long names in a row": ("without end", of(member("x", b"a\0", b"L") * 5000 + layout() + END)),
    "one path for all": ("one name", of(pax(record("path", "a"), kind=b"g") + layout() + END)),
    "one size for all": ("one name", of(pax(record("size", "9"), kind=b"g") + layout() + END)),
    "sparse 1.0": ("sparse", of(pax(record("GNU.sparse.major", "1")) + layout() + END)),
    "sparse 0.1": ("sparse", of(pax(record("GNU.sparse.map", "1,1," * 9)) + layout() + END)),
    "sparse of old": ("sparse", of(header("x", 0, b"S") + layout() + END)),
    "a size that is negative": ("no number", of(negative() + layout() + END)),
    "a size of words": (
        "no number",
        of(
            with_checksum(header("a", 0)[:124] + b"0x0000000000" + header("a", 0)[136:])
            + layout()
            + END
        ),
    ),
    "a pax size of words": ("no number", of(pax(record("size", "+9")) + layout() + END)),
    "a pax size without end": ("no number", of(pax(record("size", "9" * 5000)) + layout() + END)),
    "a size beyond the end": ("cut off", of(header("x", 1 << 40) + layout() + END)),
    "no end": ("cut off", of(layout())),
    "half a header": ("cut off", of(layout() + END[:100])),
    "half a member": ("cut off", of(layout()[:-512])),
    "a wrong checksum": ("neither", of(b"x" + layout()[1:] + END)),
    "rubbish": ("neither", of(b"rubbish" * 1000)),
    "nothing": ("neither", of(b"")),
    "nothing but an end": ("lacks a file", of(END)),
    "compressed": ("decompress it", of(gzip.compress(layout() + END))),
    "a pipe": ("neither", os.mkfifo),
}


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read of a tar asked for."""
    asked: list[int] = []
    pread = os.pread

    def counted(fd: int, count: int, at: int) -> bytes:
        asked.append(count)
        return pread(fd, count, at)

    monkeypatch.setattr(os, "pread", counted)
    return asked


@pytest.mark.parametrize(("reason", "make"), BAD.values(), ids=BAD)
def test_it_is_refused_after_a_bounded_look(
    store: contentdb.Store,
    tmp_path: Path,
    read_bytes: list[int],
    reason: str,
    make: Callable[[Path], object],
) -> None:
    path = tmp_path / "in.tar"
    make(path)
    with pytest.raises(oci.InvalidManifestError, match=reason):
        oci.import_layout(store, path)
    assert sum(read_bytes) < BOUND
    assert list(store.walk()) == []
    assert list(store.statuses()) == []


def test_members_and_extensions_have_an_end(
    store: contentdb.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(b"".join(member(f"m{number}", b"") for number in range(100)) + layout() + END)
    assert oci.import_layout(store, path)
    with monkeypatch.context() as patched:
        patched.setattr("contentdb.oci.layout.tarball._MOST_MEMBERS", 100)
        with pytest.raises(oci.InvalidManifestError, match="more than 100 members"):
            oci.import_layout(store, path)
    long = member("x", b"n" * 1000 + b"\0", b"L") + member("x", b"")
    path.write_bytes(long * 100 + layout() + END)
    assert oci.import_layout(store, path)
    monkeypatch.setattr("contentdb.oci.layout.tarball._ALL_EXTENSIONS_BYTES", 100_000)
    with pytest.raises(oci.InvalidManifestError, match="too large"):
        oci.import_layout(store, path)


def test_names_lead_nowhere_and_the_first_of_two_counts(
    store: contentdb.Store, tmp_path: Path
) -> None:
    path = tmp_path / "in.tar"
    evil = member(f"/{NAME_OF_LAYER}", b"evil") + member("../../etc/passwd", b"evil")
    path.write_bytes(evil + layout() + member("index.json", b"{}") + END)
    oci.import_layout(store, path)
    assert store.read(sha(IMAGE.layer)) == IMAGE.layer


def test_a_file_that_shrinks_under_the_reader_gives_no_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(member("a", b"a" * 2000) + member("b", b"b" * 2000) + END)
    with Tarball(path) as tar:
        os.truncate(path, 512 + 1000)
        assert tar.open("a").read() == b"a" * 1000
        assert tar.open("b").read() == b""


# -- what is no lie ----------------------------------------------------------------------------


CONTENTS: Final = {
    "short": b"s",
    "empty": b"",
    "of a block": b"b" * 512,
    "of more": b"m" * 513,
    NAME_OF_LAYER: IMAGE.layer,
    "a/" * 60 + "long, with a prefix": b"prefix",
    "l" * 150: b"too long for a prefix",
    "näive ☃": b"unicode",
}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes_is_read(tmp_path: Path, form: int) -> None:
    contents = dict(CONTENTS)
    if form == tarfile.USTAR_FORMAT:
        del contents["l" * 150]
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w", format=form, pax_headers={"comment": "for all"}) as tar:
        for name, data in contents.items():
            made = tarfile.TarInfo(f"./{name}")
            made.size, made.mtime = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1
            tar.addfile(made, io.BytesIO(data))
    check(path, contents)


@pytest.mark.real("tar")
@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "posix"])
def test_what_gnu_tar_writes_is_read(tmp_path: Path, form: str) -> None:
    contents = {name: data for name, data in CONTENTS.items() if len(name) < 100}
    if form != "v7":
        contents["a/" * 60 + "long, with a prefix"] = b"prefix"
    folder = tmp_path / "in"
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    command = ["tar", f"--format={form}", "-cf", "in.tar", "-C", "in", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    check(tmp_path / "in.tar", contents)


def check(path: Path, contents: dict[str, bytes]) -> None:
    with Tarball(path) as tar:
        for name, data in contents.items():
            with tar.open(name) as file:
                assert (file.seek(0, os.SEEK_END), file.seek(0)) == (len(data), 0)
                assert file.read() == data
            with tar.open(name) as file:
                file.seek(max(0, len(data) - 3))
                assert (file.read(9), file.read(9)) == (data[-3:], b"")
        with pytest.raises(FileNotFoundError):
            tar.open("absent")
