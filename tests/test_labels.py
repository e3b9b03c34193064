"""What may be a label, and what an update is about."""

from __future__ import annotations

import pytest

from contentdb.errors import InvalidFieldError, InvalidLabelError
from contentdb.labels import check_labels, check_total_labels, keys_of_fields


def test_labels_are_copied() -> None:
    labels = {"a": "1"}
    checked = check_labels(labels)
    labels["a"] = "2"
    assert checked == {"a": "1"}


def test_an_empty_value_is_no_label() -> None:
    assert check_labels({"a": "", "b": "1"}) == {"b": "1"}


def test_the_limit_counts_bytes_of_both() -> None:
    assert check_labels({"k" * 2048: "v" * 2048})
    assert check_labels({"k": "é" * 2047})
    with pytest.raises(InvalidLabelError, match="4097 bytes"):
        check_labels({"k" * 2048: "v" * 2049})
    with pytest.raises(InvalidLabelError, match="4097 bytes"):
        check_labels({"k": "é" * 2048})


def test_all_labels_of_one_blob_have_a_limit() -> None:
    most = {f"k{number:03d}": "é" * 2046 for number in range(256)}
    assert check_labels(most) == most
    with pytest.raises(InvalidLabelError, match="1048578 bytes together; 1048576 is the most"):
        check_labels(most | {"x": "y"})
    assert check_labels(most | {"x": ""}) == most


def test_labels_over_the_limit_may_become_fewer() -> None:
    """A store from before there was the limit may have more."""
    stored = {f"k{number:03d}": "v" * 4092 for number in range(300)}
    check_total_labels(stored | {"k000": "v"}, stored)
    with pytest.raises(InvalidLabelError):
        check_total_labels(stored | {"x": "v"}, stored)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"": "v"}, "empty"),
        ({"a\0": "v"}, "NUL"),
        ({"a": "v\0"}, "NUL"),
        ({"a": "\ud800"}, "Unicode"),
        ({"a": 1}, "text"),
        ({1: "a"}, "text"),
        ({"a": None}, "text"),
    ],
)
def test_bad_labels(labels: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidLabelError, match=reason):
        check_labels(labels)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        (["labels.a"], {"a"}),
        (["labels.a", "labels.b.c/d"], {"a", "b.c/d"}),
        (["labels.a.labels.b"], {"a.labels.b"}),
        (["labels"], None),
        (["labels.a", "labels"], None),
        ([], set()),
    ],
)
def test_fields(fields: list[str], keys: set[str] | None) -> None:
    assert keys_of_fields(fields) == keys


@pytest.mark.parametrize("fields", [["size"], ["labels.a", "digest"], ["labels."], [""]])
def test_bad_fields(fields: list[str]) -> None:
    with pytest.raises(InvalidFieldError):
        keys_of_fields(fields)


def test_fields_are_a_list() -> None:
    """A lone text, whose letters would be taken for fields, is told what is wrong."""
    with pytest.raises(InvalidFieldError, match="list of texts"):
        keys_of_fields("labels")
