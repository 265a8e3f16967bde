"""What each fault of the meaning does: a proper answer that is no update, or not the update that it seems.

As in ``misbehaviour``: each takes the exchange and its own options, and says whether the connection can go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .bundles import MadeBundle, Packing, make_bundle
from .cases import CASES, Context
from .downloads import NO_ZIP
from .spoiling import fields_of
from .wire import Reply

if TYPE_CHECKING:
    from .misbehaviour import Exchange

__all__ = ["offer_bundle"]

_FUTURE: dict[str, Any] = {
    "rolloutPolicy": {"stages": [1, 10, 100], "until": None},
    "signatures": ["ed25519:AAAA"],
    "expires_at": "2099-01-01T00:00:00Z",
}


def case(exchange: Exchange, *, code: str) -> bool:
    """A row of the service's tables."""
    asked = exchange.request.json
    version = exchange.offer.version if exchange.offer is not None else "2.0.0"
    return exchange.send(CASES[code].reply(Context(version, request=asked if isinstance(asked, dict) else {})))


def with_keys(exchange: Exchange, *, keys: dict[str, Any] | None = None) -> bool:
    """The regular answer with further keys."""
    return exchange.send(Reply.of_json(exchange.reply.status, {**fields_of(exchange), **(keys or _FUTURE)}))


def same_version(exchange: Exchange) -> bool:
    """The version that asks is offered to it, as an update; ``builtin`` means the version of the app itself."""
    asked = exchange.request.json or {}
    version = asked.get("version_name", "")
    return offer_bundle(
        exchange, _again(exchange, str(asked.get("version_build")) if version == "builtin" else version)
    )


def older_version(exchange: Exchange, *, version: str = "0.0.1") -> bool:
    """A version from before the installer."""
    return offer_bundle(exchange, _again(exchange, version))


def _again(exchange: Exchange, version: str) -> MadeBundle:
    """What is on offer under another version, sealed anew by the same publisher."""
    offer = exchange.offer
    if offer is None:
        return make_bundle(version, {"main.py": f"print({version!r})\n"})
    packing = Packing.fresh(offer.keys, encrypt=bool(offer.session_key))
    return packing.bundle(version, offer.plain, files=offer.files)


def offer_bundle(exchange: Exchange, bundle: MadeBundle, *, missing: str = "") -> bool:
    """Offer this bundle in the place of the regular one; the file ``missing`` of its manifest is not to be had."""
    regular = fields_of(exchange)
    kept = {} if "error" in regular else {name: regular[name] for name in regular if name != "manifest"}
    delta_only = bool(bundle.manifest) and regular.get("url") == NO_ZIP
    fields: dict[str, Any] = {
        **kept,
        "version": bundle.version,
        "url": NO_ZIP if delta_only else _stored(exchange, f"{bundle.version}.zip", bundle.archive),
        "session_key": bundle.session_key,
        "checksum": bundle.checksum,
    }
    if bundle.manifest:
        fields["manifest"] = [
            {
                "file_name": each.file_name,
                "file_hash": each.file_hash,
                "download_url": _stored(exchange, each.path, each.data)
                + (".gone" if each.file_name == missing else ""),
            }
            for each in bundle.manifest
        ]
    return exchange.send(Reply.of_json(200, fields))


def _stored(exchange: Exchange, name: str, data: bytes) -> str:
    if exchange.store is None:
        raise TypeError("this exchange has no store to put a spoilt bundle into")
    # Each answer has a place of its own, so that no spoilt file takes that of a good one.
    return exchange.store(f"faults/{id(exchange):x}-{exchange.request.time:.6f}/{name}", data)
