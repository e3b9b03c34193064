"""The contract as a pytest suite, for whoever implements it or wraps an implementation.

Every store that passes it can stand in for every other. Subclass it where pytest collects::

    class TestMyStore(ContentSuite):
        @pytest.fixture
        def store(self, tmp_path):
            with my_store(tmp_path) as store:  # fresh and empty
                yield store

        @pytest.fixture
        def second(self, store):  # optional: as another process would open it
            with another_handle(store) as second:
                yield second

The suite stays within the four protocols, so it may run over any wire. Needs pytest.
"""

import pytest

pytest.register_assert_rewrite(
    "contentdb.testing.adding",
    "contentdb.testing.arguments",
    "contentdb.testing.committing",
    "contentdb.testing.filtering",
    "contentdb.testing.ingesting",
    "contentdb.testing.lasting",
    "contentdb.testing.locking",
    "contentdb.testing.managing",
    "contentdb.testing.nouns",
    "contentdb.testing.reading",
    "contentdb.testing.resuming",
    "contentdb.testing.writing",
)

from contentdb.content import ContentStore  # noqa: E402
from contentdb.testing.adding import AddingRules  # noqa: E402  # after the rewriting is set up
from contentdb.testing.arguments import ArgumentRules  # noqa: E402
from contentdb.testing.committing import CommittingRules  # noqa: E402
from contentdb.testing.filtering import FilteringRules  # noqa: E402
from contentdb.testing.ingesting import IngestingRules  # noqa: E402
from contentdb.testing.lasting import LastingRules  # noqa: E402
from contentdb.testing.locking import LockingRules  # noqa: E402
from contentdb.testing.managing import ManagingRules  # noqa: E402
from contentdb.testing.nouns import NounRules  # noqa: E402
from contentdb.testing.reading import ReadingRules  # noqa: E402
from contentdb.testing.resuming import ResumingRules  # noqa: E402
from contentdb.testing.subject import Damage, Harm  # noqa: E402
from contentdb.testing.writing import WritingRules  # noqa: E402

__all__ = ["ContentStore", "ContentSuite", "Damage", "Harm"]


class ContentSuite(
    NounRules,
    LockingRules,
    WritingRules,
    CommittingRules,
    IngestingRules,
    ResumingRules,
    AddingRules,
    ReadingRules,
    ManagingRules,
    FilteringRules,
    ArgumentRules,
    LastingRules,
):
    """Every numbered rule of the contract that shows through its protocols, as a test.

    A subclass provides the fixture ``store``, and may provide ``second`` and ``damage``; what
    it cannot tell it declares, see `contentdb.testing.subject.Rules`.
    """
