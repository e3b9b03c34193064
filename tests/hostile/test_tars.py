"""Tars that lie: each is refused after a bounded look, and nothing of it reaches the store."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb import files, oci
from contentdb.errors import NoSpaceError, StorageError
from contentdb.oci.layout.docker_archive import DockerArchive
from contentdb.oci.layout.tarball import Tarball
from tests.hostile.server import MANIFEST, Image, descriptor, sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE: Final = Image()
ZSTD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
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
    "nothing but an end": ("neither the index.json", of(END)),
    "compressed by xz": ("xz -dc", of(lzma.compress(layout() + END))),
    "compressed by bzip2": ("bzip2 -dc", of(bz2.compress(layout() + END))),
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
        patched.setattr("contentdb.oci.layout.tar_headers._MOST_MEMBERS", 100)
        with pytest.raises(oci.InvalidManifestError, match="more than 100 members"):
            oci.import_layout(store, path)
    long = member("x", b"n" * 1000 + b"\0", b"L") + member("x", b"")
    path.write_bytes(long * 100 + layout() + END)
    assert oci.import_layout(store, path)
    monkeypatch.setattr("contentdb.oci.layout.tar_headers._ALL_EXTENSIONS_BYTES", 100_000)
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


# -- links, streams and what is compressed ------------------------------------------------------


def link(name: str, target: str, kind: bytes) -> bytes:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made.tobuf(tarfile.GNU_FORMAT)


HARD, SYMBOLIC = tarfile.LNKTYPE, tarfile.SYMTYPE
LINKS: Final[dict[str, tuple[bytes, str]]] = {
    "out, up": (link("index.json", "../../etc/passwd", SYMBOLIC), "not in the tar"),
    "out, from the root": (link("index.json", "/etc/passwd", SYMBOLIC), "not in the tar"),
    "out, hard": (link("index.json", "/etc/passwd", HARD), "not in the tar"),
    "out and in again": (link("index.json", "../x/oci-layout", SYMBOLIC), "not in the tar"),
    "to nothing": (link("index.json", "absent", HARD), "not in the tar"),
    "to itself": (link("index.json", "index.json", SYMBOLIC), "without end"),
    "to itself, hard": (link("index.json", "./index.json", HARD), "without end"),
    "in a ring": (
        link("index.json", "a/b", SYMBOLIC) + link("a/b", "../index.json", SYMBOLIC),
        "without end",
    ),
    "to a folder": (link("index.json", "d", SYMBOLIC) + header("d/", 0, b"5"), "not a regular"),
    "with a long target": (
        member("x", b"../" * 3000 + b"\0", b"K") + link("index.json", "x", SYMBOLIC),
        "not in the tar",
    ),
}


@pytest.mark.parametrize(("data", "reason"), LINKS.values(), ids=LINKS)
def test_no_link_leads_out_or_round(
    store: contentdb.Store, tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(data + layout() + END)
    with pytest.raises(oci.InvalidLayoutError, match=reason) as refused:
        oci.import_layout(store, path)
    assert str(path) in str(refused.value)
    assert list(store.walk()) == []


def test_records_of_all_headers_have_an_end(
    store: contentdb.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have few bytes and are parsed one by one: a count bounds the time."""
    path = tmp_path / "in.tar"
    path.write_bytes((pax(*[b"5 a=\n"] * 99) + member("x", b"")) * 10 + layout() + END)
    assert oci.import_layout(store, path)
    monkeypatch.setattr("contentdb.oci.layout.tar_headers._MOST_RECORDS", 900)
    with pytest.raises(oci.InvalidLayoutError, match="records"):
        oci.import_layout(store, path)


class Endless:
    """A stream of some bytes, and then zeros for ever."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.count = 0

    def read(self, size: int) -> bytes:
        piece = self._data.read(size) or bytes(size)
        self.count += len(piece)
        return piece


def test_a_stream_is_not_read_beyond_the_end_of_its_tar(store: contentdb.Store) -> None:
    more = os.urandom(2 * BOUND)
    for data in (layout() + END + more, gzip.compress(layout() + END + more)):
        stream = Endless(data)
        assert oci.import_layout(store, stream)
        assert stream.count < BOUND


class Slow(io.RawIOBase):
    """A pipe whose writer is slow: few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.rest = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.rest.read(min(size, 100))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_writer_of_a_pipe_gets_rid_of_its_last_record(
    store: contentdb.Store, pack: Callable[[bytes], bytes]
) -> None:
    stream = Slow(pack(layout() + END + bytes(9 << 10)))
    assert oci.import_layout(store, stream)
    assert stream.rest.read() == b""


def test_a_wrong_checksum_is_told(store: contentdb.Store) -> None:
    packed = bytearray(gzip.compress(layout() + END))
    packed[-6] ^= 1
    with pytest.raises(oci.InvalidLayoutError, match="damaged"):
        oci.import_layout(store, io.BytesIO(bytes(packed)))


