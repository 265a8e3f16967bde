from __future__ import annotations

import re

import pytest

from capgo_client.testing.chance import Chance


def draws(count=6, **odds):
    chance = Chance(**odds)
    taken = [chance.takes() for _ in range(count)]
    assert chance.taken == taken.count(True)
    return taken


def test_everything_is_taken_unless_something_is_said():
    assert draws() == [True] * 6
    assert Chance().is_certain


def test_the_nth_alone_or_so_many_are_taken():
    assert draws(nth=2) == [False, True, False, False, False, False]
    assert draws(times=2) == [True, True, False, False, False, False]
    assert not Chance(nth=1).is_certain
    assert not Chance(times=1).is_certain


def test_a_seed_repeats_the_draws_and_another_one_does_not():
    first = draws(60, probability=0.5, seed=1)
    assert first == draws(60, probability=0.5, seed=1)
    assert first != draws(60, probability=0.5, seed=2)
    assert 15 < first.count(True) < 45
    assert not Chance(probability=1.0).is_certain


def test_the_ends_of_the_scale_are_never_and_always():
    assert draws(probability=0.0) == [False] * 6
    assert draws(probability=1.0) == [True] * 6


def test_so_many_of_those_that_are_drawn():
    assert draws(60, probability=0.5, seed=1, times=3).count(True) == 3


@pytest.mark.parametrize("odds", [{"nth": 0}, {"times": 0}, {"probability": -0.1}, {"probability": 1.1}])
def test_odds_that_make_no_sense_are_refused(odds):
    with pytest.raises(ValueError, match=next(iter(odds))):
        Chance(**odds)


@pytest.mark.parametrize("name", ["nth", "times", "probability", "seed"])
@pytest.mark.parametrize("value", ["2", [1], True, 1.5, float("nan"), 1 + 0j])
def test_what_is_no_number_of_the_right_kind_is_refused_by_a_sentence_that_names_it(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is .+, not {re.escape(repr(value))}$"):
        Chance(**{name: value})
