"""The filter language: containerd's own examples, then what goes beyond them."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.errors import InvalidFilterError
from contentdb.filters import (
    BLOB_FIELDS,
    INGEST_FIELDS,
    Filter,
    Kind,
    Operator,
    Selector,
    parse,
    searcher,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
MAY_1 = 1_714_521_600 * SECOND  # date -u -d 2024-05-01 +%s
EVERYTHING = Filter(((),))


def only(text: str, **options: Any) -> Selector:  # noqa: ANN401 - whatever parse takes
    """Parse a filter of one selector."""
    ((selector,),) = parse(text, **options).alternatives
    return selector


def refused(text: str, **options: Any) -> InvalidFilterError:  # noqa: ANN401
    with pytest.raises(InvalidFilterError) as caught:
        parse(text, **options)
    assert caught.value.text == text
    return caught.value


# -- containerd's examples (pkg/filters/filter_test.go), on its own corpus ------------------------

CORPUS_FIELDS = {"name": Kind.TEXT, "other": Kind.TEXT, "labels": Kind.LABELS}
CORPUS: list[Mapping[str, object]] = [
    {"name": "foo", "labels": {"foo": "true"}},
    {"name": "bar"},
    {"name": "foo", "labels": {"foo": "present", "more complex label": "present"}},
    {"name": "bar", "labels": {"bar": "true"}},
    {"name": "fooer", "labels": {'more complex label with \\ and "': "present"}},
    {"name": "fooer", "labels": {'more complex label with \\ and ".post': "present"}},
    {"name": "baz", "other": "too complex, yo"},
    {"name": "bazo", "other": "abc"},
    {"name": "compound", "labels": {"foo": "omg_asdf.asdf-qwer"}},
]
CONTAINERD_FINDS = {
    "": [0, 1, 2, 3, 4, 5, 6, 7, 8],
    "name": [0, 1, 2, 3, 4, 5, 6, 7, 8],
    "labels.foo": [0, 2, 8],
    "labels.foo,name": [0, 2, 8],
    "labels.foo==true": [0],
    "labels.foo==omg_asdf.asdf-qwer": [8],
    "name==bar": [1, 3],
    "name!=bar": [0, 2, 4, 5, 6, 7, 8],
    "name==bar,labels.bar": [3],
    'other=="too complex, yo"': [6],
    "other~=[abc]+,name!=foo": [6, 7],
    "other~=/[abc]+/,name!=foo": [6, 7],
    "other~=/[abc]{1,2}/,name!=foo": [6, 7],
    r'other~=/[abc]{0,1}"\//,name!=foo': [],
    "name==bar,labels.bar==true": [3],
    "name==bar,labels.bar==wrong": [],
    'name==foo,labels."more complex label"': [2],
    r'labels."more complex label with \\ and \""==present': [4],
    r'labels."more complex label with \\ and \"".post==present': [5],
}
CONTAINERD_REFUSES = {
    "labels.|foo|==omg_asdf.asdf-qwer": 7,
    r'labels.?"more complex label with \\ and \"".post==present': 7,
    "name==foo,": 10,
    "labels.": 7,
    "name~=,other?=?fbaq": 6,
    "labels.ns/key==value": 9,
    "labels.key==/value": 12,
}


@pytest.mark.parametrize("text", CONTAINERD_FINDS)
def test_containerds_examples(text: str) -> None:
    chosen = parse(text, fields=CORPUS_FIELDS)
    found = [number for number, item in enumerate(CORPUS) if chosen.matches(item)]
    assert found == CONTAINERD_FINDS[text]


@pytest.mark.parametrize("text", CONTAINERD_REFUSES)
def test_containerds_refusals(text: str) -> None:
    """At the very position that containerd names."""
    assert refused(text, fields=CORPUS_FIELDS).position == CONTAINERD_REFUSES[text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("digest~=[abc]+", "[abc]+"),
        (r"digest~=[abc]\+", r"[abc]\+"),
        ("digest~=/[abc]{0,2}/", "[abc]{0,2}"),
        ("digest~=牛", "牛"),
        ("digest~=|牛|", "牛"),
        (r'digest~="asdf\n\tfooo"', "asdf\n\tfooo"),
        ("digest == bar    ", "bar"),
        ("digest==punctuated_value.foo-bar", "punctuated_value.foo-bar"),
        (r"digest~=/foo\/bar/", "foo/bar"),
        ("digest~=|foo/bar|", "foo/bar"),
    ],
)
def test_containerds_tokens(text: str, value: str) -> None:
    """The values of its scanner's examples (pkg/filters/scanner_test.go)."""
    assert only(text).value == value


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("digest\0bar", 6),
        ("digest=", 6),
        ("digest==", 8),
        ("digest==value value", 14),
        ("digest==,size!=1", 8),
        ("labels.containerd.io/key==value", 20),
        ('labels."containerd.io\nkey"==value', 7),
        (r'labels."\g"', 8),
        (r'labels."\xaz"', 8),
    ],
)
def test_containerds_illegal_tokens(text: str, position: int) -> None:
    assert refused(text).position == position


