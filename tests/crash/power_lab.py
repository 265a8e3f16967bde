"""Run in a process of its own: records a story on the disk of ``power_disk``, cuts the power at every call, and looks.

Reads an order (JSON) from its input and prints what came of it (JSON). Everything is imported once; lives run in
forks, the first looks in this process, for they start no network.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from power_lives import KILLED, Life, healthy, live
from power_model import Fate, Platter
from power_mutations import MUTATIONS
from power_recording import MarkingFiles, recorded, site_of
from power_rules import Found, Promises, broken, look

# Loaded before the first fork, or each life would load them again.
import capgo_client.arrival
import capgo_client.manual
import capgo_client.net.client
import capgo_client.stats.round
import capgo_client.stats.sender
import capgo_client.upkeep
from capgo_client.seams import Files
from capgo_client.stats.lines import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from power_log import Entry
    from power_model import Image

#: Where the data directory lies on the recording disk.
DATA = "home/data"
_PATIENCE = 10.0


def in_a_fork(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, done in a process of its own; what it raises as {"raised": text}."""
    _let_threads_end()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            told = json.dumps(work())
        except BaseException as exc:
            told = json.dumps({"raised": repr(exc)})
        with os.fdopen(write, "w") as pipe:
            pipe.write(told)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(told) if code != KILLED else ""


def _let_threads_end() -> None:
    end = time.monotonic() + _PATIENCE
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(max(0.0, end - time.monotonic()))


