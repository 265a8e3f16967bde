"""The faults of a service that runs: how it answers, what it says, and the bytes that it sends.

Each has ``perform``, so that ``Service.set_fault`` takes it; ``faults`` has the whole list.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from . import meanings, repacking
from . import misbehaviour as act
from . import spoiling as spoil
from .arranging import Fault
from .cases import CASES
from .hostile import HOSTILE_ARCHIVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .arranging import Setting
    from .chance import Chance
    from .stage import Stage

__all__ = ["ANSWERING", "BYTES", "MEANING"]


def _status(code: int, text: str) -> Fault:
    return Fault(f"http-{code}", "answering", f"Status {code}: {text}.", perform=partial(act.status, code=code))


def _any(name: str, description: str, perform: Callable[..., bool], probability: float | None = None) -> Fault:
    return Fault(name, "answering", description, "any", perform, probability)


def _reply(name: str, description: str, perform: Callable[..., bool]) -> Fault:
    return Fault(name, "answering", description, "updates", perform)


def _bytes(name: str, description: str, perform: Callable[..., bool]) -> Fault:
    return Fault(name, "bytes", description, "download", perform)


def _offer(name: str, description: str, perform: Callable[..., bool]) -> Fault:
    return Fault(name, "bytes", description, "updates", perform)


def _meaning(name: str, description: str, perform: Callable[..., bool], where: str = "updates") -> Fault:
    return Fault(name, "meaning", description, where, perform)


def _after(name: str, prepare: Callable[..., AbstractContextManager[object]], *, spent: int = 0) -> Setting:
    """On a stage: the fault of the service, and something prepared for it that takes the first ``spent`` requests."""

    @contextmanager
    def setting(stage: Stage, chance: Chance, **options: Any) -> Iterator[None]:
        drawn: dict[str, Any] = {
            "nth": chance.nth and chance.nth + spent,
            "times": chance.times and chance.times + spent,
        }
        odds: dict[str, Any] = {"probability": chance.probability, "seed": chance.seed}
        # What is prepared is set last, so that it goes first.
        with stage.service.fault(name, **drawn, **odds, **options), prepare(stage, **options):
            yield

    return setting


def _broken_off(stage: Stage, **_: Any) -> AbstractContextManager[object]:
    """A range is asked for only where a download broke off, so the first one does."""
    return stage.service.fault("cut-body", on="download", times=1)


def _signed_before(stage: Stage, **_: Any) -> AbstractContextManager[object]:
    """A hundred signatures take longer than a device waits for an answer."""
    if stage.service.newest is not None:
        repacking.sign_the_hundred(stage.service.newest)
    return nullcontext()


def _made_before(stage: Stage, *, case: str = "traversal") -> AbstractContextManager[object]:
    """The largest archives take a while to make, and are remembered."""
    del stage
    if case not in HOSTILE_ARCHIVES:
        raise ValueError(f"{case!r} is no hostile archive; they are: {', '.join(HOSTILE_ARCHIVES)}")
    HOSTILE_ARCHIVES[case]()
    return nullcontext()


def _ranged(name: str, description: str, perform: Callable[..., bool]) -> Fault:
    return Fault(name, "bytes", description, "download", perform, setting=_after(name, _broken_off, spent=1))


_TRANSPORT = (
    _any("silence", "Takes the request and never answers.", act.silence),
    _any("drip-headers", "Sends the headers one byte a second.", act.drip_headers),
    _any("drip-body", "Sends the body one byte a second.", act.drip_body),
    _any("endless-headers", "Never stops sending headers.", act.endless_headers),
    _any("endless-body", "Never stops sending the body.", act.endless_body),
    _any("reset-before-headers", "Resets the connection after the request.", act.reset_before_headers),
    _any("reset-in-headers", "Resets the connection in the middle of the headers.", act.reset_in_headers),
    _any("reset-after-headers", "Resets the connection between headers and body.", act.reset_after_headers),
    _any("reset-in-body", "Resets the connection in the middle of the body.", act.reset_in_body),
    _any("stall-in-headers", "Falls silent in the middle of the headers.", act.stall_in_headers),
    _any("stall-in-body", "Falls silent in the middle of the body, as when the route is gone.", act.stall_in_body),
    _any("cut-body", "Closes before the announced Content-Length is reached.", act.cut_body),
    _any("empty-reply", "Closes without sending a byte.", act.empty_reply),
)

_STATUSES = (
    _status(400, "the request is wrong"),
    _status(401, "not authorised"),
    _status(403, "forbidden, as by a firewall"),
    _status(404, "nothing there"),
    _status(408, "the request took too long"),
    _status(410, "gone for good"),
    _status(413, "the request is too large"),
    _status(429, "asked too often; retry_after is seconds, a datetime, or any text"),
    _any("http-429-seconds", "Status 429 with Retry-After in seconds.", partial(act.status, code=429, retry_after=600)),
    _any("http-429-date", "Status 429 with Retry-After as a date.", partial(act.soon, code=429)),
    _any(
        "http-429-nonsense",
        "Status 429 with a Retry-After that says nothing.",
        partial(act.status, code=429, retry_after="soon, perhaps"),
    ),
    _status(451, "blocked for legal reasons"),
    _status(500, "the service failed"),
    _status(501, "not implemented"),
    _status(502, "the gateway got nonsense"),
    _status(503, "unavailable; retry_after as for 429"),
    _status(504, "the gateway waited in vain"),
    _status(505, "HTTP version refused"),
    _status(507, "the service's storage is full"),
    _status(520, "the network in front of the service failed"),
    Fault("random-500", "answering", "Status 500, half of the time.", "any", partial(act.status, code=500), 0.5),
    Fault("random-500-99", "answering", "Status 500, 99 times of 100.", "any", partial(act.status, code=500), 0.99),
    _any("redirect-loop", "Redirects to itself, for ever.", act.redirect_loop),
    _any(
        "redirect-to-http",
        "Redirects to plain http on another host name.",
        partial(act.redirect_to, location="http://updates.example.invalid/updates"),
    ),
    _any(
        "redirect-to-other-scheme",
        "Redirects to a scheme that is not the web's.",
        partial(act.redirect_to, location="file:///etc/hostname"),
    ),
)

_ANSWERS = (
    _any("html-200", "A captive portal's page, with status 200.", spoil.html_200),
    _any("not-json", "Status 200, and the body is not JSON.", spoil.not_json),
    _any("truncated-json", "Status 200, and the JSON ends too early.", spoil.truncated_json),
    _any("empty-body", "Status 200 without a body.", spoil.empty_body),
    _any("huge-json", "A gigabyte of valid JSON.", spoil.huge_json),
    _any("gzip-bomb", "A megabyte that unpacks to a gigabyte of valid JSON.", spoil.gzip_bomb),
    _any("deep-json", "JSON nested a hundred thousand times.", spoil.deep_json),
    _reply("wrong-types", "The right keys with values of the wrong type, all of them or one.", spoil.wrong_types),
    _reply("wrong-type", "One key with a value of the wrong type.", partial(spoil.wrong_types, key="version")),
    _reply("nan-json", "NaN where a value should be.", partial(spoil.raw_json, value="NaN")),
    _reply("huge-number", "A number of a hundred thousand digits.", partial(spoil.raw_json, value="9" * 100_000)),
    _reply("lone-surrogate", "Half a character in a text.", partial(spoil.raw_json, value='"1.0.0\\ud800"')),
)

_DOWNLOADS = (
    _offer("wrong-checksum", "Announces another checksum.", spoil.wrong_checksum),
    _ranged("ignore-range", "Sends the whole file with status 200 whatever was asked for.", spoil.ignore_range),
    _ranged("lying-range", "Content-Range or the bytes are not what was asked for.", spoil.lying_range),
    _bytes("flip-bit", "One bit is not as it was.", spoil.flip_bit),
    _bytes("short-body", "The last byte is missing, and Content-Length agrees.", spoil.short_body),
    _bytes("long-body", "A byte too many, and Content-Length agrees.", spoil.long_body),
    _bytes("slow-download", "Sends a thousand bytes a second.", spoil.slow),
    _offer("wrong-key", "Signed and encrypted by a stranger.", repacking.wrong_key),
    _offer("wrong-session-key", "Announces the session key of another bundle.", repacking.wrong_session_key),
    _offer("bad-padding", "Decrypts to a padding that is none.", repacking.bad_padding),
    _offer("truncated-zip", "Half a zip, with a checksum that holds.", repacking.truncated_zip),
    Fault(
        "hostile-archive",
        "bytes",
        "A zip that must not be installed; case is one of HOSTILE_ARCHIVES.",
        "updates",
        repacking.hostile_archive,
        setting=_after("hostile-archive", _made_before),
    ),
)

_MANIFESTS = (
    *(
        _offer(f"manifest-{change}", description, partial(repacking.manifest, change=change))
        for change, description in (
            ("missing", "The manifest does not list the last file."),
            ("extra", "The manifest lists a file that is not in the bundle."),
            ("swapped", "Two files of the manifest have each other's names."),
            ("renamed", "A file of the manifest has another name."),
            ("duplicated", "Two files of the manifest have the same name."),
            ("escaping", "A file of the manifest lies outside the bundle."),
        )
    ),
    Fault(
        "manifest-one-of-a-hundred",
        "bytes",
        "One file of a hundred is not to be had.",
        "updates",
        repacking.one_of_a_hundred,
        setting=_after("manifest-one-of-a-hundred", _signed_before),
    ),
    _offer(
        "brotli-bomb", "A file of 809 bytes that unpacks to a gigabyte.", partial(repacking.manifest, change="bomb")
    ),
)

_MEANINGS = (
    _meaning("up-to-date", "Nothing newer.", partial(meanings.case, code="no_new_version_available")),
    *(
        _meaning(
            f"blocked-{code.replace('_', '-')}",
            f"Blocked, row {case.row} of the service's table: {code}.",
            partial(meanings.case, code=code),
        )
        for code, case in CASES.items()
        if case.kind == "blocked"
    ),
    _meaning(
        "plan-ended",
        "The app's plan ended: 429 everywhere but for downloads.",
        partial(meanings.case, code="on_premise_app"),
        "plugin",
    ),
    _meaning(
        "over-quota",
        "A quota of the plan is used up: 429 on_premise_app for update checks.",
        partial(meanings.case, code="on_premise_app"),
    ),
    _meaning(
        "over-quota-old",
        "A quota is used up, as old back ends said it: 429 need_plan_upgrade.",
        partial(meanings.case, code="need_plan_upgrade"),
    ),
    _meaning(
        "on-premise",
        "An app that the service does not know, from an address that asked for many: 429 without a message.",
        partial(meanings.case, code="on_premise_app_guard"),
        "plugin",
    ),
    _meaning("breaking", "The update is marked as breaking.", partial(meanings.with_keys, keys={"breaking": True})),
    _meaning("builtin", "Back to the version inside the installer.", partial(meanings.case, code="already_on_builtin")),
    _meaning("same-version", "The version that asks is offered to itself.", meanings.same_version),
    _meaning("older-version", "A version older than the installer is offered.", meanings.older_version),
    _meaning("future-keys", "The answer has keys that nobody knows yet.", meanings.with_keys),
)

#: By the headings of the fault list.
ANSWERING = (*_TRANSPORT, *_STATUSES, *_ANSWERS)
MEANING = _MEANINGS
BYTES = (*_DOWNLOADS, *_MANIFESTS)
