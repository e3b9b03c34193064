"""Section 4, rules 10 to 14: leases. Only for a store that has them."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from contentdb.content import LeaseItem
from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidFilterError,
    InvalidLabelError,
    LeaseEndedError,
    LeaseExistsError,
    NotFoundError,
)
from contentdb.testing.nouns import BAD_REFS, GOOD_REFS
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from contentdb.content import ContentStore, Lease, Leaser

__all__ = ["LeasingRules"]


def blobs_of(lease: Lease) -> set[str]:
    """Return the digests that a lease keeps."""
    return {item.name for item in lease.items() if item.kind == "content"}


class LeasingRules(Rules):
    """Rules of `lease`, `use_lease`, `leases`, `end_lease` and of the stores that they return."""

    @pytest.fixture
    def leaser(self, store: ContentStore) -> Leaser:
        """The store as one with leases; skip if it has none."""
        if not self.has_leases:
            pytest.skip("needs an implementation with has_leases")
        return cast("Leaser", store)

    @pytest.fixture
    def other(self, second: ContentStore) -> Leaser:
        """The second handle."""
        return cast("Leaser", second)

    def test_what_is_stored_through_a_lease_is_its(
        self, store: ContentStore, leaser: Leaser
    ) -> None:
        """4.10: by every way of storing, whether the content was stored before or not."""
        known = store.add(b"known").digest
        store.add(b"not its")
        with leaser.lease() as lease:
            added = [lease.add(b"one").digest, lease.add(b"known").digest]
            added += [info.digest for info in lease.add_many([b"two", b"known", b"three", b"two"])]
            added.append(lease.ingest("r", io.BytesIO(b"four")).digest)
            with lease.writer("w") as writer:
                writer.write(b"five")
                added.append(writer.commit().digest)
            assert blobs_of(lease) == set(added)
            assert known in added

    def test_what_is_found_stored_is_its(self, store: ContentStore, leaser: Leaser) -> None:
        """4.10: an `AlreadyExistsError` and an `exists` that is True are such answers too."""
        digests = [store.add(b"%d" % number).digest for number in range(5)]
        with leaser.lease() as lease:
            with pytest.raises(AlreadyExistsError):
                lease.writer("r", expected=digests[0])
            assert lease.add(io.BytesIO(b"1"), expected=digests[1]).digest == digests[1]
            assert lease.exists(digests[2])
            with lease.writer("s") as writer:
                writer.write(b"3")
                with pytest.raises(AlreadyExistsError):
                    writer.commit(exist_ok=False)
            assert blobs_of(lease) == set(digests[:4])
            lease.read(digests[4])
            lease.info(digests[4])
            assert digests[4] not in blobs_of(lease)

    def test_keep(self, store: ContentStore, leaser: Leaser) -> None:
        """4.11: it says whether the blob is stored, and adds it only then."""
        digest = store.add(b"content").digest
        with leaser.lease() as lease:
            assert lease.keep(digest)
            assert lease.keep(digest)
            assert not lease.keep(Digest.of(b"absent"))
            assert not lease.exists(Digest.of(b"absent"))
            assert list(lease.items()) == [LeaseItem("content", digest)]
            store.delete(digest)
            assert not lease.keep(digest)

    def test_what_another_object_dropped_is_added_again(
        self, leaser: Leaser, other: Leaser
    ) -> None:
        """4.11: what is answered for is among the items then, not only at an answer before."""
        with leaser.lease() as lease:
            digest = lease.add(b"content").digest
            item = LeaseItem("content", digest)
            for again in (
                lambda: lease.keep(digest),
                lambda: lease.exists(digest),
                lambda: lease.add(b"content"),
            ):
                other.use_lease(lease.id).drop_item(*item)
                assert list(lease.items()) == []
                assert again()
                assert list(lease.items()) == [item]

    def test_leases_are_listed(self, leaser: Leaser, other: Leaser) -> None:
        """4.12: with what they were made with, by every handle, while they live."""
        held = leaser.lease(labels={"k": "v", "e": ""})
        timed = leaser.lease(expires=timedelta(hours=1), flat=True, id="timed")
        lasting = leaser.lease(lasting=True, id="a lasting one")
        infos = {info.id: info for info in other.leases()}
        assert list(infos) == sorted([held.id, "timed", "a lasting one"])
        assert infos[held.id] == held.describe()
        assert infos[held.id].holder is not None
        assert (infos[held.id].expires_at, dict(infos[held.id].labels)) == (None, {"k": "v"})
        moment = infos["timed"].expires_at
        assert moment is not None
        assert moment - infos["timed"].created_at >= timedelta(minutes=59)
        assert (infos["timed"].flat, infos["timed"].holder) == (True, None)
        assert (infos["a lasting one"].expires_ns, infos["a lasting one"].holder) == (None, None)
        assert [info.id for info in other.leases("labels.k==v", "id==timed")] == sorted(
            [held.id, "timed"]
        )
        with pytest.raises(InvalidFilterError):
            list(other.leases("digest==x"))
        for lease in (held, timed, lasting):
            lease.close()
        assert list(other.leases()) == []

    def test_a_lease_ends(self, store: ContentStore, leaser: Leaser, other: Leaser) -> None:
        """4.12: any handle may end it; from then on nothing is promised through it."""
        lease = leaser.lease()
        digest = lease.add(b"content").digest
        other.end_lease(lease.id)
        for call in (
            lambda: lease.add(b"content"),
            lambda: lease.keep(digest),
            lambda: lease.exists(digest),
            lambda: lease.add(b"other content"),
            lambda: list(lease.add_many([b"1", b"2"])),
            lambda: lease.ingest("r", io.BytesIO(b"more content")),
            lambda: lease.add_item("content", "x"),
            lambda: list(lease.items()),
            lease.describe,
        ):
            with pytest.raises(LeaseEndedError):
                call()
        assert not store.exists(Digest.of(b"other content"))
        with pytest.raises(NotFoundError) as caught:
            other.end_lease(lease.id)
        assert caught.value.lease == lease.id
        with pytest.raises(NotFoundError, match="no lease"):
            other.use_lease(lease.id)
        lease.end()
        lease.close()

    def test_an_object_that_has_ended_its_lease(self, leaser: Leaser) -> None:
        """4.12: takes no more calls; the content stays."""
        with leaser.lease() as lease:
            digest = lease.add(b"content").digest
        for call in (lambda: lease.read(digest), lambda: lease.exists(digest)):
            with pytest.raises(LeaseEndedError):
                call()
        assert leaser.lease(id=lease.id).read(digest) == b"content"

    def test_a_time_ends_a_lease(self, leaser: Leaser) -> None:
        """4.12: with ``expires`` the clock ends it; no call is needed."""
        lease = leaser.lease(expires=timedelta(microseconds=1), id="l")
        assert list(leaser.leases()) == []
        with pytest.raises(LeaseEndedError):
            lease.add(b"content")
        again = leaser.lease(id="l", expires=timedelta(hours=1))
        again.add(b"content")
        with pytest.raises(LeaseEndedError):  # it is another one
            lease.add(b"more")

    def test_one_lease_has_an_id(self, leaser: Leaser, other: Leaser) -> None:
        """4.12: as long as it lives; then the id is free."""
        lease = leaser.lease(id="l", lasting=True)
        with pytest.raises(LeaseExistsError) as caught:
            other.lease(id="l")
        assert caught.value.lease == "l"
        lease.end()
        other.lease(id="l").close()

    def test_a_lease_is_used_by_several(self, leaser: Leaser, other: Leaser) -> None:
        """4.12: what one adds all see; the block of the object that began it ends it."""
        with leaser.lease() as lease:
            with other.use_lease(lease.id) as used:
                digest = used.add(b"content").digest
            assert blobs_of(lease) == {digest}
            assert lease.keep(digest)
            used = other.use_lease(lease.id)
            used.end()
            with pytest.raises(LeaseEndedError):
                lease.add(b"more")

    def test_items(self, leaser: Leaser) -> None:
        """4.13: of any kind, verbatim, in order, whether they are there or not."""
        with leaser.lease() as lease:
            wanted = sorted(
                [LeaseItem("ingest", "a ref"), LeaseItem("snapshots/x", "ü \n"),
                 *(LeaseItem("content", f"sha256:{number}") for number in range(600))]
            )  # fmt: skip
            for item in wanted:
                lease.add_item(*item)
                lease.add_item(*item)
            assert list(lease.items()) == wanted
            lease.drop_item("ingest", "a ref")
            lease.drop_item("ingest", "a ref")
            assert list(lease.items()) == [item for item in wanted if item.kind != "ingest"]
            with pytest.raises(InvalidArgumentError):
                lease.add_item("", "x")

    def test_what_was_let_go_of_is_kept_again(self, leaser: Leaser) -> None:
        """4.13: an answer after that adds it anew."""
        with leaser.lease() as lease:
            digest = lease.add(b"content").digest
            lease.drop_item("content", digest)
            assert blobs_of(lease) == set()
            lease.add(b"content")
            assert blobs_of(lease) == {digest}

    def test_a_tag_of_a_lease(self, store: ContentStore, leaser: Leaser) -> None:
        """4.10: a lease's store has tags too, which outlive it."""
        if not self.has_tags:
            pytest.skip("needs an implementation with has_tags")
        with leaser.lease() as lease:
            digest = lease.add(b"content").digest
            lease.tag("n", digest)
        assert [tag.digest for tag in store.tags()] == [digest]  # type: ignore[attr-defined]

    @pytest.mark.parametrize("id_", GOOD_REFS)
    def test_any_text_is_an_id(self, leaser: Leaser, id_: str) -> None:
        """4.12: and comes back as it was."""
        with leaser.lease(id=id_):
            assert [info.id for info in leaser.leases()] == [id_]

    @pytest.mark.parametrize("id_", BAD_REFS)
    def test_bad_arguments(self, leaser: Leaser, id_: str) -> None:
        """4.12: nothing is made of them."""
        for call in (
            lambda: leaser.lease(id=id_),
            lambda: leaser.use_lease(id_),
            lambda: leaser.end_lease(id_),
            lambda: leaser.lease(expires=timedelta(0)),
            lambda: leaser.lease(expires=timedelta.max),
            lambda: leaser.lease(expires=timedelta(hours=1), lasting=True),
        ):
            with pytest.raises(InvalidArgumentError):
                call()
        with pytest.raises(InvalidLabelError):
            leaser.lease(labels={"k": "x" * 5000})
        assert list(leaser.leases()) == []
