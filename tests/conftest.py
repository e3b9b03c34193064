"""Settings of the whole suite: Hypothesis profiles, and what a machine must have for a test."""

import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["tests.fixtures", "tests.cluster.fixtures"]

# Deadlines are off everywhere: no test depends on timing.
settings.register_profile("dev", deadline=None, max_examples=50)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,  # a red build is red for its commit, not for its luck
    max_examples=200,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=5_000,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it doubles the time
    print_blob=True,
    stateful_step_count=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


def pytest_configure() -> None:
    """Let commands hear SIGINT, and leave out what the machine says about registries' mirrors.

    A shell that runs us in the background ignores SIGINT, and we would inherit that.
    """
    os.environ["CONTENTDB_HOSTS_DIR"] = os.devnull
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with the reason, what this machine or this user cannot run."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root")
    needed = [name for mark in item.iter_markers("real") for name in mark.args]
    # A plain user's PATH lacks the folders where mkfs and other such programs are.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    missing = [name for name in needed if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} on PATH; .ci/run installs what tests need")
