"""A branch of a scope: for work in several threads that one failure should end, and nothing else."""

from __future__ import annotations

import threading

import pytest

from capgo_client.errors import Cancelled, DeadlineExceeded
from capgo_client.net.deadline import Scope


def test_a_branch_can_be_ended_alone():
    scope = Scope(10)
    with scope.branch() as branch:
        branch.cancel()
        with pytest.raises(Cancelled):
            branch.check()
        scope.check()


def test_a_branch_ends_with_its_scope_and_wakes_what_waits():
    scope = Scope(10)
    woken = threading.Event()
    with scope.branch() as branch, branch.interruptible(woken.set):
        scope.cancel()
        assert woken.is_set()
        with pytest.raises(Cancelled):
            branch.check()


def test_a_branch_of_an_ended_scope_is_ended():
    scope = Scope(10)
    scope.cancel()
    with scope.branch() as branch, pytest.raises(Cancelled):
        branch.check()


def test_a_branch_has_the_same_end_and_the_same_step():
    with Scope(0).branch() as branch, pytest.raises(DeadlineExceeded):
        branch.check()
    with Scope(None, step=7.0).branch() as branch:
        assert branch.remaining() == 7.0
    with Scope(100, step=7.0).branch() as branch:
        assert branch.remaining() == 7.0
    with Scope(100).branch() as branch:
        assert 99 < branch.remaining() <= 100


def test_a_scope_forgets_its_branch():
    scope = Scope(10)
    with scope.branch() as branch:
        pass
    scope.cancel()
    branch.check()