# -- alternatives, selectors and paths --------------------------------------------------------


@pytest.mark.parametrize("texts", [(), ("",), ("", ""), ("size>1", ""), ("", "size>1")])
def test_none_and_the_empty_filter_select_everything(texts: tuple[str, ...]) -> None:
    assert parse(*texts) == EVERYTHING
    assert EVERYTHING.matches({})


def test_a_filter_of_space_is_none() -> None:
    """Lest an unset variable in a script select everything by chance."""
    assert refused("  ").position == 2


def test_filters_are_or_and_selectors_are_and() -> None:
    chosen = parse("labels.a,size>1", "labels.b")
    a, size, b = (
        Selector("labels", "a", Operator.PRESENT, None),
        Selector("size", None, Operator.GREATER, 1),
        Selector("labels", "b", Operator.PRESENT, None),
    )
    assert chosen == Filter(((a, size), (b,)))
    assert [
        chosen.matches({"size": size, "labels": dict.fromkeys(labels, "")})
        for size, labels in [(2, "a"), (1, "a"), (2, ""), (1, "b"), (2, "ab")]
    ] == [True, False, False, True, True]


def test_every_filter_is_checked_even_beside_an_empty_one() -> None:
    with pytest.raises(InvalidFilterError):
        parse("", "nonsense")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("labels.foo", "foo"),
        ("labels.foo-bar_1", "foo-bar_1"),
        ("labels.1", "1"),
        ("labels.foo.bar", "foo.bar"),
        ('labels."io.example/kind"', "io.example/kind"),
        ('labels."io.example"."a/b".c', "io.example.a/b.c"),
        ('"labels"."foo"', "foo"),
        ('labels.""', ""),
        ('labels."a,b==c"', "a,b==c"),
        ('labels." "', " "),
        (r'labels."\u00fc\"\\"', 'ü"\\'),
        (" labels . foo ", "foo"),
    ],
)
def test_label_paths(path: str, key: str) -> None:
    """Parts of a path are joined by dots, as in containerd."""
    assert only(path) == Selector("labels", key, Operator.PRESENT, None)
    assert only(path + "==x") == Selector("labels", key, Operator.EQUAL, "x")


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\N{NO-BREAK SPACE}", " \r\n "])
def test_space_around_tokens_does_not_count(space: str) -> None:
    text = space.join(["", "size", ">", "1", ",", "labels", ".", "a", "~=", "/x y/", ""])
    assert parse(text) == parse("size>1,labels.a~=/x y/")


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        ("a=b!c~d<e>f", "a=b!c~d<e>f"),
        ("<1>", "<1>"),
        ("it's", "it's"),
        ("'single'", "'single'"),
        ('5"', '5"'),
        ("a/b|c", "a/b|c"),
        (".hidden", ".hidden"),
        (r"C:\new", r"C:\new"),
        ('""', ""),
        ('"a, b"', "a, b"),
        ('"=="', "=="),
        ('"/etc"', "/etc"),
        (r'"\a\b\f\n\r\t\v\\\""', '\a\b\f\n\r\t\v\\"'),
        (r'"\x41\101\u0041\U00000041"', "AAAA"),
        (r'"\xe7\x89\x9b\347\211\233"', "牛牛"),
        (r'"\U0001F402"', "🐂"),
        ('"\'; DROP TABLE blobs; --"', "'; DROP TABLE blobs; --"),
    ],
)
def test_text_values(written: str, value: str) -> None:
    assert only(f"labels.k=={written}") == Selector("labels", "k", Operator.EQUAL, value)


