"""Whatever text comes in: it is taken as it is, or refused by an error of ours; nothing leaks out.

`tests/stress/fuzzing.py` tries a million; here failures are shrunk to what matters of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import contentdb
from contentdb import Digest
from contentdb.filters import parse
from contentdb.labels import check_labels
from contentdb.local.layout import ingest_name
from contentdb.refs import check_namespace, check_ref
from tests.fixtures import tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG = ["\0", "\n", "\ud800", "..", "../../etc/passwd", "/", "\\", '"', "~=", ",", "\x1b[2J", "%s"]
hostile = st.one_of(
    st.text(),
    st.text(st.characters(exclude_categories=())),  # lone surrogates too
    st.lists(st.sampled_from([*WRONG, "sha256:", "labels.", "size", "==", "a", "0", "é"])).map(
        "".join
    ),
)
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[contentdb.Store]:
    """A store beside which nothing may appear or change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    (tmp_path / "outside" / "file").chmod(0o400)
    before = tree(tmp_path / "outside")
    with contentdb.open(tmp_path / "store", durability="process") as store:
        yield store
    assert tree(tmp_path / "outside") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "store"]


@given(text=hostile)
def test_a_digest_is_its_text_or_refused(text: str) -> None:
    try:
        digest = Digest(text)
    except contentdb.InvalidDigestError as error:
        str(error).encode()
        return
    assert digest == text
    assert re.fullmatch("sha(256|384|512):[0-9a-f]+", text)


@given(text=hostile)
def test_a_ref_never_becomes_a_path(text: str) -> None:
    try:
        name = ingest_name("default", check_ref(text))
    except contentdb.InvalidRefError as error:
        str(error).encode()
        return
    assert re.fullmatch("[0-9a-f]{32}", name)


@given(text=hostile)
def test_a_namespace_is_plain_or_refused(text: str) -> None:
    try:
        check_namespace(text)
    except contentdb.InvalidArgumentError as error:
        str(error).encode()
        return
    assert re.fullmatch("[A-Za-z0-9._-]{1,76}", text)


@given(labels=st.dictionaries(hostile, hostile, max_size=3))
def test_labels_are_kept_as_they_are_or_refused(labels: dict[str, str]) -> None:
    try:
        kept = check_labels(labels)
    except contentdb.InvalidLabelError as error:
        str(error).encode()
        return
    assert kept == {key: value for key, value in labels.items() if value}


@given(text=hostile)
def test_a_filter_parses_or_says_where_not(text: str) -> None:
    try:
        parse(text)
    except contentdb.InvalidFilterError as error:
        str(error).encode()


@many
@given(ref=hostile, data=st.binary(max_size=50))
def test_an_ingest_under_any_ref_stays_inside(
    witnessed: contentdb.Store, ref: str, data: bytes
) -> None:
    try:
        with witnessed.writer(ref) as writer:
            writer.write(data)
    except contentdb.InvalidRefError:
        return
    assert [status.ref for status in witnessed.statuses()] == [ref]
    assert witnessed.status(ref).offset == len(data)
    witnessed.abort(ref)
    assert list((witnessed.root / "ingest").iterdir()) == []


@many
@given(labels=st.dictionaries(hostile, hostile, max_size=3), data=st.binary(max_size=5))
def test_labels_come_back_and_are_found(
    witnessed: contentdb.Store, labels: dict[str, str], data: bytes
) -> None:
    try:
        digest = witnessed.add(data, labels=labels).digest
    except contentdb.InvalidLabelError:
        return
    witnessed.update(digest, labels)
    kept = {key: value for key, value in labels.items() if value}
    assert dict(witnessed.info(digest).labels) == kept
    assert [dict(info.labels) for info in witnessed.walk() if info.digest == digest] == [kept]


@many
@given(text=hostile)
def test_any_text_in_a_digests_place(witnessed: contentdb.Store, text: str) -> None:
    for call in (witnessed.read, witnessed.info, witnessed.path, witnessed.delete):
        with pytest.raises((contentdb.InvalidDigestError, contentdb.NotFoundError)):
            call(text)
    with pytest.raises((contentdb.InvalidDigestError, contentdb.NotFoundError)):
        witnessed.resolve(text)


@many
@given(texts=st.lists(hostile, min_size=1, max_size=2))
def test_any_text_in_a_filters_place(witnessed: contentdb.Store, texts: list[str]) -> None:
    for listing in (witnessed.walk, witnessed.statuses):
        try:
            list(listing(*texts))
        except contentdb.InvalidFilterError as error:
            str(error).encode()


@many
@given(sort=hostile, after=st.sampled_from([None, Digest.of(b"")]))
def test_any_text_in_an_orders_place(
    witnessed: contentdb.Store, sort: str, after: str | None
) -> None:
    try:
        list(witnessed.walk(sort=sort, after=after))  # type: ignore[arg-type]  # that is tried
    except contentdb.InvalidArgumentError as error:
        str(error).encode()
