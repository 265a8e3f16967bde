from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client._version import __version__
from capgo_client.protocol.requests import (
    PLUGIN_VERSION,
    Identity,
    info,
    is_valid_app_id,
    is_valid_device_id,
    update_check_body,
    user_agent,
    wire_platform,
)
from capgo_client.protocol.versions import compare

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "conversations.json").read_text("utf-8"))
CHECKS = [case for case in RECORDED if (case["method"], case["path"]) == ("POST", "/updates")]

ME = Identity(
    app_id="com.example.notes",
    device_id="00009A6B-EEFE-490A-9C60-8E965132AE51",
    version_build="1.4.0",
    platform="electron",
)
FULL = replace(
    ME,
    custom_id="customer 12",
    version_code="1400",
    version_os="6.1.0",
    is_emulator=True,
    is_prod=False,
    install_source="google_play",
    default_channel="beta",
    key_id="MIIBCgKCAQEAqJikYizo",
)


def breaches(body: object) -> list[str]:
    """The service's rules for an update check, written down once more (service-behaviour.md section 1.1)."""
    if not isinstance(body, dict):
        return ["no object"]
    found = []
    required = ("app_id", "device_id", "version_name", "version_build", "platform", "plugin_version")
    found += [f"{key} missing" for key in required if not (isinstance(body.get(key), str) and body[key])]
    if not re.fullmatch(r"[a-zA-Z0-9]+(\.[a-zA-Z0-9_-]+)+", str(body.get("app_id"))):
        found.append("app_id")
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(body.get("device_id"))):
        found.append("device_id")
    if not re.fullmatch(r"\d+\.\d+\.\d+([-+].+)?", str(body.get("version_build"))):
        found.append("version_build")
    if body.get("platform") not in ("ios", "android", "electron"):
        found.append("platform")
    found += [key for key in ("is_emulator", "is_prod") if not isinstance(body.get(key), bool)]
    limits = {"defaultChannel": 10**9, "install_source": 64, "key_id": 20, "custom_id": 36}
    for key, limit in limits.items():
        if key in body and not (isinstance(body[key], str) and 0 < len(body[key]) <= limit):
            found.append(key)
    # Required as text by /stats, which takes the same object.
    found += [key for key in ("version_os", "version_code") if not isinstance(body.get(key), str)]
    return found


def sent(identity: Identity, version_name: str = "1.4.1") -> dict[str, object]:
    body = update_check_body(identity, version_name=version_name)
    assert isinstance(body, bytes)
    parsed = json.loads(body.decode("utf-8"))
    assert isinstance(parsed, dict)
    return parsed


def test_a_full_info_object_has_the_fields_of_the_plugin() -> None:
    assert info(FULL, version_name="1.4.1") == {
        "platform": "electron",
        "device_id": "00009a6b-eefe-490a-9c60-8e965132ae51",
        "app_id": "com.example.notes",
        "custom_id": "customer 12",
        "version_build": "1.4.0",
        "version_code": "1400",
        "version_os": "6.1.0",
        "version_name": "1.4.1",
        "plugin_version": "8.51.14",
        "is_emulator": True,
        "is_prod": False,
        "install_source": "google_play",
        "defaultChannel": "beta",
        "key_id": "MIIBCgKCAQEAqJikYizo",
    }
    assert breaches(sent(FULL)) == []


def test_what_is_not_set_is_left_out_and_never_null() -> None:
    body = sent(ME)

    assert {"custom_id", "install_source", "defaultChannel", "key_id"}.isdisjoint(body)
    assert None not in body.values()
    assert breaches(body) == []


def test_the_body_says_what_info_says() -> None:
    assert sent(FULL) == info(FULL, version_name="1.4.1")


@pytest.mark.parametrize(("build", "expected"), [("1.4.0", "1.4.0"), ("", "builtin")])
def test_the_builtin_goes_by_its_own_version(build: str, expected: str) -> None:
    assert info(replace(ME, version_build=build), version_name="")["version_name"] == expected


@pytest.mark.parametrize(("key", "longest"), [("custom_id", 36), ("install_source", 64), ("key_id", 20)])
def test_a_value_longer_than_the_service_allows_is_left_out_so_that_the_check_goes_on(key: str, longest: int) -> None:
    assert info(replace(ME, **{key: "k" * longest}), version_name="1")[key] == "k" * longest
    assert key not in info(replace(ME, **{key: "k" * (longest + 1)}), version_name="1")


def test_a_channel_is_sent_as_it_was_given() -> None:
    channel = "my  channel é " + "x" * 300

    assert sent(replace(ME, default_channel=channel))["defaultChannel"] == channel


def test_what_the_system_says_of_itself_is_cleaned() -> None:
    body = sent(replace(ME, version_os="6.1\0.0-\x1bfoo\n" + "x" * 500, version_code="\ud800"))

    assert str(body["version_os"]).startswith("6.1 .0- foo xxx")
    assert len(str(body["version_os"])) <= 256
    assert body["version_code"] == ""


def test_half_a_surrogate_pair_does_not_stop_the_check() -> None:
    assert sent(replace(ME, custom_id="a\ud800b"))["custom_id"] == "a?b"


