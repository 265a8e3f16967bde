"""The world of a simulated app: one device over all launches, a service, what it offers, and what goes wrong."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.cli.app_under_test import Order
from capgo_client.cli.planning import BAD_VERSIONS
from capgo_client.cli.reports import Row
from capgo_client.cli.verdicts import History, judge
from capgo_client.cli.versions import Shelf
from capgo_client.testing import BundleKeys
from capgo_client.testing.stage import Stage

if TYPE_CHECKING:
    from capgo_client.cli.launching import App, Launched
    from capgo_client.cli.planning import Step
    from capgo_client.testing import Fault, MadeBundle, Service

__all__ = ["Simulation", "obstacle"]

#: Faults of the device are had in the app's process, those of the world around it in ours.
_INSIDE = frozenset({"lookup", "files", "clock"})
_OUTSIDE = frozenset({"any", "updates", "download", "plugin", "peer", "certificate", "process", "disk"})
#: What would harm the app whatever its updater does, or needs an app that was made for it.
_NOT_OF_AN_APP = {
    "data-deleted": "the files of the version that is open go as well, and that no app survives",
    "app-late": "it is the app that is late then, and a simulation leaves the app as it is",
    "app-stale": "it is the app that mixes up its launches then, and a simulation leaves the app as it is",
}
_URLS = ("update_url", "stats_url", "channel_url")
#: Launches are a day and an hour apart on the device's clock, so that no wait that the service ordered outlives one;
#: but a bad version is to be refused within the day, after which one that only hung gets another try (promise P5).
_APART = 25 * 3600.0
_SOON = 60.0


def obstacle(fault: Fault) -> str:
    """Why a simulation cannot have a fault; "" where it can."""
    if why := fault.unavailable():
        return why
    if fault.name in BAD_VERSIONS:
        return ""
    if fault.name in _NOT_OF_AN_APP:
        return _NOT_OF_AN_APP[fault.name]
    if fault.where not in _INSIDE | _OUTSIDE or (fault.perform is None and fault.setting is None):
        return "only the test kit has it (FAULTS[name].arrange), not a simulation of a whole app"
    return ""


class Simulation:
    """Launches one app again and again on one device.

    Args:
        app: whose start file it is.
        service: runs, and offers nothing yet.
        timeout: seconds for one launch.
        grace: what a busy machine may add to a ``start()`` (seconds).
        patience: how long a check and its download may go on after the app said ready (seconds).
    """

    def __init__(self, app: App, service: Service, *, timeout: float, grace: float, patience: float) -> None:
        self._app = app
        self._service = service
        self._timeout = timeout
        self._grace = grace
        self._patience = patience
        self._keys = BundleKeys.generate("capgo-client simulate")
        self._device = app.folder / "device"
        self._stage = Stage(self._device, service=service, trust_env=True)
        self._history = History()
        self._shelf: Shelf | None = None
        self._offered: MadeBundle | None = None
        self._bad: dict[str, str] = {}
        self._opened: set[str] = set()
        self._launches = 0
        self._later = 0.0
        self._chances = 0
        #: How many starts a version of this app gets to say that it works; known after the first launch.
        self.attempts = 1

    def launch(self, step: Step) -> Row:
        """One launch of the app."""
        self._launches += 1
        self._service.forget_callers()
        self._offer(step)
        self._later += _SOON if step.name in BAD_VERSIONS and not step.offers_bad else _APART
        requests = len(self._service.downloads)
        launched = self._run(step)
        fetched = any(request.time < launched.started_at for request in self._service.downloads[requests:])
        verdict = judge(
            launched,
            self._history,
            grace=self._grace,
            timeout=self._timeout,
            whole=self._is_whole(launched),
            fetched=fetched,
        )
        if self._shelf is None and launched.facts:
            self._learn(launched)
        group = "" if step.fault is None else step.fault.group
        return Row(self._launches, step.name, group, self._kind(launched), launched, verdict)

    def _run(self, step: Step) -> Launched:
        inside = step.fault is not None and step.fault.where in _INSIDE
        with ExitStack() as stack:
            if step.fault is not None and not inside and step.fault.name not in BAD_VERSIONS:
                on = "all" if step.fault.where == "any" else None
                stack.enter_context(step.fault.arrange(self._stage, seed=self._launches, on=on))
            order = Order(
                report=str(self._app.folder / f"launch-{self._launches}.jsonl"),
                folder=str(self._device),
                urls={name: self._stage.options[name] for name in _URLS},
                proxy=self._stage.options.get("proxy"),
                authority=self._authority(),
                public_key=self._keys.public_pem,
                later=self._later,
                fault=step.name if inside else "",
                seed=self._launches,
                bad=self._bad,
                patience=self._patience,
            )
            return self._app.launch(order, timeout=self._timeout)

    def _authority(self) -> str:
        """A file with whom the device is to believe, where the stage has something to say about that."""
        context = self._stage.options.get("ssl_context")
        if context is None:
            return ""
        path = self._app.folder / "authority.pem"
        certificates = [base64.encodebytes(each).decode() for each in context.get_ca_certs(binary_form=True)]
        path.write_text(
            "".join(f"-----BEGIN CERTIFICATE-----\n{each}-----END CERTIFICATE-----\n" for each in certificates), "ascii"
        )
        return str(path)

    # ---- what is on offer ----

    def _learn(self, launched: Launched) -> None:
        facts = launched.facts
        self.attempts = int(facts["max_boot_attempts"])
        self._shelf = Shelf(facts, self._keys)
        named = {name: facts[name] for name in ("app_id", "version", "builtin")}
        self._stage.options.update(named, data_dir=self._device / "data")
        self._stage.keys = self._keys if facts["signed"] else None

    def _offer(self, step: Step) -> None:
        """A new version where the last one has had its time: it was opened, or could have been."""
        if self._shelf is None or self._shelf.is_empty:
            return
        last = "" if self._offered is None else self._offered.version
        if last in self._bad:
            is_over = BAD_VERSIONS.get(step.name) != self._bad[last]
        else:
            is_over = last in self._opened or (step.fault is None and self._chances > 0)
        if self._offered is None or step.offers_bad or is_over:
            self._offered, self._chances = self._shelf.next(), 0
            if step.offers_bad:
                self._bad[self._offered.version] = step.offers_bad
                self._history.allowed[self._offered.version] = self.attempts
        self._chances += step.fault is None
        # Also when it is the old one: a fault may have put something else there.
        self._service.publish(self._offered)

    def _kind(self, launched: Launched) -> str:
        if not launched.version or launched.is_builtin:
            return "builtin" if launched.version else ""
        is_new = launched.version not in self._opened
        self._opened.add(launched.version)
        return "new" if is_new else "old"

    def _is_whole(self, launched: Launched) -> bool:
        if launched.is_builtin or self._shelf is None or not Path(launched.path).is_dir():
            return True
        return self._shelf.is_whole(launched.version, launched.path)
