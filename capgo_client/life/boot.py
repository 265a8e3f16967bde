"""Which version opens, and what a launch that went well or badly does to it (decisions 7, 8 and 11).

A launch goes: ``arrived`` (is this still the same installer?) → ``choice`` (which bundle?) → ``opened`` (its attempt
is written down) → the app runs → ``confirmed``, ``crashed`` or ``timed_out``.
"""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import schedule, verdicts
from capgo_client.life.settings import reconsidered
from capgo_client.life.state import (
    LAUNCH_CRASHED,
    LAUNCH_OPEN,
    LAUNCH_READY,
    LAUNCH_TIMED_OUT,
    Install,
    Launch,
    State,
)
from capgo_client.protocol.versions import compare
from capgo_client.values import dataclass, replace

__all__ = [
    "CRASH_LIMIT",
    "Choice",
    "arrived",
    "choice",
    "confirmed",
    "crashed",
    "damaged",
    "last_confirmed",
    "opened",
    "refused",
    "restored",
    "timed_out",
]

#: A version that had confirmed itself is given up after so many launches in a row of which a crash was reported.
CRASH_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """What to open: ``state`` is what follows from the choosing itself (a version given up, say), ``why`` in words."""

    state: State
    bundle_id: str
    why: str


def arrived(
    state: State, *, native_version: str, now: float, reset_when_update: bool, keep_channel: bool = True
) -> tuple[State, bool]:
    """Take note of the installer's version and of the start itself; say whether the installer is a new one.

    A new installer brings a newer builtin, so downloaded bundles go (Capgo's resetWhenUpdate) and old verdicts with
    them: what failed for want of the new native code deserves another try. The stored channel goes with them where
    ``keep_channel`` is false (Capgo's persistDefaultChannelOnReinstall).
    """
    settings = reconsidered(state.settings, source="killed", now=now, native_version=native_version)
    planned = schedule.settled(state.schedule, now)
    state = verdicts.settled(state, now)
    if planned is not state.schedule or settings is not state.settings:
        state = replace(state, schedule=planned, settings=settings)
    if state.native_version == native_version:
        return state, False
    if not reset_when_update:
        older = [i.id for i in state.installs if _older(i.version, native_version)]
        return replace(state.without_installs(older), native_version=native_version), True
    fresh = State(native_version=native_version, failed=state.failed, newest_confirmed=state.newest_confirmed)
    settings = settings if keep_channel else replace(settings, channel="")
    return replace(fresh, schedule=state.schedule, settings=settings), True


def _older(version: str, native_version: str) -> bool:
    order = compare(version, native_version)
    return order is not None and order < 0


def choice(state: State, *, max_attempts: int, now: float, unusable: frozenset[str] = frozenset()) -> Choice:
    """The bundle to open. ``unusable`` are the ids whose files are missing or damaged; they are forgotten."""
    state = _without_unusable(state, unusable)
    if state.next and not state.is_held_back:
        queued = _queued(state, max_attempts=max_attempts, now=now)
        if queued.bundle_id:
            return queued
        state = queued.state
    return _current(state, max_attempts=max_attempts, now=now)


def _queued(state: State, *, max_attempts: int, now: float) -> Choice:
    """The queued bundle if it may be opened; else an empty id and the state without it."""
    if state.next == BUILTIN_ID:
        return Choice(state, BUILTIN_ID, "going back to the builtin was asked for")
    install = state.install(state.next)
    if install is None or install.status is BundleStatus.ERROR:
        return Choice(replace(state, next=""), "", "")
    if verdicts.failed_before(state, version=install.version, checksum=install.checksum, now=now) is not None:
        return Choice(replace(state, next=""), "", "")  # a copy of it failed after this one was queued
    if not install.confirmed and install.attempts >= max_attempts:
        return Choice(_given_up(state, install, hard=False, now=now), "", "")
    return Choice(state, install.id, f"{install.version} was queued")


