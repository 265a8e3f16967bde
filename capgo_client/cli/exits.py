"""The exit codes of every command, and how errors become one (docs/command-line.md)."""

from __future__ import annotations

import json
import sys

from capgo_client.errors import ChannelRefused, ConfigError, ReplyError, TransferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.errors import CapgoError

__all__ = ["BAD", "EXIT_CODES", "GOOD", "INTERRUPTED", "MISUNDERSTOOD", "UNREACHED", "tell_error"]

GOOD = 0
#: A promise broke, something is damaged or not there, or what was asked for was refused.
BAD = 1
MISUNDERSTOOD = 2
#: The service gave no answer, or none that says yes or no. Never the same as "no update".
UNREACHED = 3
#: What shells say of a command that Ctrl-C ended.
INTERRUPTED = 130

#: What the service says of something that was named to it and that it does not have: asking again changes nothing.
_SAID_NO = ("channel_not_found",)

EXIT_CODES = (
    f"exit codes: {GOOD} good, {BAD} a promise broke, something is wrong, or it was refused, {MISUNDERSTOOD} the"
    f" command was not understood, {UNREACHED} the service could not be asked, {INTERRUPTED} Ctrl-C"
)


def tell_error(exc: CapgoError, *, as_json: bool) -> int:
    """Print what went wrong and what to do; return the exit code. A mistake is a sentence, also under ``--json``."""
    code = _code_of(exc)
    if as_json and code != MISUNDERSTOOD:
        document = {"ok": False, "code": exc.code, "problem": exc.message, "hint": exc.hint}
        sys.stdout.write(f"{json.dumps(document)}\n")
    else:
        sys.stderr.write(f"capgo-client: {exc.code}: {exc}\n")
    return code


def _code_of(exc: CapgoError) -> int:
    if isinstance(exc, ConfigError):
        return MISUNDERSTOOD
    said_no = isinstance(exc, ChannelRefused) or exc.code in _SAID_NO
    return UNREACHED if isinstance(exc, (TransferError, ReplyError)) and not said_no else BAD
