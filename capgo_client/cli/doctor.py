"""``capgo-client doctor``: is everything in place for updates, and what will the next start open? Changes nothing."""

from __future__ import annotations

import os
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import INSTALLING, add_app_options, app_values
from capgo_client.cli.device import LookingFiles, folder_of, look, version_of
from capgo_client.cli.exits import BAD, GOOD
from capgo_client.cli.findings import FAIL, NOTE, OK, Finding, findings_of_service
from capgo_client.cli.foresight import next_start
from capgo_client.errors import ConfigError, SignatureError, StorageError
from capgo_client.seams import Clock
from capgo_client.updater import Updater
from capgo_client.verify.keys import KeyRing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from capgo_client.cli.device import Device
    from capgo_client.config import Config
    from capgo_client.explain import Explanation

__all__ = ["register", "run"]

#: Below so much free space (bytes) a bundle may well not fit.
_LITTLE = 100 * 1024 * 1024
#: Answers after which nothing is missing; the service gave each other one for a reason that somebody may want to mend.
_GOOD_ANSWERS = ("update", "up_to_date", "builtin")
#: A version that may stand in for one that nobody told; only so that everything else can be looked at.
_UNTOLD = "0.0.0"

#: What can be wrong with the data directory as such, and what to do about it.
_MISSING, _NO_FOLDER, _CLOSED, _READ_ONLY = "is not there", "is no folder", "cannot be read", "cannot be written"
_PERMISSIONS = "mend its permissions, or run this command as the user that the app runs as"
_MISFITS = {
    _NO_FOLDER: "move it out of the way, or name another data_dir; the app leaves it alone, for it may be yours",
    _CLOSED: _PERMISSIONS,
    _READ_ONLY: _PERMISSIONS,
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="look at options, data directory, key, service and clock, and say what the next start will open",
        description=(
            "Look at the app's options, its data directory, its public key, the way to the service and the clock, and"
            " say what the next start will open and why. Nothing is changed and no device is counted. Ends with 1 when"
            " something has to be mended."
        ),
    )
    add_app_options(parser, INSTALLING)
    parser.add_argument("--offline", action="store_true", help="do not call the service")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look and tell; 1 when something has to be mended. Raises UsageMistake where no app was named."""
    values = app_values(args)
    if not values.get("app_id"):
        values["app_id"] = ""
    device = look(folder_of(values))
    findings = list(_looked_over(values, device, offline=args.offline))
    bad = sum(finding.verdict == FAIL for finding in findings)
    sums = {0: "Nothing has to be mended.", 1: "One thing has to be mended."}
    lines = [*(line for finding in findings for line in finding.lines()), sums.get(bad, f"{bad} things to be mended.")]
    tell(args, lines, {"ok": not bad, "findings": [asdict(finding) for finding in findings]})
    return BAD if bad else GOOD


def _looked_over(values: dict[str, Any], device: Device, *, offline: bool) -> Iterator[Finding]:
    told = values.get("version") or device.state.native_version
    try:
        updater = Updater(**{**values, "version": told or _UNTOLD, "data_dir": device.folder}, files=LookingFiles())
    except ConfigError as exc:
        yield Finding("options", FAIL, exc.message, exc.hint)
        yield from _data(device)
        return
    with updater:
        config = updater._engine.config  # noqa: SLF001 - what the options came to
        yield _options(config, device, told=told)
        yield from _data(device)
        yield from _keys(config)
        yield _delta()
        if not offline:
            yield from findings_of_service(updater)
        yield from _ahead(updater.explain(), config, device, told=told)


def _options(config: Config, device: Device, *, told: str) -> Finding:
    before = device.state.native_version
    if not told:
        return Finding("options", NOTE, "no version of the installer is known: nobody gave one, and no start told it")
    if before and before != told:
        words = f"a new installer: {told}, and the last start was of {before}: what was downloaded under it is dropped"
        return Finding("options", NOTE, words)
    if config.builtin is not None and not LookingFiles().exists(config.builtin):
        return Finding("options", FAIL, f"the builtin folder {config.builtin} is not there", "the app has no way back")
    return Finding("options", OK, f"{config.app_id} {told}, mode {config.mode}")


def _data(device: Device) -> Iterator[Finding]:
    folder, misfit = device.folder, _misfit(device)
    if misfit == _MISSING:
        yield Finding("data", NOTE, f"there is no {folder} yet: the app was never started here")
    elif misfit:
        yield Finding("data", FAIL, f"{folder} {misfit}: nothing new is installed", _MISFITS[misfit])
    if misfit in ("", _READ_ONLY):
        yield from _contents(device)


def _misfit(device: Device) -> str:
    """Why the data directory cannot be used, or empty. Rights are asked for and not tried: nothing is written."""
    folder = device.folder
    try:
        if not device.files.exists(folder):
            return _MISSING
        if not folder.is_dir():
            return _NO_FOLDER
    except PermissionError:
        return _CLOSED
    if not os.access(folder, os.R_OK | os.X_OK):
        return _CLOSED
    return "" if os.access(folder, os.W_OK) else _READ_ONLY


def _contents(device: Device) -> Iterator[Finding]:
    folder = device.folder
    if device.state_problem:
        yield Finding("data", FAIL, device.state_problem, "the app mends this by itself when it is started")
    else:
        yield Finding(
            "data", OK, f"{folder}: {len(device.state.installs)} downloaded, read from {device.loaded.origin}"
        )
    for install in device.state.installs:
        if fault := _fault(device, install.id):
            hint = "the app passes it over; `capgo-client verify` looks at every file"
            yield Finding("data", FAIL, f"{plain(install.version)} ({install.id}) cannot be opened: {fault}", hint)
    free = device.files.free_bytes(folder)
    if free is not None and free < _LITTLE:
        yield Finding("data", NOTE, f"only {free // 1024**2} MiB are free there", "what does not fit is not installed")


def _fault(device: Device, bundle_id: str) -> str:
    try:
        return device.store.fault(bundle_id, entry="")
    except StorageError as exc:
        return exc.message


def _keys(config: Config) -> Iterator[Finding]:
    if not config.keys:
        words = "no public key: whoever answers for the service decides what runs"
        yield Finding("key", NOTE, words, "give the app's Updater a public_key, and this command --public-key")
        return
    ring = KeyRing(config.keys)
    for key in config.keys:
        try:
            ring.recover(bytes(key.size))
        except SignatureError as exc:
            if exc.code == "key_unusable":
                yield Finding("key", FAIL, f"{key.key_id}: {exc.message}", exc.hint)
                return
        yield Finding("key", OK, f"{key.key_id}, {key.size * 8} bits; nothing unsigned is installed")


def _delta() -> Finding:
    if find_spec("brotli") is None:
        return Finding("delta", NOTE, "no brotli: updates come as whole zips", "pip install 'capgo-client[delta]'")
    return Finding("delta", OK, "updates may come file by file")


def _ahead(known: Explanation, config: Config, device: Device, *, told: str) -> Iterator[Finding]:
    """What was answered last, and what the next start makes of it all; ``told`` is the builtin's version, if known."""
    age = "" if known.answer_age is None else f" ({_aged(known.answer_age)} ago)"
    code = f" [{known.answer_code}]" if known.answer_code else ""
    is_good = known.answer in _GOOD_ANSWERS
    yield Finding("last check", OK if is_good else NOTE, f"{known.answer_text}{age}{code}", known.remedy)
    if known.waiting_until > Clock().wall():
        seconds = known.waiting_until - Clock().wall()
        yield Finding("last check", NOTE, f"the service asked not to be asked for another {_aged(seconds)}")
    if known.queued and known.delays:
        yield Finding("next start", NOTE, f"{plain(known.queued)} is held back until {', '.join(known.delays)}")
    bundle_id, why = next_start(device, config)
    opens = "the builtin"
    if told or bundle_id != BUILTIN_ID:
        opens = f"{plain(version_of(device.state, bundle_id, builtin=told))} ({bundle_id})"
    wait = (
        f"; it may wait {config.response_timeout:g} s for the service first" if config.waits and not known.held else ""
    )
    yield Finding("next start", OK, f"opens {opens}, because {plain(why)}{wait}")


def _aged(seconds: float) -> str:
    for unit, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
