"""Archives: those of docker save, compressed tars and streams come in; what goes out is theirs."""

import gzip
import io
import json
import os
import pty
import sys
import tarfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import contentdb
from contentdb import oci
from tests.cli.shell import call, only_line, records, run, start
from tests.hostile.server import INDEX, LAYER, MANIFEST, Image, descriptor, sha
from tests.oci.test_layout import write_layout

IMAGE = Image()
TOP = sha(IMAGE.manifest)
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
FIRST, SECOND = b"the first layer" * 100, b"the second layer" * 100
Member = tuple[str, bytes | tuple[bytes, str]]
"""A name; its bytes, or the kind and target of a link."""


def tar_of(members: Sequence[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content
                tar.addfile(member)
    return buffer.getvalue()


def layout_members(folder: str = "") -> list[Member]:
    index = {"schemaVersion": 2, "manifests": [descriptor(MANIFEST, IMAGE.manifest)]}
    blobs: list[Member] = [
        (f"{folder}blobs/sha256/{sha(data)[7:]}", data)
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest)
    ]
    return [(f"{folder}index.json", json.dumps(index).encode()), *blobs]


def config_of(*layers: bytes) -> bytes:
    diff_ids = [sha(layer) for layer in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).encode()


def saved(config: bytes, layers: Sequence[str], *tags: str) -> Member:
    image = {"Config": f"{sha(config)[7:]}.json", "RepoTags": tags or None, "Layers": layers}
    return "manifest.json", json.dumps([image]).encode()


def docker_save() -> list[Member]:
    """As Docker below 25 writes an image in which a layer stands twice: by a symbolic link."""
    config = config_of(FIRST, SECOND, FIRST)
    return [
        ("a1/VERSION", b"1.0"),
        ("a1/layer.tar", FIRST),
        ("b2/layer.tar", SECOND),
        ("c3/layer.tar", (tarfile.SYMTYPE, "../a1/layer.tar")),
        (f"{sha(config)[7:]}.json", config),
        saved(config, ["a1/layer.tar", "b2/layer.tar", "c3/layer.tar"], "app:v1", "team/app:v2"),
        ("repositories", b"{}"),
    ]


def imported(store: contentdb.Store, data: bytes, *, partial: bool = False) -> list[oci.Imported]:
    return oci.import_layout(store, io.BytesIO(data), partial=partial)


# -- docker save -------------------------------------------------------------------------------


def test_an_old_archive_of_docker_save_comes_in_under_all_its_names(
    store: contentdb.Store,
) -> None:
    taken = imported(store, tar_of(docker_save()))
    assert [image.name for image in taken] == [
        "docker.io/library/app:v1",
        "docker.io/team/app:v2",
    ]
    assert len({image.digest for image in taken}) == 1
    manifest = json.loads(store.read(taken[0].digest))
    assert [layer["digest"] for layer in manifest["layers"]] == [
        sha(FIRST),
        sha(SECOND),
        sha(FIRST),
    ]
    assert {layer["mediaType"] for layer in manifest["layers"]} == {LAYER.removesuffix("+gzip")}
    assert store.read(sha(SECOND)) == SECOND
    labels = store.info(taken[0].digest).labels
    assert labels["containerd.io/gc.ref.content.config"] == manifest["config"]["digest"]
    assert labels["contentdb.media-type"] == MANIFEST


def test_the_same_archive_gives_the_digest_that_a_new_docker_save_gives(
    store: contentdb.Store, tmp_path: Path
) -> None:
    """The manifest is made: its bytes are those of moby's Go structs, and nothing else's."""
    config = config_of(FIRST)
    data = tar_of([saved(config, ["l.tar"]), ("l.tar", FIRST), (f"{sha(config)[7:]}.json", config)])
    (taken,) = imported(store, data)
    made = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":'
        '{"mediaType":"application/vnd.oci.image.config.v1+json",'
        f'"digest":"{sha(config)}","size":{len(config)}}},"layers":['
        '{"mediaType":"application/vnd.oci.image.layer.v1.tar",'
        f'"digest":"{sha(FIRST)}","size":{len(FIRST)}}}]}}'
    )
    assert store.read(taken.digest) == made.encode()
    with contentdb.open(tmp_path / "other") as other:
        assert imported(other, data) == [taken]


