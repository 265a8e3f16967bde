"""An operation on a disk that fails at its n-th call, for every n, and what may come of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from errno import ENOENT, errorcode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from failing_life import errors_of

from capgo_client.testing.crash.judging import aftermath, faults_of
from capgo_client.testing.crash.killing import Bench
from capgo_client.testing.crash.operations import BUILTIN, OPERATIONS, Heard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capgo_client.testing.crash.operations import Operation, Scene
    from capgo_client.testing.crash.runner import Lived, Runner

_FILES, _LIFE = "failing_life:FailingFiles", "failing_life:lived"
#: What the life said, and what the log says where that could not be written down after all. It raises nothing then,
#: for notify_app_ready() and report_crash() raise nothing by contract.
_TAKEN_BACK = {
    "confirmed": "ready could not be written down",
    "reported": "a failed start could not be written down",
}


_enqueued = OPERATIONS["enqueue"].rule
#: How often a place in the code is tried with an error that passes; each how-manieth place with one that stays; each
#: how-manieth try is followed by two whole lives.
_OFTEN, _LASTING, _FOLLOWED = 2, 3, 8


@dataclass(frozen=True, slots=True)
class Try:
    """The n-th call is to fail with the ``choice``-th error that its kind gives; ``fully``: two whole lives follow."""

    nth: int
    choice: int
    lasting: bool
    fully: bool


@dataclass(slots=True)
class Found:
    """What came of the tries: how many there were by error, how many two whole lives followed, what was wrong."""

    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    followed: int = 0
    wrong: dict[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """How often the disk failed."""
        return self.errors.total()


class FailingBench:
    """One operation on one scene; every life begins with the same device."""

    def __init__(self, scene: Scene, operation: Operation, runner: Runner) -> None:
        self._scene, self._runner = scene, runner
        self._bench = Bench(scene, operation, runner)
        self._operation = operation
        self._healthy = self._live(sites=True, glance=True).told or {}
        if "raised" in self._healthy:
            raise RuntimeError(self._healthy["trace"])

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Of the healthy life: the kind of each call and where it comes from."""
        return [(kind, site) for kind, site in self._healthy["sites"]]

    def tries(self, *, lasting: bool, extent: str) -> Iterator[Try]:
        """What is to be tried; a part of it is followed by two whole lives.

        ``extent``: ``errors`` is every call of the healthy life with every error that it may meet, ``calls`` every one
        with one of them, in turn, ``places`` the same, the first times that a place in the code is reached. Of those
        that stay, ``calls`` and ``places`` take every ``_LASTING``-th place, once.
        """
        seen: Counter[str] = Counter()
        made = 0
        for nth, (kind, site) in enumerate(self.calls, 1):
            number = len(errors_of(kind, lasting=lasting))
            seen[site] += bool(number)
            if extent == "errors":
                choices = list(range(number))
            elif lasting:
                choices = [made] if number and seen[site] == 1 and len(seen) % _LASTING == 0 else []
            else:
                choices = [made] if number and (extent == "calls" or seen[site] <= _OFTEN) else []
            for choice in choices:
                made += 1
                yield Try(nth, choice, lasting, fully=made % _FOLLOWED == 0)

    def run(self, tries: Iterable[Try]) -> Found:
        """Try each, judge each."""
        found = Found(calls=self._healthy["made"])
        for one in tries:
            since = len(self._scene.service.events)
            life = self._live(nth=one.nth, choice=one.choice, lasting=one.lasting, glance=not one.fully)
            told = life.told or {}
            hit = told.get("hit")
            if not hit and told and "raised" not in told:
                continue  # threads made other calls this time, or fewer
            error = errorcode[hit["error"]] if hit else "?"
            found.errors[error] += 1
            wrong = self._wrong_in(life)
            if one.fully:
                found.followed += 1
                wrong += self._wrong_after(life, since=since)
            if wrong:
                found.wrong[f"{one.nth} {error}{' from there on' * one.lasting}"] = (
                    hit,
                    life.said,
                    wrong,
                    told.get("log"),
                )
        return found

    def _live(self, **arguments: Any) -> Lived:
        self._bench.restore()
        self._scene.service.forget_callers()
        return self._bench.live(files={"make": _FILES, "with": arguments}, life=_LIFE)

    # ---- what may be ----

    def _wrong_in(self, life: Lived) -> list[str]:
        """What is wrong with the life itself, and with the glance at the next start."""
        told = life.told
        if told is None or life.raised:
            return [f"the life ended with {life.exit}: {(told or {}).get('trace')}"]
        wrong = [*told["wrong"], *(f"a bug: {bug}" for bug in told["bugs"])]
        wrong += [f"left open: {path}" for path in told["open"]]
        wrong += [f"{kind}() of a descriptor that was closed" for kind in told["stale"]]
        allowed = {self._healthy["version"], self._healthy["good"]} | ({BUILTIN} if _is_blind(told) else set())
        if told["version"] not in allowed:
            wrong.append(f"opened {told['version']} instead of {allowed}")
        if told["action"] == "failed" and not told["result_code"]:
            wrong.append(f"a cycle failed without a code: {told['result']}")
        if told["end"] != self._healthy["end"] and not self._reasons(told):
            wrong.append(f"ended as {told['end']}, and neither an error nor the log says why")
        if self._operation.name == "enqueue":  # nobody is there to send them to
            wrong += [f"on the disk: {fault}" for fault in _enqueued(_kept(life), Heard(tuple(told["marks"])))]
        later = told["later"]
        if later is not None:
            wrong += [f"at the next start: {problem}" for problem in later["wrong"]]
            if later["version"] not in self._next(life):
                wrong.append(f"the next start opened {later['version']} instead of {self._next(life)}")
        return wrong

    def _reasons(self, told: dict[str, Any]) -> list[str]:
        said = [line for line in told["log"] if line not in self._healthy["log"] and not line.startswith("opening ")]
        if told["hit"]["kind"] == "scan" and told["hit"]["error"] == ENOENT:
            said.append("a folder that is not there has nothing in it, which the app was told")
        return [*filter(None, [told["code"]]), *said]

    def _next(self, life: Lived) -> frozenset[str]:
        """What the next start may open without a service."""
        opens = self._operation.opens(_kept(life))
        return (
            opens
            | {self._healthy["later"]["version"]}
            | ({BUILTIN} if self._operation.name == "first-install" else set())
        )

    def _wrong_after(self, life: Lived, *, since: int) -> list[str]:
        """What is wrong with two whole lives after it; the first may open what it had: after a failure none waits."""
        if life.told is None or life.raised:
            return []
        said = _kept(life)
        # A failed download costs the next start its waiting, so that one has to be online too.
        offline = self._operation.offline and self._operation.name != "delta"
        operation = replace(self._operation, opens=lambda _said: self._next(life), offline=offline)
        options = {"data_dir": str(self._bench.device)}
        after = aftermath(self._scene, operation, self._runner, since=since, options=options)
        return faults_of(operation, said, after)


def _is_blind(told: dict[str, Any]) -> bool:
    """Whether the disk failed from some call on so that nothing on it could be looked at any more."""
    return told["hit"]["lasting"] and errorcode[told["hit"]["error"]] in ("EIO", "EACCES", "EMFILE")


def _kept(life: Lived) -> Sequence[str]:
    """What was said, without what the log takes back."""
    told = life.told or {}
    lost = {
        word for word, line in _TAKEN_BACK.items() if any(line in text for text in told["log"]) or not told["counted"]
    }
    if any("the device id cannot be kept" in text for text in told["log"]):
        lost |= {word for word in life.said if word.startswith("device ")}  # nothing was asked in its name
    if not told["tells"]:  # nor is a statistic told under such an id, or by a process that may not write
        lost |= {word for word in life.said if word[0] == "e" and word[1:].isdigit()}
    return [word for word in life.said if word not in lost]


#: Where the modules of a life of ours are, for the Runner.
HERE = Path(__file__).parent