@pytest.mark.parametrize(
    ("written", "position", "reason"),
    [
        ('"open', 10, "not closed"),
        ('"open\\"', 10, "not closed"),
        ('"two\nlines"', 10, "not closed"),
        ('"a"b', 13, "comma or the end"),
        ("a b", 12, "comma or the end"),
        ("/a/", 10, "double quotes"),
        ("|a|", 10, "double quotes"),
        (r'"\d"', 11, "written twice"),
        (r'"ok \/"', 14, "written twice"),
        (r'"\x4"', 11, "written twice"),
        (r'"\400"', 11, "written twice"),
        (r'"\08"', 11, "written twice"),
        (r'"\xff"', 10, "not UTF-8"),
        (r'"\xed\xa0\x80"', 10, "not UTF-8"),
        (r'"\ud800"', 11, "no character"),
        (r'"a\U00110000"', 12, "no character"),
        (r'"\UFFFFFFFF"', 11, "no character"),
        (r'"\x00"', 11, "NUL"),
        (r'"\u0000"', 11, "NUL"),
        (r'"\000"', 11, "NUL"),
        ("\udcff", 10, "not Unicode"),
    ],
)
def test_refused_text_values(written: str, position: int, reason: str) -> None:
    error = refused(f"labels.k=={written}")
    assert (error.position, reason in error.reason) == (position, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("size==10MB", 10_000_000),
        ("size<=4KiB", 4096),
        ('size>"10 MB"', 10_000_000),
        ("created_at==2024-05-01", MAY_1),
        ('updated_at!="2024-05-01 01:00"', MAY_1 + HOUR),
        ("created_at>=2024-05-01T00:00:00.000000001Z", MAY_1 + 1),
        ("created_at<2h", MAY_1 - 2 * HOUR),
        ("created_at>=1h30m", MAY_1 - 3 * HOUR // 2),
    ],
)
def test_sizes_and_times_are_numbers(text: str, value: int) -> None:
    assert only(text, now_ns=MAY_1).value == value


def test_ages_count_from_one_moment_and_by_default_from_now() -> None:
    before = time.time_ns()
    chosen = parse("created_at>1h,updated_at>1h", "created_at<1h")
    after = time.time_ns()
    (value,) = {one.value for every in chosen.alternatives for one in every}
    assert isinstance(value, int)
    assert before - HOUR <= value <= after - HOUR


def test_an_age_is_a_moment_so_greater_is_younger() -> None:
    """``created_at>2h``: within the last two hours. ``created_at<7d``: over a week old."""
    young = {"created_at": MAY_1 - HOUR}
    old = {"created_at": MAY_1 - 8 * 24 * HOUR}
    found = [
        [parse(text, now_ns=MAY_1).matches(item) for item in (young, old)]
        for text in ("created_at>2h", "created_at<2h", "created_at<7d", "created_at>2024-04-30")
    ]
    assert found == [[True, False], [False, True], [False, True], [True, False]]


# -- which operator takes which field -----------------------------------------------------------

TEXT_OPERATORS = {"==", "!=", "~="}
VALUE_OPERATORS = {"==", "!=", "<", "<=", ">", ">="}
EXAMPLES = {
    Kind.TEXT: ("x", TEXT_OPERATORS),
    Kind.LABELS: ("x", TEXT_OPERATORS),
    Kind.SIZE: ("1", VALUE_OPERATORS),
    Kind.TIME: ("1h", VALUE_OPERATORS),
}


