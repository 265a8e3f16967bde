"""Judges one cell by the ten promises (DESIGN section 2). Each complaint begins with the promise that is broken."""

from __future__ import annotations

from .cell import FIX, VERSIONS, Facts, files_of

#: A start that waits for no network, and what an operation may be late by (seconds).
AT_ONCE, MARGIN = 0.1, 0.1
#: A wait that stops the next start from waiting (decision 13), and how long close() may take (section 4).
PATIENCE, CLOSE = 0.5, 0.2
#: Memory of a launch over what the process had before (bytes).
MEMORY = 64 << 20
#: What may stand beside the installs when a launch is over: state, queue, a partial download, which may be a file for
#: each of a hundred entries of a manifest (files, bytes).
FILES, BYTES = 150, 1 << 20
#: The longest bundle: what is kept of a download that never ends cannot be more.
BUNDLE = 1 << 30
#: Starts that a version gets to prove itself.
ATTEMPTS = 3

#: Faults that spoil what is sent, so that no check of it can hold.
UNVERIFIABLE = frozenset(
    {
        "flip-bit",
        "short-body",
        "long-body",
        "truncated-zip",
        "wrong-checksum",
        "wrong-key",
        "wrong-session-key",
        "bad-padding",
    }
)
#: Faults after which the update may come a day later: the service asked for the wait.
A_DAY_LATER = frozenset({"http-429-seconds", "http-429-date"})
#: A name lookup cannot be ended from outside; it is left to itself, and holds up nothing (decision 2).
THREADS = {"lookup-hangs": ["capgo-lookup"]}


def is_only_late(facts: Facts) -> bool:
    """Whether nothing is wrong but the time that something took."""
    timed = ("P1 ", "P9 close() took", "P8 a launch waited")
    return bool(facts.broken) and all(text.startswith(timed) for text in facts.broken)


def judge(facts: Facts) -> list[str]:
    """Every broken promise, in words; empty for a cell that holds."""
    if facts.unavailable:
        return []
    if facts.error:
        return [f"the cell itself broke: {facts.error}"]
    broken: list[str] = []
    launches = [("fault", n, seen) for n, seen in enumerate(facts.faulty)]
    launches += [("healthy", n, seen) for n, seen in enumerate(facts.healthy)]
    for act, number, seen in launches:
        said = _launch(facts, act, seen)
        broken += [f"{promise} {text} [{act} launch {number + 1}]" for promise, text in said]
    broken += [f"{promise} {text}" for promise, text in (*_patience(facts), *_trials(facts), *_kept(facts))]
    broken += [f"{promise} {text}" for promise, text in (*_recovered(facts), *_bounded(facts))]
    return broken


def _grace(facts: Facts) -> float:
    """A tenth of a second, and twice (one waking on either side) the worst that the machine did to a sleeper."""
    return MARGIN + 2 * facts.lateness


def _launch(facts: Facts, act: str, seen: dict):
    if seen["lost"]:
        yield "P2", f"the launch was lost: {seen['lost']}"
        return
    if seen["raised"]:
        yield "P2", f"start() raised {seen['raised']}"
        return
    for _, kind, text in seen["lines"]:
        if kind == "bug":
            yield "P2", f"a bug was caught: {text}"
    if seen["killed"] and not seen["version"]:
        return  # it died before anything opened: the next launch tells
    yield from _in_time(facts, seen)
    yield from _whole(facts, act, seen)
    if seen["closed"]:
        yield from _quiet(facts, seen)
    if seen["grew"] is not None and seen["grew"] > MEMORY:
        yield "P7", f"took {seen['grew'] >> 20} MB of memory"


# ---- P1 ----


def _in_time(facts: Facts, seen: dict):
    grace, order = _grace(facts), seen["order"]
    allowed = _allowed(facts, seen)
    if seen["took"] > allowed + grace + seen["system"]:
        told = f"{allowed:g} s + {grace:.3f} s + {seen['system']:.3f} s for disk and CPU"
        yield "P1", f"start() took {seen['took']:.3f} s, allowed are {told}"
    for began, ended in seen["checks"]:
        took = None if ended is None else ended - began
        if took is None or took > order["response_timeout"] + grace:
            yield "P1", f"a check took {took} s, allowed are {order['response_timeout']:g} s + {grace:.3f} s"
    for name, took, _ in seen["by_hand"]:
        limit = order["response_timeout"] if name == "get_latest" else order["patience"]
        if took > limit + grace:
            yield "P1", f"{name}() took {took:.3f} s, allowed are {limit:g} s + {grace:.3f} s"


def _allowed(facts: Facts, seen: dict) -> float:
    """What the mode allows: the check, and a download only where one was begun."""
    order = seen["order"]
    if order["mode"] not in ("always", "onLaunch", "atInstall"):
        return AT_ONCE
    end = seen["began"] + seen["took"]
    checked = [ended for _, ended in seen["checks"] if ended is not None and ended <= end]
    downloads = any(
        "/download" in what or "attachment" in what for when, what in facts.requests if seen["began"] <= when <= end
    )
    if checked and downloads:
        return checked[0] - seen["began"] + order["direct_timeout"]
    return order["response_timeout"]


