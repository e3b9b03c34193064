"""Sizes, times and ages as people type them."""

from __future__ import annotations

import pytest

from contentdb.units import age_ns, moment_ns, size_bytes

SECOND = 1_000_000_000
MAY_1 = 1_714_521_600 * SECOND  # date -u -d 2024-05-01 +%s
NOW = MAY_1 + 42


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096b", 4096),
        ("1k", 1000),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1Ki", 1024),
        ("4KiB", 4096),
        ("4kib", 4096),
        ("10MB", 10_000_000),
        ("10mb", 10_000_000),
        ("10M", 10_000_000),
        ("10 MB", 10_000_000),
        ("1.5GiB", 1_610_612_736),
        ("2TB", 2 * 10**12),
        ("2TiB", 2 * 2**40),
        ("3PB", 3 * 10**15),
        ("3PiB", 3 * 2**50),
        ("1EB", 10**18),
        ("7EiB", 7 * 2**60),
        ("0.0001kB", 0),
        ("1.9999", 1),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "-1",
        "+1",
        "1e3",
        "0x10",
        "10XB",
        "MB",
        "1,000",
        "1_000",
        ".5",
        "1.",
        "1KBB",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "1K\N{KELVIN SIGN}",
        "8EiB",
        "9223372036854775808",
        "1" * 20,
        "1" * 5000,
    ],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="; write "):
        size_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1h30m", 5400),
        ("1d2h3m4s", 93_784),
    ],
)
def test_ages(text: str, seconds: int) -> None:
    assert age_ns(text) == seconds * SECOND
    assert moment_ns(text, NOW) == NOW - seconds * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "h",
        "2H",
        "2M",
        "2y",
        "-2h",
        "1.5h",
        "2 h",
        "2hours",
        "٢h",
        "9999999999w",
        "1s" * 9999,
        "9999999999s" * 9999,
    ],
)
def test_what_is_no_age(text: str) -> None:
    if text == "1s" * 9999:  # unusual, yet an age
        assert age_ns(text) == 9999 * SECOND
        return
    with pytest.raises(ValueError, match="; write "):
        age_ns(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-05-01", MAY_1),
        ("20240501", MAY_1),
        ("2024-05-01T00:00", MAY_1),
        ("2024-05-01 00:00:00", MAY_1),
        ("2024-05-01t00:00:00z", MAY_1),
        ("20240501T000000Z", MAY_1),
        ("2024-05-01T02:00:00+02:00", MAY_1),
        ("2024-05-01T02:00:00+0200", MAY_1),
        ("2024-05-01T02:00+02", MAY_1),
        ("2024-04-30T19:00:00-05:00", MAY_1),
        ("2024-05-01T00:00:00.000000001Z", MAY_1 + 1),
        ("2024-05-01T00:00:01,5", MAY_1 + 1_500_000_000),
        ("2024-05-01T02:00:00.123456789+02:00", MAY_1 + 123_456_789),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1677-09-21T00:12:43.145224192Z", -(2**63)),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_times(text: str, ns: int) -> None:
    """To the nanosecond, in UTC unless there is an offset; a date is its midnight."""
    assert moment_ns(text, NOW) == ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a time; write"),
        ("yesterday", "is not a time; write"),
        ("2024", "is not a time; write"),
        ("2024-05", "is not a time; write"),
        ("2024-05-01Z", "is not a time; write"),
        ("2024-05-01T10:30.5", "is not a time; write"),
        ("2024-05-01T00:00:00.1234567890Z", "is not a time; write"),
        ("2024-05-01x10:00", "is not a time; write"),
        ("1714521600", "is not a time; write"),
        ("\u0662\u0660\u0662\u0664-\u0660\u0665-\u0660\u0661", "is not a time; write"),
        ("2024-0501", "is not a time"),
        ("2024-02-30", "day"),
        ("2024-05-01T25:00", "hour"),
        ("2024-05-01T10:00+25:00", "is not a time"),
        ("0000-01-01", "year 0"),
        ("1677-09-21T00:12:43.145224191Z", "1678 to 2261"),
        ("2262-04-11T23:47:16.854775808Z", "1678 to 2261"),
        ("9999-12-31T23:59:59-23:59", "1678 to 2261"),
        ("0001-01-01T00:00:00+23:59", "1678 to 2261"),
        ("9999999999w", "292 years"),
    ],
)
def test_what_is_no_time(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        moment_ns(text, NOW)


def test_an_age_may_reach_before_the_epoch_but_not_before_all_times() -> None:
    assert moment_ns("10d", 0) == -864_000 * SECOND
    with pytest.raises(ValueError, match="1678 to 2261"):
        moment_ns("100000d", -(2**62))