def _current(state: State, *, max_attempts: int, now: float) -> Choice:
    install = state.install(state.current)
    if install is None:
        return Choice(replace(state, current=BUILTIN_ID), BUILTIN_ID, "nothing newer is installed")
    if install.confirmed:
        return Choice(state, install.id, f"{install.version} confirmed itself before")
    if install.status is BundleStatus.PENDING and install.attempts < max_attempts:
        return Choice(state, install.id, f"{install.version} gets start {install.attempts + 1} of {max_attempts}")
    state = _given_up(state, install, hard=False, now=now)
    return Choice(state, state.current, f"{install.version} never said ready in {install.attempts} starts")


def last_confirmed(state: State, unusable: frozenset[str] = frozenset()) -> str:
    """The best version that needs no counting: what to open where nothing can be written down.

    The queued one counts when it had confirmed itself before; then current, fallback, previous, the newest, builtin.
    """
    queued = "" if state.is_held_back else state.next
    if queued == BUILTIN_ID:
        return BUILTIN_ID
    for bundle_id in (queued, state.current):
        install = state.install(bundle_id)
        if install is not None and install.confirmed and bundle_id not in unusable:
            return bundle_id
    if state.current == BUILTIN_ID:
        return BUILTIN_ID
    return _good_one(state, unusable)


def opened(state: State, bundle_id: str, *, token: str) -> State:
    """Write down that ``bundle_id`` is about to be opened. Unchanged for a confirmed version that stays.

    It does not stay where the launch before was of another bundle: that launch is over, and must not speak any more.
    """
    last = state.launch
    install = state.install(bundle_id)
    if install is not None:
        crashed_last = last is not None and last.bundle_id == bundle_id and last.ended == LAUNCH_CRASHED
        state = state.with_install(_counted(install, crashed_last=crashed_last)) if _counts(install) else state
    moved = bundle_id != state.current or bundle_id == state.next or (last is not None and last.bundle_id != bundle_id)
    if state.next == bundle_id:
        state = replace(state, next="", next_by_app=False, next_at_once=False)
    state = state if state.current == bundle_id else replace(state, current=bundle_id)
    if moved or (install is not None and _counts(install)):
        return replace(state, launch=Launch(token=token, bundle_id=bundle_id))
    return state


def _counts(install: Install) -> bool:
    return not install.confirmed or install.crashes > 0


def _counted(install: Install, *, crashed_last: bool) -> Install:
    if not install.confirmed:
        return replace(install, attempts=install.attempts + 1)
    return install if crashed_last else replace(install, crashes=0)


def confirmed(state: State, bundle_id: str, *, token: str) -> State:
    """The app said "ready". Late in the same launch it undoes what the ready timer did; never what a crash did."""
    ended = _ended(state, bundle_id, token)
    if ended == LAUNCH_CRASHED:
        return state
    if ended is None and not _stayed(state, bundle_id, token):
        return state
    install = state.install(bundle_id)
    if install is not None:
        state = _vouched_for(state, install)
    elif bundle_id != BUILTIN_ID:
        return state
    if ended == LAUNCH_TIMED_OUT:
        state = replace(state, current=bundle_id)
    if state.fallback != bundle_id:
        state = replace(state, previous=state.fallback, fallback=bundle_id)
    if ended is not None and state.launch is not None:
        state = replace(state, launch=replace(state.launch, ended=LAUNCH_READY))
    return state


def _vouched_for(state: State, install: Install) -> State:
    """The install's own part of a confirmation; the same state when it had confirmed itself before."""
    if not install.confirmed or install.attempts:
        state = state.with_install(replace(install, status=BundleStatus.SUCCESS, attempts=0))
    state = verdicts.acquitted(state, version=install.version, checksum=install.checksum)
    failed = None if state.failed is not None and state.failed.id == install.id else state.failed
    newest = verdicts.newest(state.newest_confirmed, install.version)
    if newest == state.newest_confirmed and failed is state.failed:
        return state
    return replace(state, newest_confirmed=newest, failed=failed)


def crashed(state: State, bundle_id: str, *, token: str, now: float) -> State:
    """The app reported a crash: hard evidence against a version that had not confirmed itself."""
    ended = _ended(state, bundle_id, token)
    install = state.install(bundle_id)
    if ended == LAUNCH_CRASHED or install is None:
        return state
    if ended is None and not _stayed(state, bundle_id, token):
        return state  # a crash of some other launch proves nothing about this one
    if not install.confirmed:
        state = _given_up(state, install, hard=True, now=now)
        return replace(state, launch=Launch(token=token, bundle_id=bundle_id, ended=LAUNCH_CRASHED))
    install = replace(install, crashes=install.crashes + 1)
    state = state.with_install(install)
    if install.crashes >= CRASH_LIMIT:
        state = _given_up(state, install, hard=True, now=now)
    return replace(state, launch=Launch(token=token, bundle_id=bundle_id, ended=LAUNCH_CRASHED))