class Lab:
    """One story on one kind of disk."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self.name = order["name"]
        self._common = order["common"]
        self._folder = Path(order["folder"])
        self._images = Path(order["images"])
        self._count = 0
        self._found: dict[object, Found] = {}

    # ---- what happened ----

    def record(self) -> list[Entry]:
        """The prelude on a real disk, then the story on the recording one."""
        template = None
        if self._order["prelude"]:
            template = self._folder / "template"
            for life in self._order["prelude"]:
                self._run(Life(**life), template, Files(), lambda text: None)
        return recorded(self._folder, self._story, whole=self._order["whole"], template=template)

    def _story(self, data: Path, files: MarkingFiles) -> None:
        for each in self._order["lives"]:
            life = Life(**each)
            for name in ("may", "final"):
                if getattr(life, name):
                    files.mark(f"{name} {getattr(life, name)}")
            files.mark(f"stage {life.stage}")
            self._run(life, data, files, files.mark)
        files.mark("end")

    def _run(self, life: Life, data: Path, files: Files, mark: Callable[[str], None]) -> None:
        def work() -> str:
            capgo_client.stats.sender.COALESCE = 0.01  # the statistics need not wait for more of them,
            capgo_client.stats.round.MAX_BATCH = 25  # and have several batches to go in
            MUTATIONS[self._order.get("mutation", "")]()
            live(life, self._common, data, files, mark)
            return ""

        said = in_a_fork(work)
        if said:
            raise RuntimeError(f"the life {life.stage!r} did not go well: {said}")

    # ---- what may be left of it ----

    def cuts(self, log: list[Entry], *, without: str = "") -> Iterator[tuple[int, Platter, Promises, str]]:
        """Each point at which the power can go: after each call and each promise, from the beginning on.

        ``without`` names a place whose flushes are not made.
        """
        platter, promises, stage, begun, left_out = Platter(), Promises(), "", False, False
        for number, entry in enumerate(log):
            if entry.kind == "mark":
                left_out = bool(without) and site_of(entry) == without
                if entry.name == "begin":
                    platter.flush_all()
                    promises.kept = self._waiting(platter)
                    begun = True
                elif entry.name.startswith("stage "):
                    stage = entry.name[6:]
                elif not promises.take(entry.name):
                    continue
            elif left_out and entry.kind in ("fsync", "syncfs"):
                left_out = False
            else:
                platter.follow(entry)
            if begun and stage:
                yield number, platter, promises, stage

    def _waiting(self, platter: Platter) -> frozenset[str]:
        content = platter.image(Fate(0)).names().get(f"{DATA}/stats/events") or b""
        return frozenset(entry.id.decode() for entry in parse(content).entries)

    def seen(self, image: Image) -> Found:
        """The first look, once for each image."""
        found = self._found.get(image.items)
        if found is None:
            place = self._write(image)
            found = self._found[image.items] = look(place / DATA, self._common)
            remove(place)
        return found

    def _write(self, image: Image) -> Path:
        self._count += 1
        place = self._images / f"{self._count}"
        image.write_to(place)
        (place / DATA).parent.mkdir(exist_ok=True)
        return place

    def lives_after(self, image: Image) -> list[dict[str, Any]]:
        """Two healthy lives, one after the other."""
        place = self._write(image)
        try:
            return [
                in_a_fork(lambda: healthy(self._common, place / DATA, Files(), **self._order["after"]))
                for _ in range(2)
            ]
        finally:
            remove(place)


def cut_everywhere(lab: Lab, order: dict[str, Any], log: list[Entry]) -> dict[str, Any]:
    """Every cut with every seed."""
    points: Counter[str] = Counter()
    images: dict[object, tuple[Image, frozenset[str], str]] = {}
    failures: list[str] = []
    pairs = 0
    for number, platter, promises, stage in lab.cuts(log):
        points[stage] += 1
        for seed in range(order["seeds"]):
            image = platter.image(Fate(seed, salt=f"{lab.name} {number}"))
            pairs += 1
            where = f"cut {number} ({stage}), seed {seed}"
            failures += [f"{where}: {each}" for each in broken(lab.seen(image), promises)]
            images.setdefault((image.items, promises.final), (image, promises.final, where))
    chosen = sampled(list(images.values()), order["lives_after"])
    for image, final, where in chosen:
        failures += [f"{where}: {each}" for each in ill_ended(lab.lives_after(image), final)]
    return {
        "points": points, "seeds": order["seeds"], "pairs": pairs, "images": len(images), "lives": len(chosen),
        "failures": failures,
    }  # fmt: skip


def sampled(items: list[Any], most: int) -> list[Any]:
    """At most so many, spread evenly."""
    step = max(1.0, len(items) / most) if most else 0
    return [items[int(index * step)] for index in range(min(most, len(items)))] if most else []


def ill_ended(lives: list[dict[str, Any]], final: frozenset[str]) -> list[str]:
    """What two healthy lives should have brought and did not."""
    wrong = [f"a healthy life raised {life['raised']}" for life in lives if "raised" in life]
    if wrong:
        return wrong
    wrong += [f"a healthy life opened a damaged bundle: {life['problems']}" for life in lives if life["problems"]]
    wrong += ["the cycle of a healthy life did not end" for life in lives if not life["over"]]
    last = lives[-1]
    if last["version"] not in final:
        wrong.append(f"{last['version']} runs in the end, not one of {sorted(final)}")
    if last["left"]:
        wrong.append(f"left lying about: {last['left']}")
    return wrong


def without_each(lab: Lab, order: dict[str, Any], log: list[Entry]) -> dict[str, Any]:
    """Leave out the flushes of one place after the other: the first thing that goes wrong then, empty where nothing.

    ``sound`` is what goes wrong with all of them made, at the same seeds. Places in ``passed_over`` are not tried.
    """
    sites, seeds = {}, set()
    for site in sorted({site_of(entry) for entry in log} - {""}):
        if re.sub(r":\d+ ", " ", site) in order["passed_over"]:
            continue
        sites[site], seed = first_failure(lab, order["mutant_seeds"], log, without=site)
        seeds.add(seed)
    return {"sound": first_failure(lab, sorted(seeds), log, without="")[0], "sites": sites}


def sound(lab: Lab, order: dict[str, Any], log: list[Entry]) -> dict[str, Any]:
    """The first thing that goes wrong with all flushes made."""
    return {"sound": first_failure(lab, order["mutant_seeds"], log, without="")[0]}


def first_failure(lab: Lab, seeds: list[int], log: list[Entry], *, without: str) -> tuple[str, int]:
    """What it was, and at which seed; seed by seed, because the extremes find most."""
    for seed in seeds:
        for number, platter, promises, stage in lab.cuts(log, without=without):
            image = platter.image(Fate(seed, salt=f"{lab.name} {number}"))
            for wrong in broken(lab.seen(image), promises):
                return f"cut {number} ({stage}), seed {seed}: {wrong}", seed
    return "", seeds[0]


def remove(place: Path) -> None:
    """A folder with all that is in it, writable or not."""
    for folder, _, _ in os.walk(place):
        if not os.lstat(folder).st_mode & stat.S_IWUSR:
            os.chmod(folder, 0o700)
    shutil.rmtree(place)


def main() -> None:
    """Do what the order says."""
    logging.disable(logging.CRITICAL)
    order = json.loads(sys.stdin.read())
    lab = Lab(order)
    began = time.monotonic()
    log = lab.record()
    took = time.monotonic() - began
    done = {"cut": cut_everywhere, "mutants": without_each, "sound": sound}[order["task"]](lab, order, log)
    calls = Counter(entry.kind for entry in log)
    print(json.dumps({**done, "recording": took, "took": time.monotonic() - began, "calls": calls}))


if __name__ == "__main__":
    main()