# ---- P3, P4, P6 ----


def _whole(facts: Facts, act: str, seen: dict):
    allowed = {facts.candidate, facts.offered}
    if act == "healthy":
        allowed.add(facts.wanted)
    if facts.fault == "builtin":
        allowed.add(facts.native)  # that is what the service wants
    if facts.group in ("device", "clock", "app") or facts.fault == "failed-before":
        allowed.add(facts.old)  # what was rolled back
    if facts.group == "device" or facts.app != "ready":
        allowed.add(facts.native)  # what cannot be read cannot open
    if seen["version"] not in allowed:
        yield "P4", f"{seen['version']} opened, possible are {sorted(allowed)}"
    if act == "fault" and facts.fault in UNVERIFIABLE and (seen["installed"] or seen["version"] == facts.offered):
        yield "P3", f"{facts.offered} was installed, and what was sent of it cannot be verified"
    if seen["problems"]:
        yield "P3", f"{seen['version']} is not as it was sealed: {seen['problems'][0]}"
    if seen["version"] in (*VERSIONS, FIX):
        found = seen["files"] or {}
        published = [files_of(seen["version"]), *facts.published.get(seen["version"], ())]
        differing = [sorted(n for n in {*each, *found} if each.get(n) != found.get(n)) for each in published]
        if all(differing):
            yield "P3", f"{seen['version']} is not as it was published: {', '.join(min(differing, key=len))[:200]}"


# ---- P5 ----


def _trials(facts: Facts):
    """A version gets so many starts to prove itself, and one that failed does not come back."""
    tried: dict[str, int] = {}
    for seen in facts.faulty:
        if seen["status"] == "pending":
            tried[seen["version"]] = tried.get(seen["version"], 0) + 1
    starts = {"crash": 1, "hang": 1, "stale": 1}.get(facts.app, ATTEMPTS)
    for version, count in tried.items():
        if facts.app != "ready" and count > starts:
            yield "P5", f"{version} opened {count} times without having proven itself, allowed are {starts}"
    if facts.wanted == FIX and not facts.later:
        for seen in facts.healthy:
            if seen["version"] == facts.offered:
                yield "P5", f"{facts.offered} failed here and opened again"


# ---- P8 ----


def _patience(facts: Facts):
    """Who waited in vain does not wait again."""
    first, *others = facts.faulty or [{}]
    if (
        not first
        or not others
        or facts.app != "ready"
        or first["order"]["mode"] not in ("always", "onLaunch", "atInstall")
    ):
        return
    for before, after in zip((first, *others), others, strict=False):
        in_vain = not before["killed"] and before["took"] > PATIENCE and before["version"] != facts.offered
        if in_vain and after["took"] > AT_ONCE + _grace(facts) + after["system"]:
            yield "P8", f"a launch waited {before['took']:.3f} s in vain, and the next one {after['took']:.3f} s"


def _kept(facts: Facts):
    """No trouble with the service costs an install."""
    if any(seen["version"] != facts.candidate for seen in facts.faulty):
        return  # an update opened, and what it takes the place of may go
    if facts.group in ("reaching", "answering", "meaning", "bytes") and (gone := set(facts.before) - set(facts.after)):
        yield "P8", f"installs went away: {sorted(gone)}"


def _recovered(facts: Facts):
    if not facts.arrived:
        opened = [seen["version"] for seen in facts.healthy]
        yield "P8", f"{facts.wanted} never arrived after the fault was gone; {opened} opened"
    elif facts.later and facts.fault not in A_DAY_LATER:
        yield "P8", f"{facts.wanted} arrived only a day later"
    if facts.untold and facts.group != "device":
        yield "P10", f"{len(facts.untold)} events are lost: {facts.untold[0][:200]}"


# ---- P7, P9 ----


def _bounded(facts: Facts):
    most = BUNDLE if facts.fault == "endless-body" else BYTES
    for when, disk, limit in (("the fault", facts.disk, most), ("the recovery", facts.disk_at_end, BYTES)):
        if len(disk) > FILES or sum(disk.values()) > limit:
            yield "P7", f"{len(disk)} files with {sum(disk.values())} bytes lie beside the installs after {when}"
    leftovers = [name for name in facts.disk_at_end if name.split("/")[0] in ("staging", "trash")]
    if leftovers:
        yield "P7", f"left behind after the recovery: {leftovers[:3]}"


def _quiet(facts: Facts, seen: dict):
    grace = _grace(facts)
    if seen["close_took"] > CLOSE + grace:
        yield "P9", f"close() took {seen['close_took']:.3f} s"
    if seen["threads"] and seen["threads"] != THREADS.get(facts.fault):
        yield "P9", f"threads ran on after close(): {seen['threads']}"
    left = [what.removesuffix(" (deleted)") for what in seen["left"] or []]
    leases = [what for what in left if what.endswith("/lease")]
    if others := sorted(set(left) - set(leases)):
        yield "P9", f"left open after close(): {', '.join(others)}"
    if len(leases) > 1:
        yield "P9", f"{len(leases)} leases are held after close()"
