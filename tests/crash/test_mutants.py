"""The mutants fit the store as it is now, and are what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.mutants import MUTANTS, Mutant, patched

_CHECKOUT = Path(__file__).resolve().parents[2]
_POWER = {"states", "cuts", "images"}
_SEEN_BY_STATES_ALONE = {
    "deleted-name-not-synced",
    "pack-without-its-name",
    "unpacked-without-its-name",
}
"""No filesystem that the other engines use can lose what the model may lose."""


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_a_change_that_compiles(mutant: Mutant) -> None:
    sources: dict[str, str] = {}
    for patch in mutant.patches:
        path = _CHECKOUT / (patch.module.replace(".", "/") + ".py")
        sources[patch.module] = patched(sources.get(patch.module, path.read_text()), patch)
    for module, source in sources.items():
        compile(source, module, "exec")


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_loss_of_power_is_looked_for_by_two_engines(mutant: Mutant) -> None:
    assert mutant.engines
    if _POWER & set(mutant.engines) and "kills" not in mutant.engines:
        wanted = 1 if mutant.name in _SEEN_BY_STATES_ALONE else 2
        assert len(_POWER & set(mutant.engines)) >= wanted


def test_a_mutant_is_applied_to_what_is_imported() -> None:
    code = (
        "from tests.crash import mutants; mutants.apply('no-directory-sync')\n"
        "import inspect, contentdb.files as files\n"
        "print(files.sync_directory.__code__.co_names)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, check=True)
    assert "fsync" not in done.stdout


def test_text_that_is_gone_is_an_error_that_shows_the_text_of_today() -> None:
    (patch,) = MUTANTS["no-file-sync"].patches
    with pytest.raises(ValueError, match=r"0 times(?s:.*)def sync\(\): other\(\)"):
        patched("import os\n\ndef sync(): other()\n", patch)


def test_a_function_that_is_gone_is_an_error() -> None:
    (patch,) = MUTANTS["no-file-sync"].patches
    with pytest.raises(ValueError, match="has no sync; the mutant needs a new place"):
        patched("nothing", patch)
