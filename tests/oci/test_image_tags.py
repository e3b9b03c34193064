"""Images that `pull` and `import-oci` bring get tags, which commands take in place of digests."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from contentdb.engine import Capability
from contentdb.oci.layout.names import REF_NAME
from tests.cli.shell import call, only_line, records
from tests.hostile.server import MANIFEST, Image, Server, descriptor, sha
from tests.oci.test_layout import write_layout


class Other(Image):
    """The same content under another manifest."""

    def document(self) -> dict[str, object]:
        return super().document() | {"annotations": {"an": "other"}}


IMAGE, OTHER = Image(), Other()
TOP, OTHER_TOP = sha(IMAGE.manifest), sha(OTHER.manifest)
WHOLE_NAME = "io.containerd.image.name"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(IMAGE.answer) as running:
        yield running


def tags_of(root: Path) -> dict[str, str]:
    with contentdb.open(root) as store:
        return {tag.name: tag.digest for tag in store.tags()}


def pull(root: Path, reference: str, *options: str) -> str:
    done = call(root, "pull", "--plain-http", reference, *options)
    assert done.exit_code == 0, done.stderr
    return done.stderr


# -- pull ----------------------------------------------------------------------------------


def test_a_pull_tags_the_object_of_the_reference_with_it(root: Path, server: Server) -> None:
    pull(root, f"{server.name}/a/b:v1")
    with contentdb.open(root) as store:
        (tag,) = store.tags()
    assert (tag.name, tag.digest, tag.media_type) == (f"{server.name}/a/b:v1", TOP, MANIFEST)
    assert call(root, "cat", tag.name).stdout_bytes == IMAGE.manifest


def test_the_name_is_the_whole_one_without_a_digest(root: Path, server: Server) -> None:
    pull(root, f"{server.name}/a/b@{TOP}")
    assert tags_of(root) == {}
    pull(root, f"{server.name}/a/b:v2@{TOP}")
    assert tags_of(root) == {f"{server.name}/a/b:v2": TOP}


def test_other_names_or_none_if_told_so(root: Path, server: Server) -> None:
    place = f"{server.name}/a/b:v1"
    pull(root, place, "--no-tag")
    assert tags_of(root) == {}
    pull(root, place, "--tag", "app", "-t", "app:v1")
    assert tags_of(root) == {"app": TOP, "app:v1": TOP}


def test_a_tag_that_moves_is_told_of(root: Path, server: Server) -> None:
    place = f"{server.name}/a/b:v1"
    pull(root, place)
    assert "moved" not in only_line(pull(root, place))
    server.script = OTHER.answer
    assert f"the tag {place} moved from {TOP}" in pull(root, place).splitlines()[1:]
    assert tags_of(root) == {place: OTHER_TOP}
    server.script = IMAGE.answer
    record = records(call(root, "pull", "--plain-http", place, "--json").stdout)[0]
    assert record["tags"] == [{"name": place, "was": OTHER_TOP}]


def test_the_library_tags_nothing(root: Path, server: Server) -> None:
    with (
        contentdb.open(root) as store,
        oci.Registry(server.name, plain_http=True) as registry,
    ):
        oci.pull(store, f"{server.name}/a/b:v1", registry=registry)
        assert list(store.tags()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tag", "a", "--no-tag"), "exclude"),
        (("--tag", ""), "empty"),
        (("--tag", "a" * 5000), "4096"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_asked(
    root: Path, server: Server, options: tuple[str, ...], said: str
) -> None:
    done = call(root, "pull", "--plain-http", f"{server.name}/a/b:v1", *options)
    assert (done.exit_code, said in only_line(done.stderr)) == (2, True)
    assert server.requests == []


def test_a_store_without_tags_gets_none_and_refuses_those_asked_for(
    root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = frozenset(Capability) - {Capability.TAGS}
    monkeypatch.setattr(contentdb.Store, "capabilities", property(lambda _store: fewer))
    place = f"{server.name}/a/b:v1"
    refused = call(root, "pull", "--plain-http", place, "--tag", "a")
    assert (refused.exit_code, "keeps no tags" in only_line(refused.stderr)) == (2, True)
    pull(root, place)
    monkeypatch.undo()
    assert tags_of(root) == {}


# -- import-oci, export-oci ----------------------------------------------------------------


def layout_of(folder: Path, *names: dict[str, str], digests: int = 1) -> Path:
    """A layout with an entry for each set of annotations, of one image or of two in turn."""
    images = [IMAGE, OTHER][:digests]
    layout = write_layout(folder)
    entries = []
    for n, annotations in enumerate(names):
        image = images[n % digests]
        for data in (image.config, image.layer, image.manifest):
            (layout / "blobs/sha256" / sha(data)[7:]).write_bytes(data)
        entries.append(descriptor(MANIFEST, image.manifest, annotations=annotations))
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return layout


def test_an_import_tags_images_by_their_names(root: Path, tmp_path: Path) -> None:
    whole = {REF_NAME: "v1", WHOLE_NAME: "docker.io/team/app:v1"}
    layout = layout_of(tmp_path / "layout", whole, {REF_NAME: "other"}, {}, digests=2)
    done = call(root, "import-oci", layout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert tags_of(root) == {"docker.io/team/app:v1": TOP, "other": OTHER_TOP}
    with contentdb.open(root) as store:
        assert {tag.media_type for tag in store.tags()} == {MANIFEST}


def test_an_import_tells_of_a_tag_that_moves(root: Path, tmp_path: Path) -> None:
    call(root, "import-oci", layout_of(tmp_path / "one", {REF_NAME: "v1"}))
    both = layout_of(tmp_path / "two", {}, {REF_NAME: "v1"}, digests=2)
    done = call(root, "import-oci", both)
    assert f"the tag v1 moved from {TOP}" in only_line(done.stderr)
    assert tags_of(root) == {"v1": OTHER_TOP}
    record = records(call(root, "import-oci", both, "--json").stdout)[1]
    assert record["tags"] == [{"name": "v1", "was": None}]


def test_an_import_takes_other_names_or_none(root: Path, tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "layout", {REF_NAME: "v1"}, {REF_NAME: "v2"})
    call(root, "import-oci", layout, "--no-tag")
    assert tags_of(root) == {}
    call(root, "import-oci", layout, "--tag", "a", "--tag", "b")
    assert tags_of(root) == {"a": TOP, "b": TOP}


def test_one_name_is_not_for_several_images(root: Path, tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "layout", {REF_NAME: "v1"}, {REF_NAME: "v2"}, digests=2)
    done = call(root, "import-oci", layout, "--tag", "a")
    assert (done.exit_code, "contentdb tag" in only_line(done.stderr)) == (2, True)
    assert done.stdout.split()[::2] == [TOP, OTHER_TOP]
    assert tags_of(root) == {}


@pytest.mark.parametrize("name", [sha(b"x"), "sha256:1234", "ab" * 32, "a\x1bb", "x" * 5000])
def test_a_strangers_name_that_reads_as_a_digest_or_cannot_be_told_is_no_tag(
    root: Path, tmp_path: Path, name: str
) -> None:
    """A layout's author must not choose what a digest that somebody types stands for."""
    done = call(root, "import-oci", layout_of(tmp_path / "layout", {REF_NAME: name}))
    assert (done.exit_code, done.stdout.split()[0]) == (0, TOP)
    assert "no tag, since its name cannot be one" in only_line(done.stderr)
    assert tags_of(root) == {}


def test_what_is_left_out_gets_no_tag(root: Path, tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "layout", {REF_NAME: "v1"}, {REF_NAME: "v2"}, digests=2)
    (layout / "blobs/sha256" / OTHER_TOP[7:]).unlink()
    assert call(root, "import-oci", layout, "--partial", "--tag", "a").exit_code == 0
    assert tags_of(root) == {"a": TOP}
    assert call(root, "import-oci", layout, "--partial").exit_code == 0
    assert tags_of(root) == {"a": TOP, "v1": TOP}


def test_an_export_takes_the_name_of_a_tag(root: Path, tmp_path: Path) -> None:
    call(root, "import-oci", layout_of(tmp_path / "layout", {REF_NAME: "app:v1"}))
    done = call(root, "export-oci", tmp_path / "out", "app:v1", "-t", "x=app:v1")
    assert (done.exit_code, done.stdout) == (0, f"{TOP}\n")
