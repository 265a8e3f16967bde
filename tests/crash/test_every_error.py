"""P2, P4, P5, P10: a file-system call that fails, wherever in whatever operation, costs that operation at most.

Each call is made to fail with what a system may give there (``failing_life.GIVES``), once, or from there on for good as
on a full or read-only disk (``STAYS``); what the tables leave out no system does. In that very life nothing is raised
but documented errors, what opens is whole, nothing stays open, and a code or the log says what happened; the next start
opens the old version or the new one, and where two whole lives follow, they find nothing wrong, lost or left over.

`make crash` tries every call with one of the errors that it may meet, in turn; with `CRASH_ERRORS=all` with each of
them (a quarter of an hour); with a `CRASH_STEP` above 1 every place in the code (five functions deep) twice. A part of
these are followed by two whole lives. `make test` has a sample.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from failing_bench import HERE, FailingBench

from capgo_client.testing import Service
from capgo_client.testing.crash.operations import OPERATIONS, Scene
from capgo_client.testing.crash.runner import CAN_FORK, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.promise(2),
    pytest.mark.promise(4),
    pytest.mark.skipif(not CAN_FORK, reason="the lives run in forks"),
]

EXTENT = "errors" if os.environ.get("CRASH_ERRORS") else "calls" if os.environ.get("CRASH_STEP") == "1" else "places"


@pytest.fixture
def failing(folder, keys) -> Iterator[Callable[[str], FailingBench]]:
    with Service() as service, Runner(path=(HERE,)) as runner:
        yield lambda name: FailingBench(Scene(folder / "scene", service=service, keys=keys), OPERATIONS[name], runner)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
def test_a_call_that_fails_costs_the_operation_at_most(failing, tally, name, lasting):
    bench = failing(name)
    found = bench.run(bench.tries(lasting=lasting, extent=EXTENT))
    suite = "failed for good" if lasting else "failed once"
    tally(suite, name, points=found.points, **found.errors, followed=found.followed, failures=len(found.wrong))
    assert found.wrong == {}
    assert found.points > (15 if lasting else 60)


def test_a_sample_of_calls_that_fail(failing):
    """What `make test` has of this: a dozen points of an update."""
    bench = failing("update")
    tries = list(bench.tries(lasting=False, extent="places"))
    found = bench.run(tries[:: len(tries) // 12])
    assert found.wrong == {}
    assert found.points >= 10