def test_layers_that_are_compressed_stay_so(store: contentdb.Store) -> None:
    """As crane, jib and bazel write them, with one layer for two images."""
    config, packed = config_of(FIRST), gzip.compress(FIRST, mtime=0)
    zstd = b"\x28\xb5\x2f\xfd" + b"whatever"
    other = config_of(SECOND)
    images = [
        {"Config": sha(config), "RepoTags": ["a:1"], "Layers": ["x.tar.gz"]},
        {"Config": "c.json", "RepoTags": ["b:1"], "Layers": ["y.tar.zst"]},
    ]
    manifest = ("manifest.json", json.dumps(images).encode())
    files: list[Member] = [(sha(config), config), ("c.json", other), ("x.tar.gz", packed)]
    first, second = imported(store, tar_of([*files, ("y.tar.zst", zstd), manifest]))
    (layer,) = json.loads(store.read(first.digest))["layers"]
    assert layer == descriptor(LAYER, packed)
    (layer,) = json.loads(store.read(second.digest))["layers"]
    assert layer["mediaType"].endswith("tar+zstd")
    assert store.read(sha(packed)) == packed


def test_a_config_without_layers_is_taken_as_docker_takes_it(store: contentdb.Store) -> None:
    config = b'{"os":"linux","architecture":"amd64"}'
    files: list[Member] = [("l.tar", FIRST), (f"{sha(config)[7:]}.json", config)]
    imported(store, tar_of([*files, saved(config, ["l.tar"], "app:v1")]))
    assert store.read(sha(FIRST)) == FIRST


def without(name: str) -> bytes:
    return tar_of([member for member in docker_save() if member[0] != name])


def changed(name: str, content: bytes) -> bytes:
    return tar_of([(n, content if n == name else old) for n, old in docker_save()])


CONFIG_NAME = f"{sha(config_of(FIRST, SECOND, FIRST))[7:]}.json"
BAD_ARCHIVES: dict[str, tuple[bytes, str]] = {
    "a layer of other bytes": (changed("b2/layer.tar", b"x" * len(SECOND)), sha(SECOND)),
    "a config of other bytes": (changed(CONFIG_NAME, config_of()), "not what its name says"),
    "a layer missing": (without("b2/layer.tar"), "b2/layer.tar"),
    "the target of a link missing": (without("a1/layer.tar"), "a1/layer.tar"),
    "a config missing": (without(CONFIG_NAME), CONFIG_NAME),
    "fewer layers than the config has": (
        tar_of([*docker_save()[:5], saved(config_of(FIRST, SECOND, FIRST), ["a1/layer.tar"])]),
        "3 layers",
    ),
    "no list": (changed("manifest.json", b"{}"), "not a JSON list"),
    "a list of texts": (changed("manifest.json", b'["x"]'), "no image"),
    "layers that are none": (
        changed("manifest.json", b'[{"Config":"x","Layers":[1]}]'),
        "Layers is not a list",
    ),
    "no config": (changed("manifest.json", b"[{}]"), "Config"),
    "a layer of xz": (changed("b2/layer.tar", b"\xfd7zXZ\0 and more"), "bzip2 or xz"),
    "an archive before Docker 1.10": (without("manifest.json"), "neither the index.json"),
}


