"""The service Images: names for descriptors, which are the store's tags."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

import contentdb
from contentdb.digest import Digest
from contentdb.labels import ANNOTATION
from contentdb.server.daemon import Server
from contentdb.wire import images_pb2 as wire
from contentdb.wire.descriptor_pb2 import Descriptor
from contentdb.wire.images_pb2_grpc import ImagesStub
from tests.server.asking import IN_TEST, connected, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import grpc

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Images:
    """The rpcs, in the namespace of the tests."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = ImagesStub(channel)

    def get(self, name: str) -> wire.Image:
        return self._stub.Get(wire.GetImageRequest(name=name), metadata=IN_TEST).image

    def list(self, *filters: str) -> list[str]:
        request = wire.ListImagesRequest(filters=filters)
        return [image.name for image in self._stub.List(request, metadata=IN_TEST).images]

    def create(self, image: wire.Image, **more: Any) -> wire.Image:  # noqa: ANN401 - of the message
        request = wire.CreateImageRequest(image=image, **more)
        return self._stub.Create(request, metadata=IN_TEST).image

    def update(self, image: wire.Image, *paths: str) -> wire.Image:
        mask = FieldMask(paths=paths) if paths else None
        request = wire.UpdateImageRequest(image=image, update_mask=mask)
        return self._stub.Update(request, metadata=IN_TEST).image

    def delete(self, name: str, target: str = "") -> None:
        about = Descriptor(digest=target) if target else None
        request = wire.DeleteImageRequest(name=name, sync=True, target=about)
        self._stub.Delete(request, metadata=IN_TEST)


def image(name: str = "app:v1", digest: str = ONE, **labels: str) -> wire.Image:
    target = Descriptor(digest=digest, size=3, media_type=MANIFEST, annotations={"a": "1"})
    return wire.Image(name=name, target=target, labels=labels)


@pytest.fixture
def images(served: Path) -> Iterator[Images]:
    for channel in connected(served):
        yield Images(channel)


def test_an_image_is_a_tag_whose_blob_need_not_be_there(images: Images, tmp_path: Path) -> None:
    made = images.create(image(k="v", empty=""))
    assert images.get("app:v1") == made
    assert (made.name, dict(made.labels)) == ("app:v1", {"k": "v"})
    assert made.target == image().target
    with contentdb.open(tmp_path / "store", namespace="test") as store:
        tag = store.tagged("app:v1")
        assert (tag.digest, tag.media_type, tag.size) == (ONE, MANIFEST, 3)
        assert dict(tag.labels) == {"k": "v", f"{ANNOTATION}a": "1"}
        assert tag.created_ns == tag.updated_ns == made.created_at.ToNanoseconds()
        assert not store.exists(ONE)


def test_a_name_is_made_once(images: Images) -> None:
    made = images.create(image())
    assert refused(lambda: images.create(image(digest=TWO))) == (
        StatusCode.ALREADY_EXISTS,
        'image "app:v1": already exists',
    )
    assert images.get("app:v1") == made


