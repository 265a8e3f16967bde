"""Three deliberate bugs, put into the library in a cell's process: each turns cells red, or the matrix is blind."""

from __future__ import annotations

from capgo_client import arrival
from capgo_client.errors import CapgoError
from capgo_client.life import boot
from capgo_client.net.deadline import Scope
from capgo_client.starting import Starting
from capgo_client.verify.expectation import Expectation

#: Long enough to be seen, and the tests wait for it (seconds).
_FOR_EVER = 3.0


def time_out_per_read() -> None:
    """Each read gets the whole time anew, as with most HTTP clients, and the start waits for what they say."""

    def remaining(scope: Scope) -> float | None:
        return scope._seconds if scope._step is None else scope._step

    def wait_for_it(starting: Starting, event, seconds: float) -> bool:
        return starting._clock.wait(event, _FOR_EVER)

    Scope.remaining = remaining
    Starting._in_time = wait_for_it


def publish_before_verify() -> None:
    """The install is renamed into place, and only then is the checksum looked at."""
    failed: list[CapgoError] = []
    check, install = Expectation.check, arrival.Arrival._install

    def check_later(expected: Expectation, digest: bytes) -> None:
        try:
            check(expected, digest)
        except CapgoError as exc:
            failed.append(exc)

    def install_and_check(self, *args, **kwargs):
        done = install(self, *args, **kwargs)
        if failed:
            raise failed.pop()
        return done

    Expectation.check = check_later
    arrival.Arrival._install = install_and_check


def boot_uncounted() -> None:
    """A version that has yet to prove itself is opened, and its attempt is not written down."""
    boot._counts = lambda install: False


BUGS = {bug.__name__: bug for bug in (time_out_per_read, publish_before_verify, boot_uncounted)}
