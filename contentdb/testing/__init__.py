"""The contract as a pytest suite, for authors of a store or of a wrapper around one.

A store that passes it can replace any other. Subclass it in a module that pytest collects::

    class TestMyStore(ContentSuite):
        @pytest.fixture
        def store(self, tmp_path):
            with my_store(tmp_path) as store:  # fresh and empty
                yield store

        @pytest.fixture
        def second(self, store):  # optional: as another process would open it
            with another_handle(store) as second:
                yield second

The suite calls only the four protocols, so it also tests stores behind a server. Needs pytest.
"""

import pytest

pytest.register_assert_rewrite(
    "contentdb.testing.adding",
    "contentdb.testing.adding_many",
    "contentdb.testing.arguments",
    "contentdb.testing.caching",
    "contentdb.testing.committing",
    "contentdb.testing.filtering",
    "contentdb.testing.ingesting",
    "contentdb.testing.lasting",
    "contentdb.testing.locking",
    "contentdb.testing.managing",
    "contentdb.testing.leasing",
    "contentdb.testing.nouns",
    "contentdb.testing.reading",
    "contentdb.testing.resuming",
    "contentdb.testing.tagging",
    "contentdb.testing.writing",
)

from contentdb.content import ContentStore  # noqa: E402
from contentdb.testing.adding import AddingRules  # noqa: E402  # after the rewriting is set up
from contentdb.testing.adding_many import AddingManyRules  # noqa: E402
from contentdb.testing.arguments import ArgumentRules  # noqa: E402
from contentdb.testing.caching import CachingRules  # noqa: E402
from contentdb.testing.collecting import CollectingRules  # noqa: E402
from contentdb.testing.committing import CommittingRules  # noqa: E402
from contentdb.testing.filtering import FilteringRules  # noqa: E402
from contentdb.testing.ingesting import IngestingRules  # noqa: E402
from contentdb.testing.lasting import LastingRules  # noqa: E402
from contentdb.testing.leasing import LeasingRules  # noqa: E402
from contentdb.testing.locking import LockingRules  # noqa: E402
from contentdb.testing.managing import ManagingRules  # noqa: E402
from contentdb.testing.nouns import NounRules  # noqa: E402
from contentdb.testing.reading import ReadingRules  # noqa: E402
from contentdb.testing.resuming import ResumingRules  # noqa: E402
from contentdb.testing.subject import Damage, Harm  # noqa: E402
from contentdb.testing.tagging import TaggingRules  # noqa: E402
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
    AddingManyRules,
    ReadingRules,
    ManagingRules,
    FilteringRules,
    TaggingRules,
    LeasingRules,
    CollectingRules,
    CachingRules,
    ArgumentRules,
    LastingRules,
):
    """Every numbered rule of the contract that its protocols can show, as a test.

    A subclass provides the fixture ``store``, and may provide ``second`` and ``damage``. It
    declares what its store cannot do: see `contentdb.testing.subject.Rules`.
    """