TEXT = st.text(st.characters(), max_size=80)
FREE_TEXTS = ("custom_id", "version_os", "version_code", "install_source", "default_channel", "key_id")


@given(st.fixed_dictionaries(dict.fromkeys(FREE_TEXTS, TEXT)))
def test_a_body_passes_the_rules_of_the_service_whatever_the_free_texts_are(texts: dict[str, str]) -> None:
    identity = replace(ME, **texts)

    assert breaches(sent(identity)) == []


# --- the service's rules and ours ------------------------------------------------------------------------------------


def test_ids_that_the_service_took_are_valid_here() -> None:
    accepted = [case["body"] for case in CHECKS if case["status"] in (200, 429)]

    assert len(accepted) > 50
    for body in accepted:
        assert is_valid_app_id(body["app_id"]), body["app_id"]
        assert is_valid_device_id(body["device_id"]), body["device_id"]


@pytest.mark.parametrize(
    ("name", "field", "is_valid"),
    [
        ("upd:no device", "device_id", is_valid_device_id),
        ("upd:empty device", "device_id", is_valid_device_id),
        ("upd:long device", "device_id", is_valid_device_id),
        ("upd:no app", "app_id", is_valid_app_id),
    ],
)
def test_ids_that_the_service_refused_are_refused_here(name: str, field: str, is_valid: Callable[[str], bool]) -> None:
    (case,) = (case for case in CHECKS if case["name"] == name)

    assert case["status"] == 400
    assert not is_valid(case["body"].get(field, ""))


@pytest.mark.parametrize("text", ["com.example", "COM.Example.Notes", "a.b", "1.2", "com.ex-am_ple.x", "a.-", "a._._"])
def test_a_reverse_domain_is_an_app_id(text: str) -> None:
    assert is_valid_app_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eeforgrdemoapp",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b.c",
        "a-b.c",
        "a_b.c",
        "com.exämple",
        "com.example\n",
        "ſ.a",
        "a.b/c",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert not is_valid_app_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "00009a6b-eefe-490a-9c60-8e965132ae51",
        "AAAAAAAA-0000-4000-8000-000000000001",
        "0" * 8 + "-0000" * 3 + "-" + "f" * 12,
    ],
)
def test_a_uuid_of_either_case_is_a_device_id(text: str) -> None:
    assert is_valid_device_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "invalid-uuid",
        "00009a6beefe490a9c608e965132ae51",
        "{00009a6b-eefe-490a-9c60-8e965132ae51}",
        "00009a6b-eefe-490a-9c60-8e965132ae5",
        "00009a6b-eefe-490a-9c60-8e965132ae511",
        "00009a6b-eefe-490a-9c60-8e965132ae5g",
        "00009a6b-eefe-490a-9c60-8e965132ae51\n",
        "٠0009a6b-eefe-490a-9c60-8e965132ae51",
    ],
)
def test_anything_else_is_no_device_id(text: str) -> None:
    assert not is_valid_device_id(text)


@pytest.mark.parametrize(
    ("sys_platform", "expected"),
    [("android", "android"), ("ios", "ios"), ("linux", "electron"), ("darwin", "electron"), ("win32", "electron")],
)
def test_every_desktop_is_electron_on_the_wire(sys_platform: str, expected: str) -> None:
    assert wire_platform(sys_platform) == expected


def test_the_plugin_version_opens_every_gate_of_the_service() -> None:
    for gate in ("6.2.0", "7.0.35", "8.0.0", "8.35.0", "8.40.7"):
        assert compare(PLUGIN_VERSION, gate) == 1


# --- the user agent --------------------------------------------------------------------------------------------------


def test_the_user_agent_names_our_version_the_app_and_the_system() -> None:
    agent = user_agent(replace(ME, version_os="6.1.0"), library_version=__version__)

    assert agent == f"capgo-client/{__version__} (com.example.notes) electron/6.1.0"


@pytest.mark.parametrize(
    ("version_os", "expected"),
    [
        ("", "unknown"),
        ("  ", "unknown"),
        ("\n\0", "unknown"),
        (" 10.15 ", "10.15"),
        ("6.1\r\nX-Evil: 1", "6.1X-Evil: 1"),
        ("système 7", "systme 7"),
        ("日本", "unknown"),
        ("x" * 500, "x" * 100),
    ],
)
def test_the_user_agent_is_fit_for_a_header_whatever_the_system_calls_itself(version_os: str, expected: str) -> None:
    agent = user_agent(replace(ME, version_os=version_os), library_version="0.1.0")

    assert agent == f"capgo-client/0.1.0 (com.example.notes) electron/{expected}"


# --- what importing costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["outcomes", "versions", "requests", "updates", "codes", "replies"])
def test_importing_the_protocol_costs_no_heavy_module(module: str) -> None:
    code = f"import sys, capgo_client.protocol.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    heavy = {
        "typing",
        "asyncio",
        "ssl",
        "socket",
        "httpx",
        "cryptography",
        "zipfile",
        "email",
        "urllib.parse",
        "logging",
    }
    assert heavy.isdisjoint(loaded)
    assert f"capgo_client.protocol.{module}" in loaded