def timed_out(state: State, bundle_id: str, *, token: str, now: float) -> State:
    """The ready timer ran out: soft evidence, rolled back at once."""
    install = state.install(bundle_id)
    if install is None or install.confirmed or _ended(state, bundle_id, token) != LAUNCH_OPEN:
        return state
    state = _given_up(state, install, hard=False, now=now)
    return replace(state, launch=Launch(token=token, bundle_id=bundle_id, ended=LAUNCH_TIMED_OUT))


def restored(state: State, before: State, bundle_id: str) -> State:
    """Undo an opening that the app's own code refused: nothing is held against the version."""
    install = before.install(bundle_id)
    if install is not None:
        state = state.with_install(install)
    known = {"", BUILTIN_ID, *(each.id for each in state.installs)}  # another process may have removed some meanwhile
    return replace(
        state,
        current=before.current if before.current in known else BUILTIN_ID,
        next=before.next if before.next in known else "",
        next_by_app=before.next_by_app,
        next_at_once=before.next_at_once,
        launch=before.launch,
    )


def refused(state: State, bundle_id: str, *, now: float) -> State:
    """The app itself found the version wanting (Capgo's setBundleError): condemned for good, as after a crash."""
    install = state.install(bundle_id)
    return state if install is None else _given_up(state, install, hard=True, now=now)


def damaged(state: State, bundle_id: str) -> State:
    """A full verify found its files changed: it is forgotten, without a verdict, so that it may be fetched again."""
    return _without_unusable(state, frozenset({bundle_id}))


def _ended(state: State, bundle_id: str, token: str) -> str | None:
    """How the launch of that token stands; None when the document tells of another one."""
    launch = state.launch
    if launch is None or launch.token != token or launch.bundle_id != bundle_id:
        return None
    return launch.ended


def _stayed(state: State, bundle_id: str, token: str) -> bool:
    """Whether a launch that is not in the document can be this one: a confirmed version that stayed writes none."""
    install, last = state.install(bundle_id), state.launch
    proven = bundle_id == BUILTIN_ID if install is None else install.confirmed
    return bool(token) and proven and state.current == bundle_id and (last is None or last.bundle_id == bundle_id)


def _given_up(state: State, install: Install, *, hard: bool, now: float) -> State:
    """Condemn ``install`` and point everything that named it at a good version."""
    state = verdicts.condemned(state, version=install.version, checksum=install.checksum, hard=hard, now=now)
    bad = replace(install, status=BundleStatus.ERROR)
    state = replace(state.with_install(bad), failed=bad)
    good = _good_one(state, frozenset({install.id}))
    fallback = good if state.fallback == install.id else state.fallback
    return replace(
        state,
        current=good if state.current == install.id else state.current,
        next="" if state.next == install.id else state.next,
        fallback=fallback,
        previous=BUILTIN_ID if state.previous in (install.id, fallback) else state.previous,
    )


def _good_one(state: State, unusable: frozenset[str]) -> str:
    newest_first = sorted(state.installs, key=lambda install: install.installed_at, reverse=True)
    for bundle_id in (state.fallback, state.previous, *(install.id for install in newest_first)):
        install = state.install(bundle_id)
        if bundle_id == BUILTIN_ID and bundle_id == state.fallback:
            return BUILTIN_ID
        if install is not None and install.confirmed and bundle_id not in unusable:
            return bundle_id
    return BUILTIN_ID


def _without_unusable(state: State, unusable: frozenset[str]) -> State:
    """Forget damaged installs; a current one is followed by the best good version, not simply by the builtin."""
    if not unusable:
        return state
    good = _good_one(state, unusable)
    current = good if state.current in unusable else state.current
    fallback = good if state.fallback in unusable else state.fallback
    return replace(state, current=current, fallback=fallback).without_installs(unusable)
