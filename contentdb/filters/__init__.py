r"""The filter language: parses text to a small tree of typed selectors that choose items.

The syntax is that of containerd (``pkg/filters``), so filters written for it work here::

    filter   := selector ("," selector)*         all must match; of several filters, any
    selector := path [operator value]            a path alone: the field is present
    path     := name ("." name)*                 labels.a.b is the label "a.b"
    name     := [A-Za-z0-9_-]+ | quoted
    operator := "==" | "!=" | "~=" | "<" | "<=" | ">" | ">="
    value    := [^\s,]+ | quoted
    quoted   := a Go string in "…"; after ~= also between /…/ or |…|

Space around names, operators and values is ignored. ``!=`` matches if the field is absent; every
other operator needs the field. ``~=`` finds an RE2 expression anywhere in a text
(https://github.com/google/re2/wiki/Syntax); between ``/`` or ``|``, RE2 itself reads ``\b`` and
the escapes that Go lacks. Sizes and times are compared by value:

- Sizes are as in ``size>=10MB`` or ``offset<4KiB``; see `contentdb.units`.
- Times are ISO 8601, in UTC unless they have an offset. A date means its midnight and ``==`` is
  exact, so a day is written ``created_at>=2024-05-01,created_at<2024-05-02``.
- An age such as ``2h``, ``7d`` or ``1h30m`` is a time too: the time that long before now.
  ``created_at>2h`` means after that time, so **younger** than two hours; ``created_at<7d`` means
  **older** than a week. A later time is always greater, also when it is written as an age. Docker's
  build history reads ``startedAt>2h`` in the same way.

`quote` writes any text for use in a filter, as a value or as a label's key.

A filter of a stranger cannot make a search slow: the lengths of texts, selectors and expressions
are bounded, and RE2's time is linear in the text that it searches.
"""

from contentdb.filters.grammar import parse
from contentdb.filters.patterns import searcher
from contentdb.filters.quoting import quote, with_labels
from contentdb.filters.tree import (
    BLOB_FIELDS,
    INGEST_FIELDS,
    LEASE_FIELDS,
    TAG_FIELDS,
    Filter,
    Kind,
    Operator,
    Selector,
)

__all__ = [
    "BLOB_FIELDS",
    "INGEST_FIELDS",
    "LEASE_FIELDS",
    "TAG_FIELDS",
    "Filter",
    "Kind",
    "Operator",
    "Selector",
    "parse",
    "quote",
    "searcher",
    "with_labels",
]