@pytest.mark.parametrize("fields", [BLOB_FIELDS, INGEST_FIELDS], ids=["blobs", "ingests"])
@pytest.mark.parametrize("operator", sorted(TEXT_OPERATORS | VALUE_OPERATORS))
def test_operators_of_fields(fields: Mapping[str, Kind], operator: str) -> None:
    for field, kind in fields.items():
        path = field + ".k" * (kind is Kind.LABELS)
        value, usable = EXAMPLES[kind]
        if operator in usable:
            assert only(path + operator + value, fields=fields).operator == operator
        else:
            error = refused(path + operator + value, fields=fields)
            assert error.position == len(path)
            assert error.reason.startswith(f"{operator} does not compare {field}; use one of ")
            assert set(error.reason.partition("use one of ")[2].split()) >= usable


@pytest.mark.parametrize("operator", ["=", "!", "~", "===", "=~", "==~", "=!", "!!", "=" * 9999])
def test_unknown_operators(operator: str) -> None:
    error = refused(f"size{operator}1")
    assert error.position == 4
    assert "use one of == != < <= > >=" in error.reason


@pytest.mark.parametrize(
    ("text", "fields", "position", "reason"),
    [
        ("nonsense==1", BLOB_FIELDS, 0, "'nonsense'; use one of digest, labels.KEY, size, "),
        ("size>1, ref==a", BLOB_FIELDS, 8, "'ref'; use one of digest, labels.KEY, size, "),
        ("digest", INGEST_FIELDS, 0, "'digest'; use one of ref, offset, total, expected, "),
        ("Digest", BLOB_FIELDS, 0, "unknown field 'Digest'"),
        ('"\\n"', BLOB_FIELDS, 0, r"unknown field '\n'"),
        ("x" * 999, BLOB_FIELDS, 0, f"unknown field '{'x' * 40}'; "),
        ("labels", BLOB_FIELDS, 6, "write labels.KEY"),
        ("labels==x", BLOB_FIELDS, 6, "write labels.KEY"),
        ("digest.x", BLOB_FIELDS, 0, "digest has no parts"),
        ("digest,", BLOB_FIELDS, 7, "expected a name"),
        (",", BLOB_FIELDS, 0, "expected a name"),
        ("size>1,,size<9", BLOB_FIELDS, 7, "expected a name"),
        ("labels.a b", BLOB_FIELDS, 9, 'labels."a/b"'),
        ("size>", BLOB_FIELDS, 5, "expected a value after >"),
        ("size>many", BLOB_FIELDS, 5, "'many' is not a size; write "),
        ("size> 8EiB", BLOB_FIELDS, 6, "less than 8EiB"),
        ("created_at>yesterday", BLOB_FIELDS, 11, "'yesterday' is not a time; write "),
        ("created_at>2024-02-30", BLOB_FIELDS, 11, "not a time"),
        ("digest~=(", BLOB_FIELDS, 8, "missing ): ("),
        ("digest~= /a{/, digest~=/(?=a)/", BLOB_FIELDS, 23, "invalid perl operator"),
        (r"digest~=(a)\1", BLOB_FIELDS, 8, r"invalid escape sequence: \1"),
    ],
)
def test_refusals(text: str, fields: Mapping[str, Kind], position: int, reason: str) -> None:
    error = refused(text, fields=fields)
    assert (error.position, reason in error.reason) == (position, True), error.reason
    assert "\n" not in error.reason


def test_the_error_points_at_the_place() -> None:
    assert str(refused("size>1,labels.a>2")) == (
        "invalid filter, at position 15: > does not compare labels; use one of == != ~= "
        "(a value that begins with = ! or ~ needs double quotes)\n"
        "    size>1,labels.a>2\n"
        "                   ^"
    )


# -- evaluation ---------------------------------------------------------------------------------

