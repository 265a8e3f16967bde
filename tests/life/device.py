"""A device without a disk: the state and the calls that a launch makes, in the order in which it makes them."""

from __future__ import annotations

from dataclasses import replace

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import boot, decide, retention
from capgo_client.life.state import Install, State
from capgo_client.protocol.outcomes import Update

NOW = 1_700_000_000.0
DAY = 86_400.0
YEAR = 365 * DAY
NATIVE = "1.0.0"


def checksum_of(version: str) -> str:
    return version.encode().hex().rjust(64, "0")


def install(version: str, *, confirmed: bool = False, at: float = NOW, **values: object) -> Install:
    """An install whose id says its version: 1.2.0 is "v1.2.0"."""
    made = Install(
        id=f"v{version}",
        version=version,
        checksum=checksum_of(version),
        installed_at=at,
        status=BundleStatus.SUCCESS if confirmed else BundleStatus.PENDING,
    )
    return replace(made, **values)


def offer(version: str, checksum: str | None = None) -> Update:
    return Update(version=version, checksum=checksum_of(version) if checksum is None else checksum)


class Device:
    """``start()`` returns the id that opens; ``running`` and ``token`` are those of the launch that runs."""

    def __init__(self, *, max_attempts: int = 3) -> None:
        self.state = State(native_version=NATIVE)
        self.max_attempts = max_attempts
        self.now = NOW
        self.native = NATIVE
        self.reset_when_update = True
        self.allow_downgrade: bool | str = "above_builtin"
        self.running = BUILTIN_ID
        self.token = ""
        self._launches = 0

    def start(self, *, unusable: frozenset[str] = frozenset()) -> str:
        state, _ = boot.arrived(
            self.state, native_version=self.native, now=self.now, reset_when_update=self.reset_when_update
        )
        choice = boot.choice(state, max_attempts=self.max_attempts, now=self.now, unusable=unusable)
        self._launches += 1
        self.token = f"launch-{self._launches}"
        self.running = choice.bundle_id
        self.state = boot.opened(choice.state, choice.bundle_id, token=self.token)
        return self.running

    def ready(self, *, running: str | None = None, token: str | None = None) -> None:
        self.state = boot.confirmed(self.state, running or self.running, token=token or self.token)

    def crash(self, *, running: str | None = None, token: str | None = None) -> None:
        self.state = boot.crashed(self.state, running or self.running, token=token or self.token, now=self.now)

    def timer(self) -> None:
        self.state = boot.timed_out(self.state, self.running, token=self.token, now=self.now)

    def decide(self, version: str, checksum: str | None = None) -> decide.Decision:
        running = self.state.install(self.running)
        return decide.on_update(
            self.state,
            offer(version, checksum),
            running_version=self.native if running is None else running.version,
            builtin_version=self.native,
            allow_downgrade=self.allow_downgrade,
            now=self.now,
        )

    def put(self, version: str, **values: object) -> str:
        """Bring a version onto the disk; nothing points at it yet."""
        made = install(version, at=self.now, **values)
        self.state = self.state.with_install(made)
        return made.id

    def queue(self, bundle_id: str, *, by_app: bool = False) -> None:
        self.state = decide.queued(self.state, bundle_id, by_app=by_app)

    def offered(self, version: str, checksum: str | None = None) -> str:
        """A cycle: decide, fetch where need be, queue. Returns what was decided."""
        decision = self.decide(version, checksum)
        if decision.action == decide.FETCH:
            values = {} if checksum is None else {"checksum": checksum, "id": f"v{version}-{checksum[:4]}"}
            self.queue(self.put(version, **values))
        elif decision.action == decide.ALREADY_HERE:
            self.queue(decision.bundle_id)
        return decision.action

    def good(self, version: str) -> str:
        """Offer a version, open it and let it say ready."""
        self.offered(version)
        opened = self.start()
        self.ready()
        return opened

    def tidy(self) -> frozenset[str]:
        gone = retention.expendable(self.state, in_use=frozenset({self.running}))
        self.state = retention.forgotten(self.state, gone)
        return gone

    def status(self, bundle_id: str) -> BundleStatus:
        found = self.state.install(bundle_id)
        assert found is not None
        return found.status

    def attempts(self, bundle_id: str) -> int:
        found = self.state.install(bundle_id)
        assert found is not None
        return found.attempts
