"""Values for the modules that every launch imports: dataclasses to a type checker, and without their price at run time.

``import dataclasses`` brings ``inspect`` along, and each class that it makes is compiled from text: together a third of
what six modules of the standard library cost, on every launch (promise P1, decision 1). What is made here has the same
constructor, comparison, hash, repr and slots; ``dataclasses.fields()``, ``replace()`` and ``asdict()`` take it too, and
then it is they who bring the import. Modules that only the worker needs use ``dataclasses`` itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass, field, replace
    from typing import Any

__all__ = ["NOTHING", "Field", "dataclass", "field", "fields", "is_value", "replace"]


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


#: A field without a default.
NOTHING = _Nothing()


class Field:
    """One field of a value: its annotation as text, and what it is when nothing is given."""

    __slots__ = ("compare", "default", "default_factory", "name", "repr", "type")

    def __init__(self, *, default: Any, default_factory: Any, repr: bool, compare: bool) -> None:  # noqa: A002
        self.name = ""
        self.type = ""
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare

    @property
    def is_needed(self) -> bool:
        """Whether there is no default."""
        return self.default is NOTHING and self.default_factory is NOTHING

    def made(self, otherwise: Any) -> Any:
        """The default, where there is one."""
        if self.default is not NOTHING:
            return self.default
        return otherwise if self.default_factory is NOTHING else self.default_factory()


def _field(
    *,
    default: Any = NOTHING,
    default_factory: Any = NOTHING,
    repr: bool = True,  # noqa: A002
    compare: bool = True,
) -> Any:
    return Field(default=default, default_factory=default_factory, repr=repr, compare=compare)


def fields(value: Any) -> tuple[Field, ...]:
    """The fields of a value, or of its class, in their order."""
    known: tuple[Field, ...] = value.__capgo_fields__
    return known


def is_value(value: object) -> bool:
    """Whether this was made here."""
    return isinstance(value, _Value)


def _replace(value: Any, /, **changes: Any) -> Any:
    given = {name: getattr(value, name) for name in value.__slots__}
    return type(value)(**{**given, **changes})


_put = object.__setattr__


class _StandardFields:
    """``__dataclass_fields__``, made when somebody asks: so the functions of ``dataclasses`` know our values."""

    def __init__(self) -> None:
        self._made: dict[type, Any] = {}

    def __get__(self, instance: object, owner: type) -> Any:
        if owner not in self._made:
            import dataclasses

            known = [(each.name, each.type, _standard(each)) for each in fields(owner)]
            self._made[owner] = vars(dataclasses.make_dataclass(owner.__name__, known))["__dataclass_fields__"]
        return self._made[owner]


def _standard(own: Field) -> Any:
    """The same field in the words of ``dataclasses``."""
    import dataclasses

    shown: Any = {"repr": own.repr, "compare": own.compare}
    if own.default_factory is not NOTHING:
        return dataclasses.field(default_factory=own.default_factory, **shown)
    return dataclasses.field(**shown) if own.default is NOTHING else dataclasses.field(default=own.default, **shown)


class _Signature:
    """``__signature__``, for help() and for editors: the constructor itself takes anything."""

    def __get__(self, instance: object, owner: type) -> Any:
        import inspect

        kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        return inspect.Signature(
            [
                inspect.Parameter(each.name, kind, default=each.made(empty), annotation=each.type)
                for each in fields(owner)
            ]
        )


class _Value:
    """What all values have in common; the class below knows its fields."""

    __slots__ = ()
    __capgo_fields__: tuple[Field, ...] = ()
    __dataclass_fields__ = _StandardFields()
    __signature__ = _Signature()

    def __init__(self, /, *args: Any, **given: Any) -> None:
        known, name = self.__capgo_fields__, type(self).__name__
        if len(args) > len(known):
            raise TypeError(f"{name}() takes {len(known)} values and was given {len(args)}")
        for each, value in zip(known, args, strict=False):
            if each.name in given:
                raise TypeError(f"{name}() was given {each.name!r} twice")
            _put(self, each.name, value)
        for each in known[len(args) :]:
            value = given.pop(each.name) if each.name in given else each.made(NOTHING)
            if value is NOTHING:
                raise TypeError(f"{name}() needs {each.name!r}")
            _put(self, each.name, value)
        if given:
            raise TypeError(f"{name}() has no {', '.join(given)}")

    def __eq__(self, other: object) -> bool:
        return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in self.__capgo_fields__ if each.repr)
        return f"{type(self).__qualname__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple([getattr(self, each.name) for each in self.__capgo_fields__])

    def __replace__(self, /, **changes: Any) -> Any:
        return _replace(self, **changes)


class _Changeable(_Value):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as dataclasses has it


class _Frozen(_Value):
    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise _frozen(self, name)

    def __delattr__(self, name: str) -> None:
        raise _frozen(self, name)


class _Ordered(_Frozen):
    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return _compared(self) < _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __le__(self, other: object) -> bool:
        return _compared(self) <= _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __gt__(self, other: object) -> bool:
        return _compared(self) > _compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __ge__(self, other: object) -> bool:
        return _compared(self) >= _compared(other) if other.__class__ is self.__class__ else NotImplemented


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple([getattr(value, each.name) for each in value.__capgo_fields__ if each.compare])


def _frozen(value: object, name: str) -> AttributeError:
    from dataclasses import FrozenInstanceError

    return FrozenInstanceError(f"{type(value).__name__}.{name} cannot be changed; use dataclasses.replace()")


def _dataclass(*, frozen: bool = False, slots: bool = True, order: bool = False) -> Callable[[type], type]:
    """What ``dataclasses.dataclass`` does, as far as it is used here: no base classes, no ``__post_init__``."""
    del slots  # always
    base = _Ordered if order else _Frozen if frozen else _Changeable

    def make(cls: type) -> type:
        known = tuple([_described(cls, name, kind) for name, kind in cls.__annotations__.items()])
        names = tuple([each.name for each in known])
        body = {name: item for name, item in cls.__dict__.items() if name not in (*names, "__dict__", "__weakref__")}
        body |= {"__slots__": names, "__match_args__": names, "__capgo_fields__": known}
        return type(cls.__name__, (base,), body)

    return make


def _described(cls: type, name: str, kind: str) -> Field:
    given = cls.__dict__.get(name, NOTHING)
    made: Field = given if isinstance(given, Field) else _field(default=given)
    made.name, made.type = name, kind
    return made


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _field, _replace
