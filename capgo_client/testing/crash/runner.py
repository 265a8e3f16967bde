"""Has lives lived in processes of their own, kills some of them, and tells what became of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import capgo_client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["CAN_FORK", "KILLING", "Lived", "Runner"]

CAN_FORK = hasattr(os, "fork")
#: The file system that ends the process: ``{"make": KILLING, "with": {"nth": 7}}``.
KILLING = "capgo_client.testing.crash.lives:KillingFiles"


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of a life: its exit code (negative: by that signal), what it said, what it told at its end."""

    exit: int
    said: tuple[str, ...]
    told: Mapping[str, Any] | None

    @property
    def ended(self) -> bool:
        """Whether it came to its own end."""
        return self.told is not None

    @property
    def raised(self) -> str:
        """What came out of it that should not have; empty where nothing did."""
        return str((self.told or {}).get("raised", ""))


class Runner:
    """Makes the processes. Use it as a context manager. One life at a time; for more at once take more of them.

    ``path`` are folders with modules of the caller's own that an order names.
    """

    def __init__(self, *, path: tuple[Path, ...] = ()) -> None:
        self._path = path
        self._process: subprocess.Popen[str] | None = None

    def live(
        self,
        options: Mapping[str, Any],
        *,
        operation: str = "",
        files: Mapping[str, Any] | None = None,
        kill_after: float | None = None,
        life: str = "",
    ) -> Lived:
        """One life with these options of ``Updater``: an operation by its name, or else a healthy one.

        Args:
            options: Of the Updater, as JSON can carry them.
            operation: One of ``OPERATIONS``.
            files: The file system: ``{"make": "module:Class", "with": {...}}``.
            kill_after: Kill it after so many seconds.
            life: What lives it instead of ``lives.lived``, as ``module:function``.

        Raises:
            RuntimeError: The process that makes the lives is gone.
        """
        order = json.dumps(
            {"options": options, "operation": operation, "files": files, "kill_after": kill_after, "life": life}
        )
        if not CAN_FORK:
            return self._spawn(order, kill_after)
        process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(order + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that makes the lives is gone; what it said stands above")
        found = json.loads(answer)
        return _lived(found["exit"], found["lines"])

    def _begin(self) -> subprocess.Popen[str]:
        self._process = self._popen()
        return self._process

    def _popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "capgo_client.testing.crash.lives", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )

    def _spawn(self, order: str, kill_after: float | None) -> Lived:
        process = self._popen("--once")
        try:
            out, _ = process.communicate(order + "\n", timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        lines = [json.loads(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
        return _lived(process.returncode, lines)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        kept.pop("CAPGO_CLIENT_FORCE_BUILTIN", None)
        root = Path(capgo_client.__file__).parents[1]
        paths = [str(path) for path in (*self._path, root)]
        return {**kept, "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [kept.get("PYTHONPATH")])])}

    def close(self) -> None:
        """End the process. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lived(code: int, lines: list[Any]) -> Lived:
    told = lines[-1] if lines and isinstance(lines[-1], dict) else None
    return Lived(code, tuple(line for line in lines if isinstance(line, str)), told)
