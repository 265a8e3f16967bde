"""Our own values behave as those of ``dataclasses``: each thing said of one is said of the other."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import capgo_client
from capgo_client import values
from capgo_client.bundle import Bundle, BundleStatus
from capgo_client.life.state import Install, State


@values.dataclass(frozen=True, slots=True)
class Ours:
    """Of the kind that a launch makes."""

    name: str
    size: int = 0
    secret: str = values.field(default="", repr=False)
    notes: list[str] = values.field(default_factory=list)
    rank: int = values.field(default=0, compare=False)

    @property
    def twice(self) -> int:
        return 2 * self.size


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same by the standard library."""

    name: str
    size: int = 0
    secret: str = dataclasses.field(default="", repr=False)
    notes: list[str] = dataclasses.field(default_factory=list)
    rank: int = dataclasses.field(default=0, compare=False)

    @property
    def twice(self) -> int:
        return 2 * self.size


@values.dataclass(frozen=True, slots=True, order=True)
class OurPair:
    major: int
    minor: int
    comment: str = values.field(default="", compare=False)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class TheirPair:
    major: int
    minor: int
    comment: str = dataclasses.field(default="", compare=False)


@values.dataclass(slots=True)
class OurOrder:
    size: int = 0


@dataclasses.dataclass(slots=True)
class TheirOrder:
    size: int = 0


BOTH = pytest.mark.parametrize("kind", [Ours, Theirs], ids=["ours", "theirs"])
PAIRS = pytest.mark.parametrize("pair", [OurPair, TheirPair], ids=["ours", "theirs"])


@BOTH
def test_values_are_given_in_order_or_by_name_and_have_defaults(kind):
    value = kind("a", 3, notes=["x"])
    assert (value.name, value.size, value.secret, value.notes, value.rank) == ("a", 3, "", ["x"], 0)
    assert kind("a").notes is not kind("a").notes
    assert value.twice == 6


@BOTH
@pytest.mark.parametrize(
    ("args", "given"),
    [((), {}), ((), {"size": 1}), (("a",), {"name": "b"}), (("a",), {"colour": 1}), (("a", 1, "", [], 0, 0), {})],
)
def test_what_is_missing_unknown_twice_or_too_much_is_refused(kind, args, given):
    with pytest.raises(TypeError):
        kind(*args, **given)


@BOTH
def test_equal_and_hashed_by_what_is_compared(kind):
    assert kind("a", 1, rank=1) == kind("a", 1, rank=2)
    assert kind("a", 1) != kind("a", 2)
    assert kind("a") != "a"
    assert kind("a", notes=()) != Bundle("a", "1", None, BundleStatus.SUCCESS)
    assert len({kind("a", notes=()), kind("a", notes=(), rank=5)}) == 1


@BOTH
def test_a_secret_does_not_show(kind):
    assert repr(kind("a", 1, "key")) == f"{kind.__name__}(name='a', size=1, notes=[], rank=0)"


@BOTH
def test_nothing_of_it_can_be_changed_removed_or_added(kind):
    value = kind("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del value.name
    with pytest.raises((AttributeError, TypeError)):
        value.colour = 1
    assert not hasattr(value, "__dict__")


@BOTH
def test_the_standard_library_takes_it_for_one_of_its_own(kind):
    value = kind("a", 1)
    assert dataclasses.is_dataclass(value)
    assert [each.name for each in dataclasses.fields(value)] == ["name", "size", "secret", "notes", "rank"]
    assert [each.repr for each in dataclasses.fields(value)] == [True, True, False, True, True]
    assert dataclasses.replace(value, size=5) == kind("a", 5)
    assert dataclasses.asdict(value) == {"name": "a", "size": 1, "secret": "", "notes": [], "rank": 0}
    assert values.replace(value, size=5) == kind("a", 5)


@BOTH
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_is_equal(kind, way):
    assert way(kind("a", 1, "key", ["x"], 3)) == kind("a", 1, "key", ["x"])
    assert way(kind("a", rank=3)).rank == 3


@BOTH
def test_it_can_be_matched_and_shows_its_signature(kind):
    match kind("a", 4):
        case Ours(name, size) | Theirs(name, size):
            assert (name, size) == ("a", 4)
        case _:
            pytest.fail("not matched")
    parameters = inspect.signature(kind).parameters
    assert list(parameters) == ["name", "size", "secret", "notes", "rank"]
    assert parameters["size"].default == 0
    assert parameters["name"].default is inspect.Parameter.empty


@BOTH
def test_it_keeps_its_name_place_and_documentation(kind):
    assert kind.__module__ == __name__
    assert kind.__qualname__ == kind.__name__
    assert kind.__doc__


@PAIRS
def test_ordered_ones_sort_by_what_is_compared(pair):
    assert sorted([pair(1, 2), pair(0, 9), pair(1, 1)]) == [pair(0, 9), pair(1, 1), pair(1, 2)]
    assert pair(1, 2) > pair(1, 1)
    assert pair(1, 2, "a") <= pair(1, 2, "b")
    assert pair(1, 2, "b") >= pair(1, 2, "a")
    with pytest.raises(TypeError):
        assert pair(1, 2) < (1, 3)


@pytest.mark.parametrize("kind", [OurOrder, TheirOrder])
def test_those_that_are_not_frozen_can_be_changed_and_not_hashed(kind):
    order = kind()
    order.size = 3
    assert order == kind(3)
    with pytest.raises(TypeError):
        hash(order)


def test_the_public_values_and_the_state_are_of_this_kind():
    state = State("1.0.0", installs=(Install("a", "1.0.0", "c"),))
    assert dataclasses.replace(state, current="a") == values.replace(state, current="a")
    assert dataclasses.asdict(state)["installs"][0]["version"] == "1.0.0"
    bundle = Bundle("builtin", "1.0.0", None, BundleStatus.SUCCESS)
    assert dataclasses.replace(bundle, version="2.0.0").version == "2.0.0"
    assert copy.copy(bundle) == bundle


def test_making_one_imports_nothing():
    child = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
from capgo_client.values import dataclass, field, replace
@dataclass(frozen=True, slots=True)
class Value:
    a: int
    b: list = field(default_factory=list)
assert replace(Value(1), a=2) == Value(2)
assert {Value.__name__, repr(Value(1, ()))} == {"Value", "Value(a=1, b=())"}
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("capgo_client")))
"""
    source = str(Path(capgo_client.__file__).resolve().parent.parent)
    done = subprocess.run([sys.executable, "-S", "-c", child, source], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__"}
