"""Named tuples and enumerations without `typing` are as those with it."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing

import pytest

from contentdb.light_typing import Enum, NamedTuple


class Light(NamedTuple):
    """A light one."""

    a: int
    b: str = "b"
    """Documented."""
    c: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return 7

    @property
    def doubled(self) -> int:
        return 2 * self.a


class Real(typing.NamedTuple):
    """The same, of `typing`."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()


def reread(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - just dumped


class Kind(Enum):
    """An enumeration."""

    ONE = "one"
    """Documented."""
    TWO = "two"

    def shout(self) -> str:
        return f"{self.name}!"


@pytest.mark.parametrize("values", [(1,), (1, "x"), (1, "x", (2,))], ids=len)
def test_a_named_tuple_has_what_one_of_typing_has(values: tuple[typing.Any, ...]) -> None:
    light, real = Light(*values), Real(*values)
    assert tuple(light) == tuple(real)
    assert (light.a, light.b, light.c, light.doubled) == (real.a, real.b, real.c, 2)
    assert light._asdict() == real._asdict()
    assert repr(light) == repr(real).replace("Real", "Light")
    assert tuple(light._replace(b="y")) == tuple(real._replace(b="y"))
    replace: typing.Any = getattr(light, "__replace__")  # noqa: B009 - of Python 3.13's copy
    assert replace(b="y") == light._replace(b="y")
    assert list(inspect.signature(Light).parameters) == ["a", "b", "c"]
    assert inspect.signature(Light).parameters["b"].default == "b"
    assert (Light._fields, Light._field_defaults) == (Real._fields, Real._field_defaults)
    assert Light.__match_args__ == Real.__match_args__
    assert Light.__doc__ == "A light one."
    assert hash(light) == 7
    for same in (reread(light), copy.deepcopy(light), Light._make(light)):
        assert same == light
        assert type(same) is Light
    assert not hasattr(light, "__dict__")


def test_fields_may_be_given_by_name() -> None:
    assert Light(c=(1,), a=2) == (2, "b", (1,)) == Light(2, c=(1,))


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: kind(),
        lambda kind: kind(b="x"),
        lambda kind: kind(1, "x", (), 4),
        lambda kind: kind(1, a=2),
        lambda kind: kind(1, d=2),
        lambda kind: kind._make([1]),
    ],
    ids=["none", "one missing", "too many", "twice", "unknown", "too few"],
)
def test_a_wrong_call_is_an_error(make: typing.Callable[[typing.Any], object]) -> None:
    for kind in (Real, Light):
        with pytest.raises(TypeError):
            make(kind)


def test_an_unknown_field_is_not_replaced() -> None:
    for made in (Real(1), Light(1)):
        with pytest.raises((ValueError, TypeError)):
            made._replace(d=1)  # type: ignore[call-arg]  # what is tested


def test_an_attribute_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        Light(1).a = 2  # type: ignore[misc]  # what is tested


def test_a_member_is_one_object() -> None:
    assert list(Kind) == [Kind.ONE, Kind.TWO]
    assert Kind("two") is Kind.TWO
    assert Kind["TWO"] is Kind.TWO
    assert dict(Kind.__members__) == {"ONE": Kind.ONE, "TWO": Kind.TWO}
    assert (Kind.ONE.name, Kind.ONE.value, Kind.ONE.shout()) == ("ONE", "one", "ONE!")
    assert (str(Kind.ONE), repr(Kind.ONE)) == ("Kind.ONE", "<Kind.ONE: 'one'>")
    for same in (
        reread(Kind.ONE),
        copy.copy(Kind.ONE),
        copy.deepcopy(Kind.ONE),
    ):
        assert same is Kind.ONE
    assert len(Kind) == len({*Kind}) == 2
    with pytest.raises(ValueError, match="'three' is not a valid Kind"):
        Kind("three")