@pytest.mark.parametrize(("data", "said"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_an_archive_that_is_not_whole_or_right_is_refused(
    data: bytes, said: str, store: contentdb.Store
) -> None:
    with pytest.raises(contentdb.ContentDBError, match=said):
        imported(store, data)
    assert not any("gc.ref" in label for info in store.walk() for label in info.labels)


def test_an_unpacked_archive_says_how_it_comes_in(store: contentdb.Store, tmp_path: Path) -> None:
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked/manifest.json").write_text("[]")
    with pytest.raises(oci.InvalidLayoutError, match=r"unpacked.*tar -c"):
        oci.import_layout(store, tmp_path / "unpacked")


# -- tars as people have them -------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "./", "layout/", "./a/b/", "/abs/"])
def test_a_layout_may_be_in_a_folder_and_without_a_marker(
    folder: str, store: contentdb.Store
) -> None:
    (taken,) = imported(store, tar_of(layout_members(folder)))
    assert taken.digest == TOP


def test_of_two_layouts_in_a_tar_none_is_taken(store: contentdb.Store) -> None:
    both = tar_of([*layout_members("a/"), *layout_members("b/")])
    with pytest.raises(oci.InvalidLayoutError, match="a/ and b/"):
        imported(store, both)


@pytest.mark.parametrize("folder", ["", "./", "layout/"])
@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.LNKTYPE, "{folder}z/first"), (tarfile.SYMTYPE, "../../z/first")],
)
def test_a_blob_may_be_a_link_to_a_member(
    kind: bytes, target: str, folder: str, store: contentdb.Store
) -> None:
    name = f"{folder}blobs/sha256/{sha(IMAGE.layer)[7:]}"
    members = [member for member in layout_members(folder) if member[0] != name]
    linked: Member = (name, (kind, target.format(folder=folder)))
    imported(store, tar_of([*members, linked, (f"{folder}z/first", IMAGE.layer)]))
    assert store.read(sha(IMAGE.layer)) == IMAGE.layer


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_link_may_have_a_long_target(form: int, store: contentdb.Store) -> None:
    name, far = f"blobs/sha256/{sha(IMAGE.layer)[7:]}", "f" * 120
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for path, data in [*layout_members(), (far, IMAGE.layer)]:
            assert isinstance(data, bytes)
            member = tarfile.TarInfo(path)
            if path == name:
                member.type, member.linkname = tarfile.LNKTYPE, far
            else:
                member.size = len(data)
            tar.addfile(member, None if path == name else io.BytesIO(data))
    imported(store, buffer.getvalue())
    assert store.read(sha(IMAGE.layer)) == IMAGE.layer


