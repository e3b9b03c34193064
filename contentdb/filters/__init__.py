r"""The filter language: text to a small tree of typed selectors, and what they select.

The syntax is that of containerd (``pkg/filters``), so filters written for it work here::

    filter   := selector ("," selector)*         all must hold; of several filters, any
    selector := path [operator value]            a path alone: the field is present
    path     := name ("." name)*                 labels.a.b is the label "a.b"
    name     := [A-Za-z0-9_-]+ | quoted
    operator := "==" | "!=" | "~=" | "<" | "<=" | ">" | ">="
    value    := [^\s,]+ | quoted
    quoted   := a Go string in "…"; after ~= also between /…/ or |…|

Space around names, operators and values does not count. ``!=`` holds where the field is
absent; every other operator needs it present. ``~=`` finds an RE2 expression anywhere in a
text (https://github.com/google/re2/wiki/Syntax); between ``/`` or ``|``, escapes that Go lacks
and ``\b`` are the expression's own. Sizes and times are compared by value:

- Sizes are as in ``size>=10MB`` or ``offset<4KiB``; see `contentdb.units`.
- Times are ISO 8601, in UTC unless they say otherwise. A date is its midnight and ``==`` is
  exact, so a day is written ``created_at>=2024-05-01,created_at<2024-05-02``.
- An age such as ``2h``, ``7d`` or ``1h30m`` is a time too: the moment that long before now.
  ``created_at>2h`` is after that moment, so **younger** than two hours; ``created_at<7d`` is
  **older** than a week. Later is greater, however a time is spelled: an operator that turned
  round with its operand would be a trap. Docker's build history reads ``startedAt>2h`` alike.

`quote` puts any text into a filter, as a value or as a label's key.

Nothing a caller sends can make it slow: texts, selectors and expressions are bounded, and RE2
takes time linear in the text it searches.
"""

from contentdb.filters.grammar import parse
from contentdb.filters.patterns import searcher
from contentdb.filters.quoting import quote, with_labels
from contentdb.filters.tree import BLOB_FIELDS, INGEST_FIELDS, Filter, Kind, Operator, Selector

__all__ = [
    "BLOB_FIELDS",
    "INGEST_FIELDS",
    "Filter",
    "Kind",
    "Operator",
    "Selector",
    "parse",
    "quote",
    "searcher",
    "with_labels",
]
