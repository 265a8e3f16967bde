"""The logger of the modules that every launch imports: the standard one, as soon as somebody wants logs at all.

``import logging`` costs as much as ``json``, on every launch. Until some part of the process has imported it nobody can
have asked for a record, and ours would be dropped (decision 18: silent by default). Other modules use ``logging``.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["DEBUG", "ERROR", "INFO", "WARNING", "Log"]

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

#: From the caller's line to ``Logger.log``: ``warning()``, ``log()``.
_DEPTH = 3


class Log:
    """Hands each record to ``logging.getLogger(name)``, which is looked for anew each time."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, message: str, *args: object, exc_info: bool = False) -> None:
        """For whoever looks for a bug."""
        self._tell(DEBUG, message, args, exc_info=exc_info)

    def info(self, message: str, *args: object) -> None:
        """What happened, one line for each outcome."""
        self._tell(INFO, message, args)

    def warning(self, message: str, *args: object) -> None:
        """Something is not as it should be; the app opens all the same."""
        self._tell(WARNING, message, args)

    def error(self, message: str, *args: object) -> None:
        """Somebody has to do something."""
        self._tell(ERROR, message, args)

    def exception(self, message: str, *args: object) -> None:
        """As ``error``, with the exception that is being handled."""
        self._tell(ERROR, message, args, exc_info=True)

    def log(self, level: int, message: str, *args: object) -> None:
        """At a level that is computed."""
        self._tell(level, message, args)

    def _tell(self, level: int, message: str, args: tuple[object, ...], *, exc_info: bool = False) -> None:
        logging = sys.modules.get("logging")
        if logging is None or not hasattr(logging, "captureWarnings"):  # its last name: another thread is importing it
            return
        _be_silent(logging)
        logger = logging.getLogger(self._name)
        if logger.isEnabledFor(level):
            logger.log(level, message, *args, exc_info=exc_info or None, stacklevel=_DEPTH)


def _be_silent(logging: ModuleType) -> None:
    """Without a handler of ours Python itself would write our warnings to stderr where the app sets up none."""
    root = logging.getLogger("capgo_client")
    if not any(isinstance(handler, logging.NullHandler) for handler in root.handlers):
        root.addHandler(logging.NullHandler())
