"""What the tests of the sender share: a wire that says what it is told, and the moments at which the thread sleeps."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from capgo_client.errors import NetworkError
from capgo_client.protocol.requests import Identity

ME = Identity(
    app_id="com.example.notes",
    device_id="01234567-89ab-cdef-0123-456789abcdef",
    version_build="1.4.0",
    platform="electron",
    version_os="6.8.0",
)


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def taken(count):
    return said(200, {"status": "ok", "results": [{"status": "ok", "index": index} for index in range(count)]})


def said(status, body, **headers):
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


LOST = NetworkError("the reply is lost")
PLAN_ENDED = said(429, {"error": "on_premise_app", "message": "On-premise app detected"})


class Wire:
    """Answers each batch with the next of ``script``: an answer, an error to raise, or a function of the events.

    After the script, everything is taken. ``batches`` has the events of each request.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.batches = []

    def __call__(self, body):
        events = json.loads(body)
        self.batches.append(events)
        step = self.script.pop(0) if self.script else taken(len(events))
        step = step(events) if callable(step) else step
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def names(self):
        return [[event["version_name"] for event in batch] for batch in self.batches]

    @property
    def actions(self):
        return [[event["action"] for event in batch] for batch in self.batches]


def next_pause(clock):
    """The seconds for which the thread goes to sleep next, once it does."""
    with clock._changed:
        if not clock._changed.wait_for(
            lambda: any(end is not None and end > clock._monotonic for end in clock._deadlines), 5
        ):
            raise TimeoutError(f"no pause within 5 s: {clock._deadlines}")
        return round(next(end - clock._monotonic for end in clock._deadlines if end is not None), 4)


def until_idle(clock):
    """Wait until nothing is left to send: then the thread ends."""
    for thread in threading.enumerate():
        if thread.name == "capgo-stats":
            thread.join(5)
            if thread.is_alive():
                raise TimeoutError(f"not idle within 5 s: {clock._deadlines}")


def pass_pause(clock):
    """Let the thread's next pause go by; return how long it was."""
    pause = next_pause(clock)
    clock.advance(pause + 0.000_1)  # it is rounded
    return pause


def end(thread):
    thread.join(5)
    assert not thread.is_alive()


class Gate:
    """A step of a script that hangs until it is opened."""

    def __init__(self, then):
        self.reached, self.opened, self.then = threading.Event(), threading.Event(), then

    def __call__(self, events):
        self.reached.set()
        assert self.opened.wait(5)
        return self.then(events) if callable(self.then) else self.then
