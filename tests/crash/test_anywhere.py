"""The points at which `Points` raises are those at which CPython runs a signal's handler."""

from __future__ import annotations

import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.anywhere import Place, Points, RaisedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Act = Callable[[list[str]], object]

_FOLDER = __file__.rpartition("/")[0] + "/"
_lock = threading.Lock()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the signals back to whom they belong."""
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def _run(act: Act, place: Place | None = None) -> tuple[list[str], list[Place], bool]:
    """Run an act: what it said, the points that it came to, and whether it was cut off."""
    points = Points(_FOLDER)
    if place is not None:
        points.aim(place.at, place.nth)
    said: list[str] = []
    points.arm()
    try:
        act(said)
    except RaisedError:
        return said, [], True
    finally:
        points.disarm()
    found = [found for found in points.found() if f":{act.__name__}+" in found.at]
    return said, found, False


def _each(act: Act) -> Iterator[tuple[Place, list[str]]]:
    for place in _run(act)[1]:
        said, _, cut = _run(act, place)
        assert cut, place
        yield place, said


def _with_lock(said: list[str]) -> None:
    with _lock:
        said.append("inside")


def test_a_lock_taken_by_with_is_never_kept() -> None:
    places = [place.how for place, _ in _each(_with_lock) if not _lock.locked()]
    assert places == ["RESUME", "CALL", "CALL"]  # the entry, the append, the lock's own exit


def _in_try(said: list[str], call: Callable[[], object]) -> None:
    got: Any = None
    try:
        got = call()
    except BaseException:
        said.append(f"in the try, with {got}")
        raise
    finally:
        said.append("finally")


def test_an_exception_after_a_call_belongs_to_the_call_as_that_of_a_real_signal() -> None:
    def by_points(said: list[str]) -> None:
        _in_try(said, partial(abs, -1))

    def handle(*_: object) -> None:
        raise RaisedError

    points = Points(_FOLDER)
    said: list[str] = []
    points.arm()
    by_points(said)
    points.disarm()
    (place,) = [place for place in points.found() if ":_in_try+" in place.at][1:2]
    ours, _, cut = _run(by_points, place)
    signal.signal(signal.SIGHUP, handle)
    real: list[str] = []
    with pytest.raises(RaisedError):
        _in_try(real, partial(signal.raise_signal, signal.SIGHUP))
    assert cut
    assert ours == real == ["in the try, with None", "finally"]


def _loop(said: list[str]) -> None:
    for _ in "abc":
        pass
    said += ["after"]


def test_a_loop_looks_when_it_jumps_back() -> None:
    found = list(_each(_loop))
    assert [place.how for place, _ in found].count("JUMP_BACKWARD") == 2  # of three alike
    assert all(said == [] for _, said in found)
