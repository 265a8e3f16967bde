"""The stage that the demo plays on: a service, a device, launches in processes of their own, and the printed timeline.

What happens is told in ``demo.py``; here is how.
"""

from __future__ import annotations

import contextlib
import json
import os
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
TEXT_COLUMN = 41
WIDTH = 118


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of the app. ``stay``: seconds that it stays open for its check, at most; ``kill_on`` names the
    request that the process does not survive.
    """

    mode: str = "atBackground"
    stay: float = 10.0
    kill_on: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one launch did. ``said`` is what the app's own code printed, ``seconds`` how long ``start()`` took,
    ``leaving`` from the end of the app to the end of its process.
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


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, what it means here, and how to see whether it held."""

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
        holder = tempfile.TemporaryDirectory(prefix="capgo-demo-")
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
        checks, downloads = len(self.service.checks), len(self.service.downloads)
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
            raise PromiseBrokenError(f"P9 ({PROMISES['P9']}): the process still runs after {LAUNCH_TIMEOUT:g} s") from exc
        finally:
            process.kill()
        ended = time.time()
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
                self._line(step.who, "", "", step.what)
            if step.launch is not None:
                seen = self.launch(step.launch)
                self._tell(seen, step.launch)
                for check in step.checks:
                    self._verify(check, seen)

    def _tell(self, seen: Seen, launch: Launch) -> None:
        mode = "" if launch.mode == "atBackground" else f" (mode {launch.mode!r})"
        self._line("app", seen.opened, f"{seen.seconds:.3f} s", f"says {seen.said!r}{mode}" if seen.said else "opens")
        if seen.exit_code < 0 or launch.kill_on:
            _more("then its process is killed")
        elif seen.exit_code:
            _more(f"then it crashes: {seen.error}")
        if seen.explain:
            result = seen.explain["result"]
            _more(f"why it opened: {seen.explain['why']}")
            _more(f"update check: {result}" if result else "update check: none came to an end while the app was open")

    def _verify(self, check: Check, seen: Seen) -> None:
        if check.holds(seen, self):
            self.kept[check.promise] = self.kept.get(check.promise, 0) + 1
            _more(f"{paint('kept', '32')} {check.promise} {check.claim}")
            return
        _more(f"{paint('BROKEN', '1;31')} {check.promise} {check.claim}")
        raise PromiseBrokenError(
            f"{check.promise} ({PROMISES[check.promise]}): not true that {check.claim}. Seen: opened {seen.opened},"
            f" said {seen.said!r}, start() {seen.seconds:.3f} s, {seen.checks} update checks, {seen.downloads} download"
            f" requests, exit code {seen.exit_code}, process gone {seen.leaving:.3f} s after the app's end,"
            f" explain() {seen.explain}"
        )

    def _line(self, who: str, opened: str, seconds: str, text: str) -> None:
        elapsed = f"{time.monotonic() - self.began:5.1f} s"
        _print(f"{elapsed}  {who:<9} {opened:<8} {seconds:>7}", text)


def _environment() -> dict[str, str]:
    """Ours, without what would change the story; a child finds the library where we found it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("CAPGO_CLIENT_")
    }
    places = [*filter(None, [kept.get("PYTHONPATH")]), str(Path(capgo_client.__file__).parents[1])]
    return kept | {"PYTHONPATH": os.pathsep.join(places), "PYTHONIOENCODING": "utf-8"}


def _more(text: str) -> None:
    _print("", text)


def _print(columns: str, text: str) -> None:
    lines = textwrap.wrap(text, WIDTH - TEXT_COLUMN, subsequent_indent="  ") or [""]
    for number, line in enumerate(lines):
        print(f"{columns if number == 0 else '':<{TEXT_COLUMN}}{line}".rstrip(), flush=True)


def paint(text: str, code: str) -> str:
    """Colour for a terminal; plain text for everything else, and where NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.name == "nt":
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