BAD = {
    "no name": image(name=""),
    "no digest": image(digest=""),
    "a bad digest": image(digest="sha256:abc"),
    "a long label": image(k="v" * 5000),
    "no size": wire.Image(name="n", target=Descriptor(digest=ONE, media_type=MANIFEST)),
    "less": wire.Image(name="n", target=Descriptor(digest=ONE, size=-1, media_type=MANIFEST)),
    "no media type": wire.Image(name="n", target=Descriptor(digest=ONE, size=1)),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_an_image_is_refused(images: Images, what: str) -> None:
    assert refused(lambda: images.create(BAD[what]))[0] is StatusCode.INVALID_ARGUMENT
    assert images.list() == []


def test_the_time_of_making_may_be_given(images: Images) -> None:
    then = Timestamp(seconds=86400)
    assert images.create(image(), source_date_epoch=then).created_at == then
    beyond = Timestamp(seconds=1 << 34)
    code, _ = refused(lambda: images.create(image("n"), source_date_epoch=beyond))
    assert code is StatusCode.INVALID_ARGUMENT


def test_an_update_without_a_mask_changes_all_but_the_time_of_making(images: Images) -> None:
    made = images.create(image(k="v", gone="x"))
    news = wire.Image(name="app:v1", labels={"k": "w"})
    news.target.CopyFrom(Descriptor(digest=TWO, size=4, media_type="text/plain"))
    changed = images.update(news)
    assert images.get("app:v1") == changed
    assert (changed.target, dict(changed.labels)) == (news.target, {"k": "w"})
    assert changed.created_at == made.created_at
    assert changed.updated_at.ToNanoseconds() > made.updated_at.ToNanoseconds()


def test_a_mask_tells_what_changes(images: Images) -> None:
    images.create(image(a="1", b="2", c="3"))
    news = image(digest=TWO, a="9", b="", d="4")
    news.target.annotations["a"] = "2"
    changed = images.update(news, "labels.a", "labels.b", "labels.c")
    assert dict(changed.labels) == {"a": "9"}
    assert changed.target == image().target
    changed = images.update(news, "annotations.a")
    assert (changed.target.digest, dict(changed.target.annotations)) == (ONE, {"a": "2"})
    changed = images.update(news, "target")
    assert (changed.target, dict(changed.labels)) == (news.target, {"a": "9"})
    changed = images.update(wire.Image(name="app:v1"), "annotations", "labels")
    assert (dict(changed.labels), dict(changed.target.annotations)) == ({}, {})
    assert changed.target.digest == TWO


def test_other_updates_are_refused_and_change_nothing(images: Images) -> None:
    made = images.create(image())
    assert refused(lambda: images.update(image(a="1"), "labels", "created_at")) == (
        StatusCode.INVALID_ARGUMENT,
        'cannot update "created_at" field on image "app:v1"',
    )
    assert refused(lambda: images.update(image("none"), "labels")) == (
        StatusCode.NOT_FOUND,
        'image "none": not found',
    )
    for bad, words in (
        (image(k="v" * 5000), "image.Labels: label key and value greater than maximum size"),
        (image(digest="none"), "invalid digest"),
    ):
        code, text = refused(partial(images.update, bad))
        assert code is StatusCode.INVALID_ARGUMENT
        assert text.startswith(words)
    assert images.get("app:v1") == made


def test_labels_of_a_tag_without_a_media_type_can_be_changed(
    images: Images, tmp_path: Path
) -> None:
    """The library makes such tags, and containerd's clients may label them."""
    with contentdb.open(tmp_path / "store", namespace="test") as store:
        store.tag("n", store.add(b"").digest)
        images.update(wire.Image(name="n", labels={"k": "v"}), "labels.k")
        assert (store.tagged("n").media_type, store.tagged("n").size) == (None, 0)
        assert dict(store.tagged("n").labels) == {"k": "v"}


def test_annotations_go_when_the_tag_moves(images: Images, tmp_path: Path) -> None:
    """They are about the target; labels are about the name."""
    images.create(image(k="v"))
    with contentdb.open(tmp_path / "store", namespace="test") as store:
        store.add(b"one")
        assert dict(store.tag("app:v1", ONE).labels) == {"k": "v", f"{ANNOTATION}a": "1"}
        assert dict(store.tag("app:v1", store.add(b"two").digest).labels) == {"k": "v"}
    assert dict(images.get("app:v1").target.annotations) == {}


def test_a_delete_may_name_the_target(images: Images) -> None:
    images.create(image())
    code, text = refused(lambda: images.delete("app:v1", TWO))
    assert (code, text) == (
        StatusCode.NOT_FOUND,
        f'image "app:v1" has target {ONE}, not {TWO}: not found',
    )
    images.delete("app:v1", ONE)
    absent = (StatusCode.NOT_FOUND, 'image "app:v1": not found')
    assert refused(lambda: images.delete("app:v1")) == absent
    assert refused(lambda: images.get("app:v1")) == absent


def test_a_synced_delete_waits_for_a_collection_where_some_are_made(
    images: Images, tmp_path: Path
) -> None:
    """A client cannot begin to collect, nor where nothing is left that says what is wanted."""
    with contentdb.open(tmp_path / "store", namespace="test") as store:
        for word in (b"one", b"two", b"three"):
            store.tag(word.decode(), store.add(word).digest, media_type=MANIFEST)
        _end_grace(store)
        images.delete("one")
        assert len(list(store.walk())) == 3
        store.collect()
        store.add(b"fresh")
        _end_grace(store, but=Digest.of(b"fresh"))
        images.delete("two")
        assert {info.size for info in store.walk()} == {5}
        images.delete("three")
        assert {info.size for info in store.walk()} == {5}


def _end_grace(store: contentdb.Store, but: str = "") -> None:
    with contextlib.closing(sqlite3.connect(store.root / "index.sqlite")) as database:
        database.execute("UPDATE blobs SET review_at = 7 WHERE digest <> ?", (but,))
        database.execute("UPDATE settings SET value = '7' WHERE name = 'collecting_since'")
        database.commit()


def test_filters_are_those_of_containerd(images: Images) -> None:
    images.create(image("a", k="v"))
    images.create(image("b", TWO))
    for chosen, names in (
        ((), ["a", "b"]),
        (("name==b",), ["b"]),
        (("name~=^a",), ["a"]),
        ((f"target.digest=={TWO}",), ["b"]),
        ((f'target.mediatype=="{MANIFEST}"',), ["a", "b"]),
        (("labels.k",), ["a"]),
        (("labels.k==v", "name==b"), ["a", "b"]),
        (("annotations.a==1,name!=a",), ["b"]),
        (("target.other",), []),
    ):
        assert images.list(*chosen) == names, chosen
    code, text = refused(lambda: images.list("size>1"))
    assert code is StatusCode.INVALID_ARGUMENT
    assert "use one of name, target.KEY, labels.KEY, annotations.KEY" in text


def test_more_images_than_one_message_takes_are_refused(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contentdb.server.limits._MOST_ANSWER_BYTES", 500)
    for name in "ab":
        images.create(image(name, k="v" * 200))
    assert refused(images.list)[0] is StatusCode.RESOURCE_EXHAUSTED
    assert images.list("name==b") == ["b"]


def test_a_server_that_only_reads_changes_no_image(tmp_path: Path, socket_path: Path) -> None:
    with contentdb.open(tmp_path / "store", namespace="test") as store:
        store.tag("n", store.add(b"one").digest)
    with Server(tmp_path / "store", read_only=True) as server:
        server.listen_unix(socket_path)
        server.start()
        for channel in connected(socket_path):
            images = Images(channel)
            for change in (
                lambda images=images: images.create(image()),
                lambda images=images: images.update(image("n"), "target"),
                lambda images=images: images.delete("n"),
            ):
                assert refused(change)[0] is StatusCode.FAILED_PRECONDITION
            assert images.list() == ["n"]
