"""A state out of the sealed records, for when both generations of the state file are lost (decision 5).

Only installs that had confirmed themselves come back: of the others nobody knows any more whether they ever worked.
What was held against bad versions is lost with the state; they may be tried once more.
"""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import verdicts
from capgo_client.life.state import Install, State
from capgo_client.log import Log
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capgo_client.install.seal import Seal
    from capgo_client.install.store import Store

__all__ = ["adopted", "install_of", "rebuilt"]

_log = Log("capgo_client.install")


def install_of(seal: Seal) -> Install:
    """What the state remembers of a newly sealed install."""
    return Install(
        id=seal.id,
        version=seal.version,
        checksum=seal.checksum,
        installed_at=seal.sealed_at,
        link=seal.link,
        comment=seal.comment,
        sha256=seal.sha256,
    )


def rebuilt(store: Store) -> State | None:
    """The state that the installs on disk tell of; None where none of them had confirmed itself.

    Raises OSError where they cannot be looked through just now.
    """
    known: list[tuple[float, Seal]] = []
    for seal in store.sealed():
        confirmed_at = store.confirmed_at(seal.id)
        if confirmed_at is not None:
            known.append((confirmed_at, seal))
    if not known:
        if store.ids():
            _log.warning("the state file is lost, and no install tells of having said ready: everything begins anew")
        return None
    known.sort(key=lambda pair: (pair[0], pair[1].sealed_at), reverse=True)
    newest = known[0][1]
    state = State(native_version=newest.native_version, current=newest.id, fallback=newest.id)
    known = [pair for pair in known if pair[1].native_version == newest.native_version]
    for _, seal in known:
        state = state.with_install(replace(install_of(seal), status=BundleStatus.SUCCESS))
        state = replace(state, newest_confirmed=verdicts.newest(state.newest_confirmed, seal.version))
    return replace(state, previous=known[1][1].id if len(known) > 1 else BUILTIN_ID)


def adopted(state: State, seals: Iterable[Seal]) -> State:
    """Take in installs that a killed start published but did not write down; the caller has looked them over."""
    for seal in seals:
        # Another process may have installed the same one since: twice it would only take room.
        known = any((each.version, each.checksum) == (seal.version, seal.checksum) for each in state.installs)
        # Of another installer's time it is no use: the state forgot it on purpose.
        if not known and seal.native_version == state.native_version:
            state = state.with_install(install_of(seal))
    return state
