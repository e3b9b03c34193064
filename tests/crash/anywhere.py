"""Raise where CPython runs a signal's handler: at every such point of a call, one at a time.

CPython looks for signals when it enters a function (RESUME), when a call has returned (CALL,
CALL_FUNCTION_EX), and at a backward jump; nowhere else. So nothing comes between ``with lock:``
taking the lock and its block, and what `__exit__` has done is done.

The points are not modelled here, as with `sys.settrace`: they are the interpreter's own. While
`Points` is armed, one signal is always pending. Its handler notes where the interpreter stands,
or raises there, and makes the signal pending again, so that the next point comes to it too. What
it raises meets the exception table as the exception of any handler does: after a CALL it belongs
to that CALL, whose result is on the stack and is dropped; at a backward jump of 3.11 it belongs
to the instruction before the loop's first.

To make the signal pending within its own handler would call the handler again at once, in the
handler's frame. So a second signal is made pending, as the last call of the handler: its handler,
which makes the first one pending, is a function in C, after which no instruction of the first
one's handler looks for signals.

Code that is warm looks less often (``list.append``, ``len``: specialized instructions). A process
that records or raises must therefore be cold: forked from one that has only imported.
"""

from __future__ import annotations

import ctypes
import functools
import opcode
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import types
    from collections.abc import Callable

__all__ = ["Place", "Points", "RaisedError"]

_NOTING: Final = signal.SIGUSR1
_AGAIN: Final = signal.SIGUSR2  # the higher number: handled in the same round, after the other

_ALIKE: Final = 2
"""How many visits of a place are tried that have the same callers, as in a loop."""

_Point = tuple["types.CodeType", int, int, int]
"""Code, the instruction's offset, the visit, the line."""


class RaisedError(BaseException):
    """What a handler raises: nothing that a caller's ``except Exception`` catches."""


class Place(NamedTuple):
    """A point of the library, and which visit of it."""

    at: str
    """``FILE:LINE:FUNCTION+OFFSET``: the bytecode's offset tells the calls of a line apart."""
    nth: int
    how: str = ""
    """The instruction that looks."""


class Points:
    """The points of this process's main thread: recorded, or one of them chosen to raise at.

    Args:
        below: The folder of the code that is meant, with a slash at its end.
        within: Only code that such code has called is meant: of which folder. Without it, the
            code below ``below`` itself is.
    """

    def __init__(self, below: str, within: str = "") -> None:
        self._below = below
        self._within = within
        self._armed = False
        self._names: dict[int, tuple[str, str] | None] = {}
        self._kept: list[types.CodeType] = []
        """So that no id is used again."""
        self._visits: dict[tuple[int, int], int] = {}
        self._alike: dict[int, int] = {}
        self._found: list[_Point] = []
        self._target: tuple[str, str, int, int, int] | None = None
        self._do: Callable[[], None] | None = None
        self._again = 0
        self.tell: Callable[[str, str], None] = lambda *_: None
        """Called with the instruction, before it is raised there."""
        self.raised: str | None = None
        """The instruction at which it was raised."""
        self.after = 0
        """How many points were come to after that."""
        signal.signal(_NOTING, self._handle)
        hop = ctypes.pythonapi["PyErr_SetInterruptEx"]
        hop.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.py_object)
        signal.signal(_AGAIN, functools.partial(hop, int(_NOTING)))
        self._pend = ctypes.pythonapi["PyErr_SetInterruptEx"]
        self._pend.argtypes = (ctypes.c_int,)

    def aim(
        self, at: str, nth: int, *, again: int = 0, do: Callable[[], None] | None = None
    ) -> None:
        """Raise at a visit of a place, and record nothing.

        Args:
            at: Where; see `Place`.
            nth: Which visit.
            again: Raise once more at so many points after that; 0 does not.
            do: What to do in the handler instead of raising.
        """
        self._again = again
        self._do = do
        where, _, offset = at.rpartition("+")
        file, line, function = where.split(":", 2)
        self._target = (file, function, int(offset), nth, int(line))

    def arm(self) -> None:
        """Begin; the caller's own frames have no points."""
        self._armed = True
        self._pend(_AGAIN)

    def disarm(self) -> None:
        """Raise and note nothing from now on."""
        self._armed = False

    def found(self) -> list[Place]:
        """The places recorded, in the order in which they were come to."""
        return [self._place(*point) for point in self._found]

    def _place(self, code: types.CodeType, offset: int, nth: int, line: int) -> Place:
        file, function = self._names[id(code)] or ("", "")
        return Place(f"{file}:{line}:{function}+{offset}", nth, _instruction(code, offset))

    # -- the handler ---------------------------------------------------------------------------

    def _handle(self, _: int, frame: types.FrameType | None) -> None:
        if not self._armed or frame is None:
            return  # and nothing is pending any more
        code = frame.f_code
        key = id(code)
        try:
            name = self._names[key]
        except KeyError:
            name = self._names[key] = self._name(code)
            self._kept.append(code)
        if name is not None and (not self._within or self._is_within(frame)):
            nth = self._visits[key, frame.f_lasti] = self._visits.get((key, frame.f_lasti), 0) + 1
            if self._target is None:
                self._note(frame, nth)
            elif self._is_due(name, frame, nth):
                if self._do is not None:
                    self._armed = False
                    self._do()
                    return
                self._pend(_AGAIN)
                raise RaisedError
        self._pend(_AGAIN)  # the last call: see above

    def _is_due(self, name: tuple[str, str], frame: types.FrameType, nth: int) -> bool:
        if self.raised is not None:
            self.after += 1
            if self.after != self._again:
                return False
        elif (*name, frame.f_lasti, nth, _line(frame)) != self._target:
            return False
        else:
            self.raised = _instruction(frame.f_code, frame.f_lasti)
            self.tell("raised", self.raised)
        return True

    def _name(self, code: types.CodeType) -> tuple[str, str] | None:
        if not code.co_filename.startswith(self._below):
            return None
        return code.co_filename[len(self._below) :], code.co_qualname

    def _is_within(self, frame: types.FrameType) -> bool:
        above = frame.f_back
        while above is not None:
            if above.f_code.co_filename.startswith(self._within):
                return True
            above = above.f_back
        return False

    def _note(self, frame: types.FrameType, nth: int) -> None:
        stack = []
        above: types.FrameType | None = frame
        while above is not None:
            stack.append((id(above.f_code), above.f_lasti))
            above = above.f_back
        key = hash(tuple(stack))
        count = self._alike[key] = self._alike.get(key, 0) + 1
        if count <= _ALIKE:
            self._found.append((frame.f_code, frame.f_lasti, nth, _line(frame)))


def _line(frame: types.FrameType) -> int:
    return frame.f_lineno or 0  # the compiler's own instructions have none


def _instruction(code: types.CodeType, offset: int) -> str:
    raw = code.co_code
    while offset > 0 and opcode.opname[raw[offset]] == "CACHE":
        offset -= 2
    name = opcode.opname[raw[offset]]
    return "CALL" if name == "PRECALL" else name  # specialized, the first of the two calls
