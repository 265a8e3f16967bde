"""What each error code of an update reply means.

Source: reference/service-behaviour.md section 1.3 (column ``kind``), 0.1 for the two that come with a 429.
"""

from __future__ import annotations

from capgo_client.protocol.outcomes import Blocked, Builtin, Failed, Limited, Outcome, PlanEnded, UpToDate

__all__ = ["BREAKING_CODE", "BREAKING_MESSAGE", "PARSE_ERROR", "RESPONSE_ERROR", "meaning_of"]

#: Our code for a reply that cannot be read, or is not what the protocol allows (the plugin's own word).
PARSE_ERROR = "parse_error"
#: The code of a bad HTTP status whose body names none (the plugin's own word).
RESPONSE_ERROR = "response_error"

#: A new major version: only a new installer brings it (reference/plugin-behaviour.md section 1.2).
BREAKING_CODE = "disable_auto_update_to_major"
#: The same, said by a self-hosted server in the message.
BREAKING_MESSAGE = "store_update_required"

_BLOCKED = (
    "cannot_update_via_private_channel",
    BREAKING_CODE,
    "disable_auto_update_to_metadata",
    "disable_auto_update_to_minor",
    "disable_auto_update_to_patch",
    "disable_auto_update_under_native",
    "disable_dev_build",
    "disable_device",
    "disable_emulator",
    "disable_prod_build",
    "disabled_platform_android",
    "disabled_platform_electron",
    "disabled_platform_ios",
    "key_id_mismatch",
    "provider_infrastructure_request_blocked",
)

_FAILED = (
    "misconfigured_channel",
    "missing_info",
    "no_bundle",
    "no_bundle_url",
    "no_channel",
    "no_url_or_manifest",
    "null_channel_data",
    "revert_to_builtin_plugin_version_too_old",
    "semver_error",
    "unknown_version_build",
    "unsupported_plugin_version",
)

_MEANING: dict[str, type[Outcome]] = {
    "no_new_version_available": UpToDate,
    # ``kind`` calls it up_to_date; it is the order to go back to the builtin all the same (note on row 25).
    "already_on_builtin": Builtin,
    "on_premise_app": PlanEnded,
    # Never sent by the service of today; its router still knows it from older ones (section 0.1).
    "need_plan_upgrade": PlanEnded,
    "too_many_requests": Limited,
    **dict.fromkeys(_BLOCKED, Blocked),
    **dict.fromkeys(_FAILED, Failed),
}

_BY_KIND: dict[str, type[Outcome]] = {"up_to_date": UpToDate, "blocked": Blocked, "failed": Failed}


def meaning_of(code: str, *, kind: str = "") -> type[Outcome]:
    """The class of outcome for a refusal; never Update.

    A known code decides alone: older and self-hosted servers leave ``kind`` out or send it wrong, and the code is the
    more exact of the two. ``kind`` decides for codes that are not known here; without either it is Failed.
    """
    return _MEANING.get(code) or _BY_KIND.get(kind, Failed)
