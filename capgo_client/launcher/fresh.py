"""The same process start once more, by a fresh interpreter: the modules of a version that crashed are gone with it."""

from __future__ import annotations

import contextlib
import os
import sys

from capgo_client.errors import CapgoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MARK", "FreshStart"]

#: In the environment of an interpreter that was started anew after a crash; taken out before any child could see it.
MARK = "CAPGO_CLIENT_STARTED_ANEW"
#: Windows can only start another process; elsewhere this one becomes another program.
_BECOMES_ANOTHER = os.name != "nt"


class FreshStart:
    """How this process was started: noted before a bundle's code could change any of it."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        #: Whether a crash in this very process start has led here.
        self.is_second = self._environment.pop(MARK, "") != ""
        os.environ.pop(MARK, None)
        self._folder = _folder()
        self._command = _command()

    @property
    def obstacle(self) -> str:
        """Why there can be no other interpreter; empty where there can be."""
        if hasattr(sys, "getandroidapilevel") or sys.platform in ("ios", "tvos", "watchos", "emscripten", "wasi"):
            return "this system starts apps by itself"
        if "_pytest" in sys.modules:
            return "this process runs tests"
        return "" if self._command else "it is not known how this interpreter was started"

    def go(self, *, after_crash: bool) -> int:
        """Become the fresh interpreter. Returns only on Windows, with the exit code of the one that was started.

        Raises:
            CapgoError: ``restart_impossible``.
        """
        if self.obstacle:
            raise CapgoError(
                f"no fresh interpreter can be started: {self.obstacle}",
                code="restart_impossible",
                hint="the version that was chosen opens when the app is started the next time",
            )
        environment = self._environment | ({MARK: "1"} if after_crash else {})
        if hasattr(sys, "_MEIPASS"):  # a one-file app of PyInstaller unpacks itself anew, instead of sharing our files
            environment["PYINSTALLER_RESET_ENVIRONMENT"] = "1"
        _flush()
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        try:
            if not _BECOMES_ANOTHER:
                return _in_child(self._command, environment)
            os.execve(self._command[0], self._command, environment)  # noqa: S606 - what started this process
        except OSError as exc:
            raise CapgoError(
                f"no fresh interpreter could be started: {exc.strerror}", code="restart_impossible"
            ) from exc


def _folder() -> str:
    """Where this process is; empty where that folder is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _command() -> list[str]:
    """The command line of this process; empty where it is not known, as in an interpreter inside another program."""
    if not sys.executable:
        return []
    if getattr(sys, "frozen", False):
        return [sys.executable, *sys.argv[1:]]
    given = sys.orig_argv[1:]
    return [sys.executable, *given] if given and _can_be_read_again() else []


def _can_be_read_again() -> bool:
    """Whether what this interpreter was given to run is there once more: what came through a pipe is not."""
    place = getattr(sys.modules.get("__main__"), "__file__", None) or "<nowhere>"
    if place.startswith("<"):
        return sys.argv[:1] == ["-c"]  # else it was typed, or came from standard input
    # What is not there lies in a zip.
    return os.path.isfile(place) or os.path.isdir(place) or not os.path.exists(place)


def _in_child(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run it to its end. Ctrl-C reaches it as well, and it decides what that means."""
    import subprocess

    child = subprocess.Popen(command, env=environment)  # noqa: S603 - what started this process
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return child.wait()


def _flush() -> None:
    """What was printed and logged: nothing in this interpreter gets another chance."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    logging = sys.modules.get("logging")
    if logging is not None:
        with contextlib.suppress(Exception):
            logging.shutdown()
