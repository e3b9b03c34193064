"""Whatever a value holds, quoted in a filter it stands for itself and for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contentdb.filters import Operator, Selector, parse, quote, with_labels

if TYPE_CHECKING:
    from contentdb import Store

SPECIAL = '"\\/|,.=!~<> \n\r\t\x01\x7f\x85\u2028xu0labesk'
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text(
    SPECIAL
)
keys = texts.filter(bool)


@given(value=texts, key=keys)
def test_a_quoted_value_is_read_as_itself(value: str, key: str) -> None:
    """Alone, as a key, and between other selectors that it could run into."""
    one = Selector("labels", "k", Operator.EQUAL, value)
    assert parse(f"labels.k=={quote(value)}").alternatives == ((one,),)
    other = Selector("labels", key, Operator.NOT_EQUAL, value)
    text = f"labels.{quote(key)}!={quote(value)},labels.k=={quote(value)},labels.{quote(key)}"
    present = Selector("labels", key, Operator.PRESENT, None)
    assert parse(text).alternatives == ((other, one, present),)


@given(
    values=st.lists(texts, min_size=1, max_size=3), labels=st.dictionaries(keys, texts, min_size=1)
)
def test_labels_beside_filters_are_asked_for_as_well(
    values: list[str], labels: dict[str, str]
) -> None:
    """Each filter means what it meant, and each asks for all labels besides."""
    filters = [f"labels.k!={quote(value)},size" for value in values]
    wanted = tuple(Selector("labels", k, Operator.EQUAL, v) for k, v in labels.items())
    alone = parse(*filters).alternatives
    assert parse(*with_labels(filters, labels)).alternatives == tuple(
        (*selectors, *wanted) for selectors in alone
    )
    assert parse(*with_labels([], labels)).alternatives == (wanted,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=texts.filter(bool), others=st.lists(texts.filter(bool), max_size=4))
def test_the_index_finds_the_value_alone(store: Store, value: str, others: list[str]) -> None:
    """Both ways of asking find that blob, and none of another value."""
    for info in store.walk():
        store.delete(info.digest)
    for number, one in enumerate({value, *others}):
        store.add(b"%d" % number, labels={"value": one, f"key {one}": "v"})
    for found in (
        store.walk(f"labels.value=={quote(value)}"),
        store.walk(f"labels.{quote(f'key {value}')}==v"),
        store.walk(labels={"value": value}),
        store.walk(labels={f"key {value}": "v", "value": value}),
    ):
        assert [info.labels["value"] for info in found] == [value]