INGEST: Mapping[str, object] = {
    "ref": "a/b",
    "offset": 10,
    "total": None,
    "expected": None,
    "started_at": MAY_1,
    "updated_at": MAY_1 + 1,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("ref", True),
        ("total", False),
        ("expected", False),
        ("ref==a/b", True),
        ("ref==a", False),
        ("ref!=a", True),
        ("ref!=a/b", False),
        ("ref~=/^a\\//", True),
        ("ref~=b$", True),
        ("ref~=^b", False),
        ("total!=0", True),
        ("total==0", False),
        ("total<1", False),
        ("total>=0", False),
        ("expected!=x", True),
        ('expected!=""', True),
        ('expected==""', False),
        ("expected~=.*", False),
        ("offset==10", True),
        ("offset==9", False),
        ("offset!=10", False),
        ("offset<10", False),
        ("offset<11", True),
        ("offset<=10", True),
        ("offset<=9", False),
        ("offset>10", False),
        ("offset>9", True),
        ("offset>=10", True),
        ("offset>=11", False),
        ("offset>9B,offset<0.011KB", True),
        ("started_at==2024-05-01", True),
        ("updated_at==2024-05-01", False),
        ("updated_at>2024-05-01", True),
        ("started_at>2024-05-01", False),
    ],
)
def test_evaluation(text: str, holds: bool) -> None:  # noqa: FBT001 - the table's column
    """Absent is None: it meets no comparison but ``!=``."""
    chosen = parse(text, fields=INGEST_FIELDS)
    assert chosen.matches(INGEST) is holds


def test_an_empty_label_is_present_and_a_missing_one_is_not() -> None:
    empty: dict[str, object] = {"labels": {"k": ""}}
    none: dict[str, object] = {"labels": {}}
    for text, found in {
        "labels.k": [True, False, False],
        'labels.k==""': [True, False, False],
        'labels.k!=""': [False, True, True],
        "labels.k~=^$": [True, False, False],
    }.items():
        assert [parse(text).matches(item) for item in (empty, none, {})] == found, text


@pytest.mark.parametrize(
    ("written", "text", "found"),
    [
        (r"/\d+/", "a1", True),
        (r"/\\d+/", "a1", True),
        (r'"\\d+"', "a1", True),
        (r"\d+", "a1", True),
        (r"/\bb/", "a b", True),
        (r"|a\|b|", "b", True),
        (r"/a\.b/", "axb", False),
        ("(?i)LAYER", "a layer", True),
        ("^.$", "牛", True),
        (r"\pL", "牛", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
    ],
)
def test_regular_expressions(written: str, text: str, found: bool) -> None:  # noqa: FBT001
    """RE2's, found anywhere; between / or | a lone backslash is the expression's own."""
    assert parse(f"digest~={written}").matches({"digest": text}) is found


# -- hostile input ------------------------------------------------------------------------------

HOSTILE_PATTERNS = {
    "too long": "a" * 1025,
    "too large": "((a{100}){100}){100}",
    "too large in bytes": r"\pL{64}",
    "too deep": "(" * 1024,
    "no end": "[" * 1024,
}


@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS.values(), ids=HOSTILE_PATTERNS)
def test_hostile_expressions_are_refused(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    """In one clean error: RE2 itself would log them."""
    assert refused(f"digest~={pattern}").position == 8
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "(x+x+)+y", "(.*)*b", "(a?){500}a{500}"])
def test_no_expression_takes_more_than_linear_time(pattern: str) -> None:
    """Python's own `re` would not come back from these."""
    assert not searcher(pattern)("x" * 4096 + "!")


def test_a_filter_is_bounded_in_length() -> None:
    assert parse('digest=="' + "x" * (65_536 - 10) + '"')
    assert "65536" in refused('digest=="' + "x" * (65_536 - 9) + '"').reason


def test_selectors_are_bounded_in_number() -> None:
    assert parse(",".join(["size>1"] * 256))
    assert parse(*["size>1"] * 256)
    assert refused(",".join(["size>1"] * 257)).position == 256 * len("size>1,")
    for texts in (["size>1"] * 257, ["size>1,size>1"] * 129):
        with pytest.raises(InvalidFilterError, match="256 selectors"):
            parse(*texts)


def test_re2_is_imported_by_an_expression_alone() -> None:
    """It costs a third of the interpreter's own start."""
    script = (
        "import sys; from contentdb.filters import parse; parse('size>1,labels.a!=b');"
        "assert 're2' not in sys.modules; parse('digest~=a'); assert 're2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