@pytest.mark.parametrize("name", [name for name, (_, make) in BAD.items() if "MB" not in name])
def test_a_stream_is_refused_as_a_file_is(
    store: contentdb.Store, tmp_path: Path, name: str
) -> None:
    reason, make = BAD[name]
    path = tmp_path / "in.tar"
    make(path)
    data = b"" if path.is_fifo() else path.read_bytes()
    reason = r"No space|cut off" if name == "a size beyond the end" else reason
    with pytest.raises((oci.InvalidLayoutError, StorageError), match=reason):
        oci.import_layout(store, io.BytesIO(data))
    assert list(store.walk()) == []


@pytest.mark.parametrize("kind", [b"0", b"L", b"x"])
def test_a_stream_that_claims_more_than_the_disk_has_is_not_spooled(
    store: contentdb.Store, kind: bytes
) -> None:
    made = tarfile.TarInfo("x")
    made.size, made.type = 1 << 60, kind
    stream = Endless(made.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises((NoSpaceError, oci.InvalidLayoutError), match=r"TMPDIR|too large"):
        oci.import_layout(store, stream)
    assert stream.count < BOUND


def test_a_bomb_is_not_expanded(
    store: contentdb.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contentdb.oci.layout.compressed._FREE_BYTES", 1 << 20)
    written: list[int] = []
    write_all = files.write_all

    def counted(fd: int, data: bytes, path: str) -> int:
        written.append(len(data))
        return write_all(fd, data, path)

    monkeypatch.setattr("contentdb.oci.layout.spool.write_all", counted)
    size = 100 << 20
    packed = gzip.compress(header("bomb", size) + bytes(size) + layout() + END)
    path = tmp_path / "in.tar.gz"
    path.write_bytes(packed)
    with pytest.raises(oci.InvalidLayoutError, match="200 times"):
        oci.import_layout(store, path)
    assert sum(written) < (32 << 20)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"") * 100_000,
        b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * (3 << 20),
    ],
    ids=["empty members", "a name"],
)
def test_of_compressed_bytes_something_must_come(store: contentdb.Store, data: bytes) -> None:
    stream = Endless(data)
    with pytest.raises(oci.InvalidLayoutError, match="nothing comes"):
        oci.import_layout(store, stream)
    assert stream.count < BOUND


@pytest.mark.parametrize("at", [5, 100, -1])
def test_damaged_bytes_are_told(store: contentdb.Store, at: int) -> None:
    data = bytearray(gzip.compress(layout() + os.urandom(1 << 20)))
    data[at] ^= 0xFF
    with pytest.raises(contentdb.ContentDBError):
        oci.import_layout(store, io.BytesIO(bytes(data)))


def test_zstd_takes_no_more_memory_than_its_program(store: contentdb.Store) -> None:
    zstd = pytest.importorskip(ZSTD, reason="needs zstd: pip install '.[oci]'")
    option = zstd.CompressionParameter
    stream = zstd.ZstdCompressor(options={option.window_log: 30})
    packed = stream.compress(layout() + END) + stream.flush()
    with pytest.raises(oci.InvalidLayoutError, match="damaged"):
        oci.import_layout(store, io.BytesIO(packed))


# -- archives of docker save --------------------------------------------------------------------


def archive(images: list[dict[str, object]], *files: tuple[str, bytes]) -> io.BytesIO:
    named = [("manifest.json", json.dumps(images).encode()), *files]
    return io.BytesIO(b"".join(member(name, data) for name, data in named) + END)


def test_a_config_is_parsed_once_and_all_have_an_end(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.dumps({"x": "y" * 100_000, "rootfs": {"diff_ids": []}}).encode()
    monkeypatch.setattr("contentdb.oci.layout.docker_archive._ALL_CONFIG_BYTES", 150_000)
    images: list[dict[str, object]] = [{"Config": "c"}] * 1000
    assert len(oci.import_layout(store, archive(images, ("c", config)))) == 1000
    images.append({"Config": "d"})
    with pytest.raises(oci.InvalidLayoutError, match="configs"):
        oci.import_layout(store, archive(images, ("c", config), ("d", config)))


def test_one_layer_is_hashed_once_whatever_its_names(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    original = DockerArchive._hash

    def counted(self: DockerArchive, name: str) -> contentdb.Digest:
        hashed.append(name)
        return original(self, name)

    monkeypatch.setattr(DockerArchive, "_hash", counted)
    layer = gzip.compress(b"layer")
    links = b"".join(link(f"l{n}", "layer", SYMBOLIC) for n in range(100))
    names = ["layer", *(f"l{n}" for n in range(100))] * 10
    image: dict[str, object] = {"Config": "c", "Layers": names}
    data = archive([image], ("c", b"{}"), ("layer", layer)).getvalue()
    (taken,) = oci.import_layout(store, io.BytesIO(links + data))
    assert len(json.loads(store.read(taken.digest))["layers"]) == 1010
    assert len(hashed) == 1


def test_names_and_layers_of_an_archive_have_an_end(store: contentdb.Store) -> None:
    for key in ("Layers", "RepoTags"):
        image: dict[str, object] = {"Config": "c", key: ["x"] * 5000}
        with pytest.raises(oci.InvalidLayoutError, match="more than 4096"):
            oci.import_layout(store, archive([image], ("c", b"{}")))
