"""What every recorded update check must be understood as, written by hand from the reference.

Source: reference/service-behaviour.md section 1.3 (the ladder), 1.6 (the update body), 5 (what the plugin version
opens) and 7 (the conformance examples). One line for each reply in tests/data/conversations.json that answers an
update check.
"""

from __future__ import annotations

from dataclasses import dataclass

from capgo_client.protocol.outcomes import Blocked, Builtin, Failed, Limited, PlanEnded, Update, UpToDate


@dataclass(frozen=True)
class Expected:
    outcome: type
    status: int = 200
    code: str = ""
    version: str = ""
    has_zip: bool = False
    files: int = 0
    session_key: str = ""
    link: str = ""
    comment: str = ""
    breaking: bool = False


def offer(version: str, *, files: int = 0, has_zip: bool = True, **more: str) -> Expected:
    return Expected(Update, version=version, has_zip=has_zip, files=files, **more)


def blocked(code: str, version: str = "", *, breaking: bool = False) -> Expected:
    return Expected(Blocked, code=code, version=version, breaking=breaking)


def failed(code: str, *, status: int = 200) -> Expected:
    return Expected(Failed, status=status, code=code)


UP_TO_DATE = Expected(UpToDate, code="no_new_version_available")
PLAN_ENDED = Expected(PlanEnded, status=429, code="on_premise_app")
BAD_BODY = failed("invalid_json_body", status=400)
ENCRYPTED = "aXYxMjM0NTY3ODkwMTIzNA==:c2Vzc2lvbmtleQ=="

EXPECTED: dict[str, Expected] = {
    "upd:zip update": offer("1.0.0"),
    "upd:manifest only": offer("1.2.1", files=4, has_zip=False),
    "upd:enc key mismatch 8.40.7": offer("1.4.0", session_key=ENCRYPTED),
    "upd:enc key mismatch 8.40.8": blocked("key_id_mismatch"),
    "upd:manifest pv 5.9.0": offer("1.2.0"),
    "upd:manifest pv 6.25.0": offer("1.2.0", files=4),
    "upd:manifest pv 7.0.34": offer("1.2.0"),
    "upd:manifest pv 7.0.35": offer("1.2.0", files=4),
    "upd:manifest pv 8.0.0": offer("1.2.0", files=4),
    "upd:manifest pv 4.15.0": failed("unsupported_plugin_version"),
    "upd:manifest pv 3.1.0": offer("1.2.0", files=4),
    "upd:manifest pv 9.0.0": offer("1.2.0", files=4),
    "upd:manifest pv 10.0.0": offer("1.2.0", files=4),
    "upd:manifest pv 8.0.0-alpha.1": offer("1.2.0"),
    "upd:native -> builtin": Expected(Builtin, code="already_on_builtin"),
    "upd:native pv 5.10.0": failed("revert_to_builtin_plugin_version_too_old"),
    "upd:no_bundle": failed("no_bundle"),
    "upd:deleted version": failed("no_channel"),
    "upd:no channel app": failed("no_channel"),
    "upd:iosonly on android": failed("no_channel"),
    "upd:private channel via default": failed("no_channel"),
    "upd:override private": offer("1.361.0"),
    "upd:override UPPER device": offer("1.361.0"),
    "upd:override ios disabled": blocked("disabled_platform_ios", "1.361.0"),
    "upd:major blocked": blocked("disable_auto_update_to_major", "2.0.0", breaking=True),
    "upd:minor blocked": blocked("disable_auto_update_to_minor", "1.361.0"),
    "upd:patch blocked": blocked("disable_auto_update_to_patch", "1.361.0"),
    "upd:patch same ok": offer("1.361.0"),
    "upd:vnum ok": offer("1.6.0"),
    "upd:vnum misconfigured": failed("misconfigured_channel"),
    "upd:nodev": blocked("disable_dev_build", "1.361.0"),
    "upd:nodevice": blocked("disable_device", "1.361.0"),
    "upd:noprod but dev ok": offer("1.361.0"),
    "upd:metadata 8.35.0": offer("1.1.0", link="https://example.invalid/release/1.1.0", comment="Fixes things"),
    "upd:metadata 8.34.9": offer("1.1.0"),
    "upd:rollout paused on it": UP_TO_DATE,
    "upd:rollout half 0": offer("1.0.0"),
    "upd:rollout half 1": offer("1.0.0"),
    "upd:plan trialover": PLAN_ENDED,
    "upd:plan mau": PLAN_ENDED,
    "upd:plan bw": PLAN_ENDED,
    "upd:plan ended again (cached)": PLAN_ENDED,
    "upd:limited app": Expected(Limited, status=429, code="too_many_requests"),
    "upd:build unknown": offer("1.3.0"),
    'upd:build "1"': UP_TO_DATE,
    'upd:build "1.0"': UP_TO_DATE,
    "upd:build v1.0.0": UP_TO_DATE,
    "upd:build 1.0.0.0": failed("semver_error", status=400),
    "upd:build abc": failed("semver_error", status=400),
    "upd:{}": BAD_BODY,
    "upd:string": failed("missing_device_id", status=400),
    "upd:no device": failed("missing_device_id", status=400),
    "upd:no app": failed("missing_app_id", status=400),
    "upd:empty device": failed("missing_device_id", status=400),
    "upd:long device": BAD_BODY,
    "upd:numeric app": BAD_BODY,
    "upd:numeric version_name": BAD_BODY,
    "upd:empty version_build": BAD_BODY,
    "upd:numeric version_build": failed("unknown_error", status=500),
    "upd:true version_build": failed("unknown_error", status=500),
    "upd:bad platform": BAD_BODY,
    "upd:no platform": BAD_BODY,
    "upd:no plugin_version": BAD_BODY,
    "upd:bad plugin_version": BAD_BODY,
    "upd:prerelease plugin_version": UP_TO_DATE,
    "upd:numeric defaultChannel": BAD_BODY,
    "upd:null defaultChannel": BAD_BODY,
    "upd:empty defaultChannel": UP_TO_DATE,
    "upd:install_source 65": BAD_BODY,
    "upd:numeric install_source": BAD_BODY,
    "upd:key_id 21": BAD_BODY,
    "upd:null key_id": BAD_BODY,
    "upd:null custom_id": UP_TO_DATE,
    "upd:form content-type": UP_TO_DATE,
    "upd:slash": UP_TO_DATE,
    # Not an answer to an update check: some other page of the service (a wrong URL, a GET).
    "upd:GET": failed("parse_error"),
    # The enumeration guard: five unknown apps from one address, then the known app is refused as well.
    "upd:oracle miss 0": PLAN_ENDED,
    "upd:oracle miss 1": PLAN_ENDED,
    "upd:oracle miss 2": PLAN_ENDED,
    "upd:oracle miss 3": PLAN_ENDED,
    "upd:oracle miss 5": PLAN_ENDED,
    "upd:oracle: known app same IP/host": PLAN_ENDED,
}
