"""From what the service offers to what this device does about it."""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import verdicts
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from capgo_client.life.state import Install, State
    from capgo_client.life.verdicts import AllowDowngrade
    from capgo_client.protocol.outcomes import Update

__all__ = [
    "ALREADY_HERE",
    "FETCH",
    "NO_NEED",
    "REFUSE",
    "Decision",
    "on_builtin",
    "on_disk",
    "on_update",
    "queued",
    "queued_for_switch",
    "unqueued",
    "withdrawn",
]

#: What to do: nothing · use an install that is here · fetch it · refuse it.
NO_NEED = "no_need"
ALREADY_HERE = "already_here"
FETCH = "fetch"
REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """``bundle_id`` names the install to use, ``code`` and ``message`` say why something is refused."""

    action: str
    bundle_id: str = ""
    code: str = ""
    message: str = ""


def on_update(
    state: State,
    update: Update,
    *,
    running_version: str,
    builtin_version: str,
    allow_downgrade: AllowDowngrade,
    now: float,
) -> Decision:
    """What to do about an offered version. ``running_version`` is the one that the check reported."""
    if update.version == running_version:
        return Decision(NO_NEED, message=f"{update.version} is open already")
    refusal = verdicts.failed_before(state, version=update.version, checksum=update.checksum, now=now)
    if not update.url:  # else its archive is taken where its files do not fit
        refusal = refusal or verdicts.failed_before(state, version=update.version, checksum=update.list_mark, now=now)
    refusal = refusal or verdicts.downgrade_refusal(
        state, update.version, builtin_version=builtin_version, allow=allow_downgrade
    )
    if refusal is not None:
        return Decision(REFUSE, code=refusal.code, message=refusal.message)
    here = on_disk(state, update)
    if here is not None:
        return Decision(ALREADY_HERE, bundle_id=here.id, message=f"{update.version} is on disk already")
    return Decision(FETCH, message=f"{update.version} is new")


def on_builtin(state: State, *, allow_downgrade: AllowDowngrade) -> Decision:
    """What to do about "go back to the builtin" (reference/service-behaviour.md section 1.3, row 25)."""
    if state.current == BUILTIN_ID and state.next in ("", BUILTIN_ID):
        return Decision(NO_NEED, message="the builtin is open already")
    if allow_downgrade is False:
        return Decision(REFUSE, code="downgrade_refused", message="going back to the builtin (allow_downgrade=False)")
    return Decision(ALREADY_HERE, bundle_id=BUILTIN_ID, message="the channel wants the builtin")


def queued(state: State, bundle_id: str, *, by_app: bool, at_once: bool = False) -> State:
    """Queue an install (or the builtin) for the next opening; the one that runs already is simply kept.

    ``at_once``: delay conditions do not hold it back. What another process removed meanwhile is not queued.
    """
    if bundle_id == state.current:
        return unqueued(state)
    install = state.install(bundle_id)
    if install is None and bundle_id != BUILTIN_ID:
        return state
    if install is not None and install.status is BundleStatus.ERROR:
        # Its sentence is served, or the caller would have been refused: it starts with a clean count.
        state = state.with_install(replace(install, status=BundleStatus.PENDING, attempts=0, crashes=0))
    return replace(state, next=bundle_id, next_by_app=by_app, next_at_once=at_once)


def queued_for_switch(state: State, bundle_id: str) -> State:
    """The same on the way to opening it at once: also what runs already may be opened anew."""
    state = replace(state, current=BUILTIN_ID) if state.current == bundle_id else state
    return queued(state, bundle_id, by_app=True, at_once=True)


def unqueued(state: State) -> State:
    """Nothing is queued any more."""
    return replace(state, next="", next_by_app=False, next_at_once=False) if state.next else state


def withdrawn(state: State, *, running_version: str) -> State:
    """The channel went back to what runs: what the service queued is not opened any more; what the app queued is."""
    queued_one = state.install(state.next)
    if queued_one is None or state.next_by_app or queued_one.version == running_version:
        return state
    return unqueued(state)


def on_disk(state: State, update: Update) -> Install | None:
    """The install of that very version; of two (the older one was found damaged) the queued or newer one."""
    matches = [i for i in state.installs if i.version == update.version and i.checksum == update.checksum]
    return max(matches, key=lambda i: (i.id == state.next, i.installed_at), default=None)
