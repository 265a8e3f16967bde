"""One pass over the queue: batch after batch, until nothing is left or there is a reason to pause."""

from __future__ import annotations

import json
from dataclasses import dataclass

from capgo_client.errors import CapgoError
from capgo_client.log import Log
from capgo_client.protocol.deliveries import RATE_LIMITED, Delivery, classify_delivery
from capgo_client.protocol.stats import MAX_BATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.protocol.deliveries import Item
    from capgo_client.seams import Clock
    from capgo_client.stats.lines import Entry
    from capgo_client.stats.queue import Queue
    from capgo_client.stats.sender import Reply

__all__ = ["MAX_TRIES", "Result", "Round"]

#: So often an event over which the service stumbles is sent.
MAX_TRIES = 3

_log = Log("capgo_client.stats")


@dataclass(frozen=True, slots=True)
class Result:
    """``reason`` is what ended the round; ``progress``: something was taken; ``wish``: seconds the service asked for.

    ``reason.fate`` is "taken" where the end was reached; then ``is_over`` says whether nothing is left.
    """

    reason: Delivery
    is_over: bool = False
    progress: bool = False
    wish: float = 0.0


class Round:
    """Sends what a queue holds, in order.

    Args:
        queue: what waits.
        clock: its wall side is asked when a reply names a time.
        send: as for ``Sender``.
        may_go_on: asked before each batch.
        limited: called when the service answers ``too_many_requests``.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        clock: Clock,
        send: Callable[[bytes], Reply],
        may_go_on: Callable[[], bool],
        limited: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._send = send
        self._may_go_on = may_go_on
        self._limited = limited
        self._size = MAX_BATCH
        self._progress = False
        #: What the service stumbled over: tried again in a later round, and holds up nothing behind it.
        self._stuck: set[bytes] = set()
        #: Only one event is given up between two batches that are taken: a service that refuses all is broken.
        self._may_give_up = True

    def run(self) -> Result:
        """Send all that waits; raises only what a bug raises."""
        while self._may_go_on():
            batch = self._next_batch()
            if not batch:
                break
            delivery, wish = self._deliver(batch)
            goes_on = {"taken": self._taken, "refused": self._refused, "later": _stop}[delivery.fate](batch, delivery)
            if not goes_on:
                return Result(delivery, progress=self._progress, wish=wish)
        return Result(Delivery("taken"), is_over=not self._stuck, progress=self._progress)

    def _next_batch(self) -> list[Entry]:
        """The oldest events that can go together: the service wants all of a batch to be of one app."""
        entries = self._queue.head(self._size, but=self._stuck)
        apps = [json.loads(entry.text).get("app_id") for entry in entries]
        same = next((index for index, app in enumerate(apps) if app != apps[0]), len(apps))
        return entries[:same]

    def _deliver(self, batch: list[Entry]) -> tuple[Delivery, float]:
        """Send these events; what became of them, and how long the service wants to be left alone (seconds)."""
        try:
            reply = self._send(b"[%b]" % b",".join(entry.text for entry in batch))
        except CapgoError as exc:
            return Delivery("later", code=exc.code, message=exc.message), 0.0
        now = self._clock.wall()
        delivery = classify_delivery(reply.status, reply.headers, reply.body, count=len(batch), now=now)
        if delivery.code == RATE_LIMITED:
            self._limited()
        # A difference, for the wall clock may be set to another year before it is over.
        return delivery, 0.0 if delivery.retry_at is None else delivery.retry_at - now

    def _taken(self, batch: list[Entry], delivery: Delivery) -> bool:
        """Remove what is done with; say whether to go on."""
        outcomes = [(entry, item, _fate(entry, item)) for entry, item in zip(batch, delivery.items, strict=True)]
        for _, item, fate in outcomes:
            if fate == "drop":
                _log.warning("one event of the statistics is given up, the service does not take it: %s", item.code)
        stumbled = {entry.id for entry, _, fate in outcomes if fate == "retry"}
        done = {entry.id for entry, _, fate in outcomes if fate in ("ok", "drop")}
        self._queue.settle(done=done, tried=stumbled)
        self._stuck |= stumbled
        self._size = min(MAX_BATCH, self._size * 2)
        self._may_give_up = True
        self._progress = self._progress or bool(done)
        return len(done) + len(stumbled) == len(batch)

    def _refused(self, batch: list[Entry], delivery: Delivery) -> bool:
        """Halve the batch until the one to blame stands alone, and give that up; say whether to go on."""
        if len(batch) > 1:
            self._size = len(batch) // 2
            return True
        if not self._may_give_up:
            return False
        self._may_give_up = False
        self._size = MAX_BATCH
        _log.warning("one event of the statistics is given up, the service refuses it: %s", delivery.code)
        self._queue.settle(done={batch[0].id})
        return True


def _stop(_batch: list[Entry], _delivery: Delivery) -> bool:
    return False


def _fate(entry: Entry, item: Item) -> str:
    return "drop" if item.verdict == "retry" and entry.tries + 1 >= MAX_TRIES else item.verdict
