"""The stage that the demo plays on: a service, a device, launches in processes of their own, and the printed timeline.

What happens is told in ``demo.py``; here is how.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import capgo_client
from capgo_client.testing import BundleKeys, MadeBundle, Service, make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

__all__ = ["PROMISES", "Chapter", "Check", "Launch", "PromiseBrokenError", "Seen", "Stage", "Step"]

HELLO = Path(__file__).resolve().parent / "hello"

#: The promises that the demo checks, in the words of the README.
PROMISES = {
    "P1": "Never late",
    "P2": "Never raises on the world",
    "P3": "Only verified code",
    "P4": "Whole or not at all",
    "P5": "A bad version does not come back",
    "P6": "No key, no code",
    "P8": "Service gone, plan ended: business as usual",
    "P9": "Leaves quietly",
}

#: No launch of the demo takes longer; one that does hangs (seconds).
LAUNCH_TIMEOUT = 30.0
TEXT_COLUMN = 38
WIDTH = 118


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of the app.

    ``stay``: seconds that it stays open for its check, at most; ``kill_on``: the request that it does not survive.
    """

    mode: str = "atBackground"
    stay: float = 10.0
    kill_on: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one launch did.

    ``said`` is what the app's own code printed, ``seconds`` how long ``start()`` took, ``leaving`` how long it was from
    the end of the app to the end of its process. ``asked_first``: a request came before ``start()`` was over.
    """

    opened: str
    said: str
    seconds: float
    folder: Path
    exit_code: int
    error: str
    explain: dict[str, Any]
    checks: int
    downloads: int
    leaving: float
    asked_first: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, what it means here (``{seen.…}`` puts in what was measured), and how to see whether it held."""

    promise: str
    claim: str
    holds: Callable[[Seen, Stage], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """Something changes in the world (``who`` and ``what`` tell), then perhaps the app is launched and looked at."""

    who: str = ""
    what: str = ""
    act: Callable[[Stage], object] | None = None
    launch: Launch | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the story."""

    title: str
    steps: tuple[Step, ...]


class PromiseBrokenError(Exception):
    """A check did not hold."""


@dataclass(slots=True)
class Stage:
    """The world of the demo. As a context manager it cleans up behind itself."""

    folder: Path
    service: Service = field(default_factory=Service)
    keys: BundleKeys = field(default_factory=BundleKeys.generate)
    bundles: dict[str, MadeBundle] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    launches: int = 0
    began: float = field(default_factory=time.monotonic)
    _holder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def set_up(cls) -> Self:
        """A fresh device in a temporary folder, and a running service that offers nothing yet."""
        holder = tempfile.TemporaryDirectory(prefix="capgo-demo-", dir=_quiet_place())
        stage = cls(Path(holder.name), _holder=holder)
        (stage.folder / "public.pem").write_text(stage.keys.public_pem, "utf-8")
        stage.service.start()
        return stage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        if self._holder is not None:
            self._holder.cleanup()

    # ---- what can be done to the world ----

    def publish(self, version: str, *, bug: str = "", signed: bool = True) -> None:
        """Point the channel at a version of hello; ``bug`` is put in front of its main.py."""
        files = {path.name: path.read_text("utf-8") for path in (HELLO / "app").glob("*.py")}
        files["greeting.py"] = files["greeting.py"].replace("1.0.0", version)
        files["main.py"] = bug + files["main.py"]
        bundle = make_bundle(version, files, keys=self.keys if signed else None)
        self.bundles[version] = bundle
        self.service.publish(bundle)

    def fault(self, name: str, *, on: str = "updates", **options: Any) -> None:
        """Have the service misbehave in this one way from now on."""
        self.service.clear_faults()
        self.service.set_fault(name, on=on, **options)

    def recover(self) -> None:
        """The service is up and behaves."""
        self.service.clear_faults()
        self.service.start()

    # ---- what can be seen of it ----

    def is_as_published(self, seen: Seen) -> bool:
        """Whether the opened folder holds the very files of the publisher (and what Python caches beside them)."""
        found = {p.relative_to(seen.folder).as_posix(): p.read_bytes() for p in seen.folder.rglob("*") if p.is_file()}
        found = {name: data for name, data in found.items() if "__pycache__" not in name}
        return found == dict(self.bundles[seen.opened].files)

    # ---- launching ----

    def launch(self, launch: Launch) -> Seen:
        """Start the app in a process of its own and watch it to its end."""
        self.launches += 1
        report = self.folder / f"launch-{self.launches}.json"
        checks, downloads, requests = (
            len(self.service.checks),
            len(self.service.downloads),
            len(self.service.requests),
        )
        process = subprocess.Popen(
            self._command(launch, report),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=_environment(),
        )
        try:
            if launch.kill_on:
                with contextlib.suppress(TimeoutError):  # the checks tell that it never came
                    self.service.wait_for_requests(downloads + 1, LAUNCH_TIMEOUT, on=launch.kill_on)
                process.kill()
            output, errors = process.communicate(timeout=LAUNCH_TIMEOUT)
        except subprocess.TimeoutExpired as exc:
            raise PromiseBrokenError(
                f"P9 ({PROMISES['P9']})\n  seen: the app's process still runs after {LAUNCH_TIMEOUT:g} s"
            ) from exc
        finally:
            process.kill()
        ended = time.monotonic()
        facts = json.loads(report.read_text("utf-8")) if report.exists() else {}
        return Seen(
            opened=facts.get("version", "nothing"),
            said=next((line for line in output.splitlines() if line.startswith("Hello")), ""),
            seconds=facts.get("seconds", float("inf")),
            folder=Path(facts.get("path", "")),
            exit_code=process.returncode,
            error=(errors.strip().splitlines() or [""])[-1],
            explain=facts.get("explain", {}),
            checks=len(self.service.checks) - checks,
            downloads=len(self.service.downloads) - downloads,
            leaving=ended - facts.get("left_at", ended),
            asked_first=any(r.time < facts.get("started_at", ended) for r in self.service.requests[requests:]),
        )

    def _command(self, launch: Launch, report: Path) -> list[str]:
        options = {
            "--service": self.service.url,
            "--public-key": self.folder / "public.pem",
            "--data-dir": self.folder / "device",
            "--mode": launch.mode,
            "--stay": launch.stay,
            "--report": report,
        }
        return [sys.executable, str(HELLO / "start.py"), *(str(part) for item in options.items() for part in item)]

    # ---- playing ----

    def play(self, chapter: Chapter) -> None:
        """Do one chapter, print it, and stop at the first promise that does not hold.

        Raises:
            PromiseBrokenError: one did not.
        """
        print(f"\n{paint(chapter.title, '1')}")
        for step in chapter.steps:
            if step.act is not None:
                step.act(self)
            if step.what:
                _print(step.what, f"{self.elapsed:5.1f} s  {step.who}")
            if step.launch is not None:
                began = self.elapsed
                seen = self.launch(step.launch)
                self._tell(seen, step.launch, began)
                for check in step.checks:
                    self._verify(check, seen)

    def _tell(self, seen: Seen, launch: Launch, began: float) -> None:
        said = f'says "{seen.said}"' if seen.said else "says nothing"
        if launch.kill_on:
            said += ", and then its process is killed"
        elif seen.exit_code:
            said += f", and crashes: {seen.error}"
        _print(said, f"{began:5.1f} s  app", seen.opened, f"{seen.seconds:.3f} s")
        if seen.explain:
            _print(seen.explain["why"], "           why")
            _print(seen.explain["result"] or "none came to an end while the app was open", "           check")

    def _verify(self, check: Check, seen: Seen) -> None:
        claim = check.claim.format(seen=seen)
        if check.holds(seen, self):
            self.kept[check.promise] = self.kept.get(check.promise, 0) + 1
            _print(claim, f"           {paint('kept', '32')} {check.promise}")
            return
        _print(claim, f"         {paint('BROKEN', '1;31')} {check.promise}")
        raise PromiseBrokenError(
            f"{check.promise} ({PROMISES[check.promise]})\n"
            f"  expected: {claim}\n"
            f"  seen: opened {seen.opened}, said {seen.said!r}, start() took {seen.seconds:.3f} s, {seen.checks}"
            f" update checks, {seen.downloads} download requests, exit code {seen.exit_code}, process gone"
            f" {seen.leaving:.3f} s after the app's end\n"
            f"  explain(): {seen.explain}\n"
            f"  last line on stderr: {seen.error!r}"
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the stage was set up."""
        return time.monotonic() - self.began


def _quiet_place() -> str | None:
    """Memory where there is such a folder: the times that are shown are the client's, not those of a busy disk."""
    memory = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
    return memory if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) else None


def _environment() -> dict[str, str]:
    """Ours, without what would change the story; a child finds the library where we found it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("CAPGO_CLIENT_")
    }
    places = [*filter(None, [kept.get("PYTHONPATH")]), str(Path(capgo_client.__file__).parents[1])]
    return kept | {"PYTHONPATH": os.pathsep.join(places), "PYTHONIOENCODING": "utf-8"}


def _print(text: str, left: str, version: str = "", seconds: str = "") -> None:
    """One entry of the timeline; ``left`` may be coloured, so its width is counted without that."""
    plain = re.sub("\x1b.*?m", "", left)
    columns = f"{left}{' ' * (19 - len(plain))} {version:<8} {seconds:>8}"
    for line in textwrap.wrap(text, WIDTH - TEXT_COLUMN) or [""]:
        print(f"{columns} {line}" if columns else f"{'':<{TEXT_COLUMN}}{line}", flush=True)
        columns = ""


def paint(text: str, code: str) -> str:
    """Colour for a terminal; plain text for everything else, and where NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.name == "nt":
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
