"""What stays on disk (design decision 8) and what may go."""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID
from capgo_client.values import replace

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from capgo_client.life.state import Install, State

__all__ = ["MAX_BY_APP", "expendable", "forgotten"]

#: Bundles that the app downloaded itself stay until it deletes them, but no more than this many, newest first.
MAX_BY_APP = 8


def expendable(
    state: State, *, in_use: frozenset[str], delete_failed: bool = True, delete_previous: bool = True
) -> frozenset[str]:
    """The installs that nothing needs: not open (``in_use``), not queued, not one of the two to fall back on.

    Capgo's autoDeleteFailed and autoDeletePrevious, where false, keep what was rolled back, and what was replaced.
    """
    needed = {state.current, state.next, state.fallback, state.previous, *in_use}
    by_app = sorted((i for i in state.installs if _kept_for_app(i)), key=lambda i: i.installed_at, reverse=True)
    needed.update(install.id for install in by_app[:MAX_BY_APP])
    return frozenset(
        install.id
        for install in state.installs
        if install.id not in needed and (delete_failed if install.status.value == "error" else delete_previous)
    )


def _kept_for_app(install: Install) -> bool:
    return install.by_app and install.status.value != "error"


def forgotten(state: State, ids: frozenset[str]) -> State:
    """The state without these installs; what points at them points at the builtin, which is always there."""
    state = state.without_installs(ids)
    if state.previous == BUILTIN_ID or state.previous != state.fallback:
        return state
    return replace(state, previous=BUILTIN_ID)
