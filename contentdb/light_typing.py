"""`NamedTuple`, `Enum` and `Protocol` for modules that each command imports, without `typing`.

To import `typing`, with the `enum` and `re` that it needs, takes as long as to start Python. Type
checkers read the real classes here. At run time a named tuple can do what one of `collections`
can, an enumeration has what this package uses of `enum`, and the other names do nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the name by which type checkers know what to read
if TYPE_CHECKING:
    from enum import Enum
    from typing import Generic, NamedTuple, Protocol, TypeVar, cast, overload
else:
    from collections import _tuplegetter

    class _Named(tuple):
        """What `collections.namedtuple` gives each of its classes, without code made from text."""

        __slots__ = ()

        def __new__(cls, *values, **named):
            """Give the class a method for its own fields, as fast as one of `collections`.

            Not before it is needed: few of the classes that a command imports get an object.
            """
            owner = next(one for one in cls.__mro__ if "_fields" in one.__dict__)
            fields = ", ".join(owner._fields)
            code = f"lambda _cls, {fields}: _new(_cls, ({fields},))"
            make = eval(code, {"_new": tuple.__new__})  # noqa: S307 - of the names of fields
            make.__name__ = make.__qualname__ = f"{owner.__name__}.__new__"
            make.__defaults__ = tuple(owner._field_defaults.values())
            owner.__new__ = staticmethod(make)
            return make(cls, *values, **named)

        @classmethod
        def _make(cls, iterable):
            made = tuple.__new__(cls, iterable)
            if len(made) != len(cls._fields):
                raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, not {len(made)}")
            return made

        def _replace(self, **named):
            made = self._make(map(named.pop, self._fields, self))
            if named:
                raise ValueError(f"{type(self).__name__} has no fields {list(named)}")
            return made

        __replace__ = _replace  # of `copy.replace`

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            facts = (f"{key}={value!r}" for key, value in self._asdict().items())
            return f"{type(self).__name__}({', '.join(facts)})"

    class _Signature:
        """What `inspect.signature` shows: the fields, with their defaults."""

        def __get__(self, _one, cls):
            from inspect import Parameter, Signature

            kind, defaults = Parameter.POSITIONAL_OR_KEYWORD, cls._field_defaults
            fields = (
                Parameter(field, kind, default=defaults.get(field, Parameter.empty))
                for field in cls._fields
            )
            return Signature(fields)

    class _TupleMaker(type):
        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body["__annotations__"])
            defaults = {field: body[field] for field in fields if field in body}
            getters = {field: _tuplegetter(at, None) for at, field in enumerate(fields)}
            named = {
                "__signature__": _Signature(),
                "_fields": fields,
                "_field_defaults": defaults,
                "__match_args__": fields,
            }
            return type(name, (_Named,), {"__slots__": (), **body, **getters, **named})

    class NamedTuple(metaclass=_TupleMaker):
        """As `typing.NamedTuple`."""

    class _EnumMaker(type):
        """Makes an object of the class of each of its plain attributes."""

        def __new__(cls, name, bases, body):
            made = super().__new__(cls, name, bases, body)
            made._members = {}
            for key, value in body.items() if bases else ():
                if not key.startswith("_") and not hasattr(value, "__get__"):
                    member = made._members[value] = object.__new__(made)
                    member.name, member.value = key, value
                    setattr(made, key, member)
            return made

        def __call__(cls, value):
            """Return the member of a value."""
            try:
                return cls._members[value]
            except KeyError:
                raise ValueError(f"{value!r} is not a valid {cls.__name__}") from None

        def __getitem__(cls, name):
            return cls.__members__[name]

        @property
        def __members__(cls):
            return {member.name: member for member in cls}

        def __iter__(cls):
            return iter(cls._members.values())

        def __len__(cls):
            return len(cls._members)

    class Enum(metaclass=_EnumMaker):
        """As `enum.Enum`: each member is one object, also after a copy and behind pickle."""

        def __reduce__(self):
            return type(self), (self.value,)

        def __copy__(self):
            return self

        def __deepcopy__(self, memo):
            return self

        def __repr__(self):
            return f"<{self}: {self.value!r}>"

        def __str__(self):
            return f"{type(self).__name__}.{self.name}"

    class Protocol:
        """A plain base, for no `isinstance`."""

        __slots__ = ()

    class Generic:
        """A plain base."""

        __slots__ = ()

        def __class_getitem__(cls, parameter):
            return cls

    def TypeVar(name, **_options):
        return name

    def cast(_kind, value):
        return value

    def overload(function):
        return function


__all__ = [
    "TYPE_CHECKING",
    "Enum",
    "Generic",
    "NamedTuple",
    "Protocol",
    "TypeVar",
    "cast",
    "overload",
]