def test_media_types_may_have_parameters_or_tell_nothing(
    store: contentdb.Store, tmp_path: Path
) -> None:
    """The document tells what a neutral type does not; else its parts would be lost in silence."""
    for n, given in enumerate((f"{MANIFEST}; charset=utf-8", "application/json", None)):
        root = write_layout(tmp_path / f"layout{n}")
        entry = {**descriptor(MANIFEST, IMAGE.manifest), "mediaType": given}
        (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        assert oci.import_layout(store, root) == [(TOP, MANIFEST, None, ())]
    assert store.exists(sha(IMAGE.layer))


def test_a_neutral_file_that_is_no_manifest_is_a_blob(
    store: contentdb.Store, tmp_path: Path
) -> None:
    root = write_layout(tmp_path / "layout", b"[1]")
    entry = descriptor("application/json", b"[1]")
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (taken,) = oci.import_layout(store, root)
    assert store.read(taken.digest) == b"[1]"


def test_layers_may_be_null_and_a_layer_may_be_a_manifest(
    store: contentdb.Store, tmp_path: Path
) -> None:
    """What a manifest lists is a blob whatever its type, as in artifacts that hold documents."""
    null = json.dumps(IMAGE.document() | {"layers": None}).encode()
    typed = json.dumps(IMAGE.document() | {"layers": [descriptor(INDEX, b"not JSON")]}).encode()
    for name, top in (("null", null), ("typed", typed)):
        layout = write_layout(tmp_path / name, b"not JSON", top=top)
        oci.import_layout(store, layout)
        oci.export_layout(store, tmp_path / f"{name} out", [sha(top)])
    assert store.read(sha(b"not JSON")) == b"not JSON"


# -- compressed, and streams --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"])
def test_what_goes_out_compressed_comes_in_by_name_and_by_stream(
    suffix: str, store: contentdb.Store, tmp_path: Path
) -> None:
    if "zst" in suffix:
        pytest.importorskip(ZSTD, reason="needs zstd: pip install '.[oci]'")
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    paths = [tmp_path / f"{n}{suffix}" for n in range(2)]
    for path in paths:
        oci.export_tar(store, path, [TOP], tags={TOP: "v1"})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    magic = {".tgz": b"\x1f\x8b", ".tar.gz": b"\x1f\x8b", ".tar": b"oci-layout"}
    assert paths[0].read_bytes().startswith(magic.get(suffix, b"\x28\xb5\x2f\xfd"))
    sources: tuple[Path | io.BytesIO, ...] = (paths[0], io.BytesIO(paths[0].read_bytes()))
    for n, source in enumerate(sources):
        with contentdb.open(tmp_path / f"other{n}") as other:
            assert oci.import_layout(other, source) == [(TOP, MANIFEST, "v1", ())]
            assert other.read(sha(IMAGE.layer)) == IMAGE.layer


def test_zstd_that_is_not_installed_names_the_extra(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("contentdb.oci.layout.compressed.import_module", absent)
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    for use in (
        lambda: imported(store, b"\x28\xb5\x2f\xfd"),
        lambda: oci.export_tar(store, tmp_path / "x.tar.zst", [TOP]),
    ):
        with pytest.raises(contentdb.MissingExtraError, match=r"contentdb\[oci\]"):
            use()
    assert not (tmp_path / "x.tar.zst").exists()


@pytest.mark.parametrize("cut", ["tar", "gzip"])
def test_a_tar_that_was_cut_off_is_taken_up_to_there_if_that_is_meant(
    cut: str, store: contentdb.Store
) -> None:
    entries = [descriptor(MANIFEST, IMAGE.manifest), descriptor(MANIFEST, b"cut" * 9000)]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    last: Member = (f"blobs/sha256/{sha(b'cut' * 9000)[7:]}", b"cut" * 9000)
    data = tar_of([("index.json", index), *layout_members()[1:], last])
    data = data[: data.rindex(b"cut") - 1000]
    if cut == "gzip":
        data = gzip.compress(data)[:-8]
    with pytest.raises(oci.InvalidLayoutError, match=r"<stream>.*cut off.*--partial"):
        imported(store, data)
    assert list(store.walk()) == []
    whole_image, lost = imported(store, data, partial=True)
    assert (whole_image.missing, lost.missing) == ((), (sha(b"cut" * 9000),))


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.zst"])
def test_an_archive_cut_before_anything_comes_of_it_is_said_to_be_cut(
    name: str, store: contentdb.Store, tmp_path: Path
) -> None:
    """Of zstd no byte comes before the first block is whole, 128 KiB of the tar."""
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    oci.export_tar(store, tmp_path / name, [TOP])
    data = (tmp_path / name).read_bytes()
    for end in (12, 40):
        with pytest.raises(oci.InvalidLayoutError, match=r"<stream>.*cut off.*get it again"):
            imported(store, data[:end])


# -- names --------------------------------------------------------------------------------------

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"


def member_json(path: Path, name: str) -> Any:  # noqa: ANN401 - JSON
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        with closing(file):
            return json.load(file)


def test_an_image_goes_out_under_several_names_each_as_tools_look_for_it(
    store: contentdb.Store, tmp_path: Path
) -> None:
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    target = tmp_path / "out.tar"
    oci.export_tar(store, target, [TOP], tags={TOP: ["v1", "team/app:v2", "v1"]})
    entries = member_json(target, "index.json")["manifests"]
    assert [entry["annotations"] for entry in entries] == [
        {REF_NAME: "v1"},
        {REF_NAME: "team/app:v2", IMAGE_NAME: "docker.io/team/app:v2"},
    ]
    names = [image.name for image in oci.import_layout(store, target)]
    assert names == ["v1", "docker.io/team/app:v2"]
    assert member_json(target, "manifest.json") == [
        {
            "Config": f"blobs/sha256/{sha(IMAGE.config)[7:]}",
            "RepoTags": ["docker.io/team/app:v2"],
            "Layers": [f"blobs/sha256/{sha(IMAGE.layer)[7:]}"],
        }
    ]


def test_docker_is_offered_only_what_it_can_load(store: contentdb.Store, tmp_path: Path) -> None:
    """An artifact is none of its images, and of several platforms it could not choose one."""
    artifact = json.dumps(
        IMAGE.document() | {"layers": [descriptor("text/plain", IMAGE.layer)]}
    ).encode()
    other = json.dumps(IMAGE.document() | {"annotations": {"an": "other"}}).encode()
    parts = [descriptor(MANIFEST, IMAGE.manifest), descriptor(MANIFEST, other)]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": parts}).encode()
    for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest, artifact, other, index):
        store.add(data)
    for n, data in enumerate((artifact, index)):
        oci.export_tar(store, tmp_path / f"{n}.tar", [sha(data)])
        with tarfile.open(tmp_path / f"{n}.tar") as tar:
            assert "manifest.json" not in tar.getnames()


# -- the commands -------------------------------------------------------------------------------


def test_the_commands_pipe_a_tar_from_store_to_store(root: Path, tmp_path: Path) -> None:
    call(root, "import-oci", write_layout(tmp_path / "layout"))
    out = run(root, "export-oci", "-", TOP, "-t", "v1", "-t", "team/app:v1")
    assert (out.returncode, out.stderr) == (0, b"")
    taken = run(tmp_path / "other", "import-oci", "-", stdin=gzip.compress(out.stdout))
    assert (taken.returncode, taken.stderr) == (0, b"")
    lines = taken.stdout.decode().splitlines()
    assert lines == [f"{TOP} v1", f"{TOP} docker.io/team/app:v1"]


def test_names_are_given_in_order_or_by_digest(root: Path, tmp_path: Path) -> None:
    other = json.dumps(IMAGE.document() | {"annotations": {"an": "other"}}).encode()
    call(root, "import-oci", write_layout(tmp_path / "a"))
    call(root, "import-oci", write_layout(tmp_path / "b", top=other))
    images = (TOP, sha(other))
    told = call(
        root, "export-oci", tmp_path / "x.tar", *images,
        "-t", "one", "-t", "two", "-t", f"more={TOP}", "--json",
    )  # fmt: skip
    assert [record["names"] for record in records(told.stdout)] == [["one", "more"], ["two"]]
    for tags, said in (
        (("-t", "a", "-t", "b", "-t", "c"), "NAME=DIGEST"),
        (("-t", f"a={sha(IMAGE.layer)}"), "not exported"),
        (("-t", ""), "empty"),
        (("-t", "a", "-t", "a"), "two images"),
    ):
        refused = call(root, "export-oci", tmp_path / "y.tar", *images, *tags)
        assert refused.exit_code == 2
        assert said in only_line(refused.stderr)


@pytest.mark.parametrize("name", ["x.tar.xz", "x.tbz2", "x.gz", "x.zip"])
def test_no_folder_is_made_under_the_name_of_an_archive(
    name: str, root: Path, tmp_path: Path
) -> None:
    call(root, "import-oci", write_layout(tmp_path / "layout"))
    refused = call(root, "export-oci", tmp_path / name, TOP)
    assert refused.exit_code == 2
    assert ".tar.gz" in only_line(refused.stderr)
    assert not (tmp_path / name).exists()


def test_a_terminal_gets_and_gives_no_tar(root: Path, tmp_path: Path) -> None:
    call(root, "import-oci", write_layout(tmp_path / "layout"))
    screen, terminal = pty.openpty()
    for words in (("export-oci", "-", TOP), ("import-oci", "-")):
        with start(root, *words, stdin=terminal, stdout=terminal) as process:
            _, err = process.communicate()
        assert process.returncode == 2
        assert "terminal" in only_line(err)
    os.close(screen)
    os.close(terminal)


def test_a_partial_import_tells_what_it_leaves_out(root: Path, tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout")
    entries = [descriptor(MANIFEST, IMAGE.manifest), descriptor(MANIFEST, b"lost")]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    refused = call(root, "import-oci", layout)
    assert refused.exit_code == 1
    for word in (str(layout), sha(b"lost"), "--partial"):
        assert word in only_line(refused.stderr)
    taken = call(root, "import-oci", layout, "--partial")
    assert (taken.exit_code, taken.stdout) == (0, f"{TOP} -\n")
    assert sha(b"lost") in only_line(taken.stderr)


def test_an_export_tells_which_platforms_it_lacks(root: Path, tmp_path: Path) -> None:
    parts = [descriptor(MANIFEST, IMAGE.manifest), descriptor(MANIFEST, b"of another platform")]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": parts}).encode()
    with contentdb.open(root) as opened:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest, index):
            opened.add(data)
    told = call(root, "export-oci", tmp_path / "out", sha(index))
    assert (told.exit_code, only_line(told.stdout)) == (0, sha(index))
    assert sha(b"of another platform") in only_line(told.stderr)
    assert call(root, "export-oci", tmp_path / "one", TOP).stderr == ""
