"""The records of the contract are values, and `Store` plays every role."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime

import pytest

from contentdb.digest import Digest
from contentdb.values import Info, NewInfo, Status, Usage

DIGEST = Digest.of(b"content")
NS = 1_700_000_000_123_456_789


def test_info_is_a_value() -> None:
    info = Info(DIGEST, 7, NS, NS + 1, {"k": "v"})
    assert info == Info(DIGEST, 7, NS, NS + 1, {"k": "v"})
    assert info != Info(DIGEST, 7, NS, NS + 1, {"k": "w"})
    assert info != Info(DIGEST, 7, NS, NS + 2, {"k": "v"})
    for other in (pickle.loads(pickle.dumps(info)), copy.copy(info), copy.deepcopy(info)):  # noqa: S301
        assert other == info
        assert type(other) is Info


def test_an_info_says_whether_its_call_stored_something_new() -> None:
    """3.10, 3.12: it is told, survives pickle and copy, and takes no part in comparing."""
    info = Info(DIGEST, 7, NS, NS + 1, {"k": "v"})
    new = NewInfo.of(info)
    assert (info.new, new.new) == (False, True)
    assert new == info
    assert hash(NewInfo(DIGEST, 7, NS, NS)) == hash(Info(DIGEST, 7, NS, NS))
    assert repr(new) == f"{repr(info)[:-1]}, new=True)"
    for other in (pickle.loads(pickle.dumps(new)), copy.copy(new), copy.deepcopy(new)):  # noqa: S301
        assert (other, other.new) == (info, True)


def test_an_info_gives_a_dict() -> None:
    labels = {"k": "v"}
    info = Info(DIGEST, 7, NS, NS + 1000, labels)
    found = info.asdict()
    assert found == {
        "digest": DIGEST, "size": 7, "created_at": info.created_at, "updated_at": info.updated_at,
        "labels": {"k": "v"},
    }  # fmt: skip
    assert type(found["labels"]) is dict
    found["labels"]["k"] = "w"
    assert (info.labels, labels) == ({"k": "v"}, {"k": "v"})
    assert Info(DIGEST, 7, NS, NS).asdict()["labels"] == {}
    assert json.loads(json.dumps(found, default=str))["digest"] == DIGEST


def test_no_labels_are_no_labels() -> None:
    assert Info(DIGEST, 7, NS, NS) == Info(DIGEST, 7, NS, NS, {})
    assert dict(Info(DIGEST, 7, NS, NS).labels) == {}


def test_info_cannot_be_changed() -> None:
    labels = {"k": "v"}
    info = Info(DIGEST, 7, NS, NS, labels)
    with pytest.raises(TypeError):
        info.labels["k"] = "w"  # type: ignore[index]
    with pytest.raises(AttributeError):
        info.size = 8  # type: ignore[misc]


def test_times_have_a_zone_and_keep_microseconds() -> None:
    info = Info(DIGEST, 7, NS, NS + 1000)
    assert info.created_at == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert (info.created_ns, info.updated_ns) == (NS, NS + 1000)
    status = Status("r", 0, None, None, NS, NS, held=False)
    assert status.started_at == status.updated_at == info.created_at
    before = Info(DIGEST, 0, -1_500, 0)
    assert before.created_at == datetime(1969, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)


def test_info_reads_well() -> None:
    text = repr(Info(DIGEST, 7, NS, NS, {"k": "v"}))
    assert text == f"Info({DIGEST}, size=7, created_at=2023-11-14T22:13:20Z, labels={{'k': 'v'}})"


def test_usage_names_its_counts() -> None:
    assert Usage(1, 2, 3, 4)._asdict() == {
        "blobs": 1, "blob_bytes": 2, "ingests": 3, "ingest_bytes": 4
    }  # fmt: skip
