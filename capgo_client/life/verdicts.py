"""Which versions this device will not take again, and which it may not take at all (promise P5, decision 11)."""

from __future__ import annotations

from capgo_client.life.state import State, Verdict
from capgo_client.protocol.versions import compare
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from typing import Literal

    AllowDowngrade = bool | Literal["above_builtin"]

__all__ = ["Refusal", "acquitted", "condemned", "downgrade_refusal", "failed_before", "settled"]

#: Soft evidence (start counter, ready timer) is forgiven once after this many seconds.
SOFT_SENTENCE = 24 * 3600.0
#: So many verdicts are kept, the newest; a device that met more bad releases than this has other worries.
MAX_VERDICTS = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an offered version is not taken: a code and a sentence for the log and for explain()."""

    code: str
    message: str


def condemned(state: State, *, version: str, checksum: str, hard: bool, now: float) -> State:
    """Write down that this (version, checksum) failed here. A second soft failure counts like a hard one."""
    old = _find(state, version, checksum)
    verdict = Verdict(
        version=version,
        checksum=checksum,
        hard=hard or (old is not None and old.hard),
        at=now,
        strikes=1 if old is None else old.strikes + 1,
    )
    others = tuple(v for v in state.verdicts if v is not old)
    return replace(state, verdicts=(*others, verdict)[-MAX_VERDICTS:])


def acquitted(state: State, *, version: str, checksum: str) -> State:
    """It said "ready" after all: nothing is held against it any more."""
    old = _find(state, version, checksum)
    if old is None:
        return state
    return replace(state, verdicts=tuple(v for v in state.verdicts if v is not old))


def failed_before(state: State, *, version: str, checksum: str, now: float) -> Refusal | None:
    """Whether this (version, checksum) is refused because it failed here; None when it may be tried."""
    verdict = _find(state, version, checksum)
    if verdict is None:
        return None
    if verdict.hard or verdict.strikes > 1:
        return Refusal("failed_before", f"version {version} failed on this device; it waits for another release")
    if now >= verdict.at + SOFT_SENTENCE:
        return None
    return Refusal("failed_before", f"version {version} did not say ready here; it is tried once more a day later")


def settled(state: State, now: float) -> State:
    """A verdict from the future means that the clock was set back: its day starts now, lest it last for years."""
    if all(verdict.at <= now for verdict in state.verdicts):
        return state
    return replace(state, verdicts=tuple(replace(v, at=min(v.at, now)) for v in state.verdicts))


def downgrade_refusal(
    state: State,
    version: str,
    *,
    builtin_version: str,
    allow: AllowDowngrade,
) -> Refusal | None:
    """Whether ``version`` goes back too far; None when it may be taken.

    ``"above_builtin"``: not older than the builtin. ``False``: nor older than the newest version ever confirmed here.
    ``True``: anything, as the plugin does. Versions that cannot be compared are refused unless ``True``.
    """
    if allow is True:
        return None
    floors = [builtin_version] if allow == "above_builtin" else [builtin_version, state.newest_confirmed]
    for floor in filter(None, floors):
        order = compare(version, floor)
        if order is None:
            return Refusal("version_not_comparable", f"version {version} is not semver, so its age cannot be told")
        if order < 0:
            return Refusal("downgrade_refused", f"version {version} is older than {floor} (allow_downgrade={allow!r})")
    return None


def newest(known: str, version: str) -> str:
    """The newer of two versions; one that is not semver never replaces one that is."""
    if known in ("", version):
        return version
    order = compare(version, known)
    return version if order is not None and order > 0 else known


def _find(state: State, version: str, checksum: str) -> Verdict | None:
    return next((v for v in state.verdicts if v.version == version and v.checksum == checksum), None)
