"""What is found in a data directory after the power came back, and what had been promised before it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from power_lives import updater

from capgo_client.bundle import BundleStatus
from capgo_client.install import leases
from capgo_client.install.audit import audit
from capgo_client.install.ledger import Ledger
from capgo_client.install.rebuild import rebuilt
from capgo_client.install.store import Store
from capgo_client.life.newer import from_newer
from capgo_client.life.state import State
from capgo_client.seams import Files
from capgo_client.stats.lines import parse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from capgo_client.life.state import Install

__all__ = ["Found", "Promises", "broken", "look"]

_VERSION = "1.0.0"


@dataclass(frozen=True)
class Found:
    """What a first start after the power cut opened, and what lay there before it."""

    version: str
    why: str
    wrong: tuple[str, ...]
    starts: dict[str, int]
    confirmed: frozenset[str]
    condemned: frozenset[str]
    device: str
    channel: str
    waiting: frozenset[str]


@dataclass
class Promises:
    """What has to hold from here on; ``take`` adds what a marker says."""

    may: frozenset[str] = frozenset()
    final: frozenset[str] = frozenset()
    starts: dict[str, int] = field(default_factory=dict)
    condemned: frozenset[str] = frozenset()
    confirmed: str = ""
    device: str = ""
    channel: frozenset[str] = frozenset()
    #: Events that were on the platter in the beginning and did not go to the service since.
    kept: frozenset[str] = frozenset()
    batches: dict[int, set[str]] = field(default_factory=dict)
    taken: int = 0

    def take(self, text: str) -> bool:
        """Whether the marker was a promise."""
        name, _, rest = text.partition(" ")
        words = rest.split()
        if name in ("may", "final", "channel"):
            setattr(self, name, frozenset(words))
        elif name == "counted":
            self.starts = {**self.starts, words[0]: int(words[1])}
        elif name == "condemned":
            self.condemned |= {rest}
        elif name in ("confirmed", "device"):
            setattr(self, name, rest)
        elif name == "sent":
            self.batches.setdefault(int(words[0]), set()).add(words[1])
            self.kept -= {words[1]}
        elif name == "taken":
            self.taken = int(rest)
        else:
            return False
        return True


def look(data: Path, common: dict[str, Any]) -> Found:
    """Read what lies in ``data``, then start the app on it once, as it would be without a network (that changes it)."""
    files = Files()
    store = Store(data, files=files)
    ledger = Ledger(
        data,
        files=files,
        fresh=lambda: State(native_version=_VERSION),
        rebuild=lambda: rebuilt(store),
        newer=lambda document: from_newer(document, native_version=_VERSION),
    )
    state = ledger.load().state
    # With the state file lost as well, the sealed records would be all that is left to go by.
    lost = rebuilt(store)
    wrong = [*_mixes(store, state.installs), *(_mixes(store, lost.installs) if lost else ())]
    device = _text(data / "device-id").decode("ascii", "replace").strip()
    waiting = frozenset(entry.id.decode() for entry in parse(_text(data / "stats" / "events")).entries)
    version = why = ""
    try:
        with updater(common, data, files, auto_update="off") as app:
            bundle = app.start()
            version, why = bundle.version, app._engine.session.opened.why
            wrong += [f"the open {version}: {problem}" for problem in app.verify(bundle).problems]
    except Exception as exc:
        wrong.append(f"start() raised {exc!r}")
    leases.let_go(data)
    return Found(
        version=version,
        why=why,
        wrong=tuple(wrong),
        starts={install.version: install.attempts for install in state.installs if not install.confirmed},
        confirmed=frozenset(install.version for install in state.installs if install.confirmed),
        condemned=frozenset(verdict.version for verdict in state.verdicts if verdict.hard),
        device=device,
        channel=state.settings.channel,
        waiting=waiting,
    )


def _mixes(store: Store, installs: Iterable[Install]) -> Iterable[str]:
    """Installs that would be opened at a glance, and are not what was verified."""
    for install in installs:
        if install.status is BundleStatus.ERROR or store.fault(install.id, entry=""):
            continue
        for problem in audit(store.installs / install.id, files=Files(), should_stop=lambda: False)[:1]:
            yield f"{install.version} would be opened, and {problem}"


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def broken(found: Found, promises: Promises) -> list[str]:
    """The promises that do not hold."""
    wrong = list(found.wrong)
    if found.version not in promises.may:
        wrong.append(f"{found.version or 'nothing'} opened ({found.why}), not one of {sorted(promises.may)}")
    for version, starts in promises.starts.items():
        is_settled = version in found.confirmed | found.condemned | promises.condemned or version == promises.confirmed
        if not is_settled and found.starts.get(version, 0) < starts:
            wrong.append(f"{found.starts.get(version, 0)} starts of {version} are counted, there were {starts}")
    for version in promises.condemned - found.condemned:
        wrong.append(f"{version} was condemned and is not any more")
    if promises.confirmed and promises.confirmed not in found.confirmed | promises.condemned:
        wrong.append(f"{promises.confirmed} had confirmed itself, and that is forgotten")
    if promises.device and found.device != promises.device:
        wrong.append("the device has lost its id")
    if promises.channel and (found.channel or "-") not in promises.channel:
        wrong.append(f"the channel is {found.channel!r}, not one of {sorted(promises.channel)}")
    return wrong + list(_statistics(found, promises))


def _statistics(found: Found, promises: Promises) -> Iterable[str]:
    lost = promises.kept - found.waiting
    if lost:
        yield f"{len(lost)} statistics that were on the platter are lost"
    for number, batch in promises.batches.items():
        again = batch & found.waiting
        if again and number <= promises.taken:
            yield f"{len(again)} statistics of batch {number} will be sent again, {promises.taken} batches are done"
