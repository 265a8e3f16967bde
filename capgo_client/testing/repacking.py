"""What each fault of the bytes does that has to be packed anew: keys, padding, archives, manifests.

The bundle on offer is sealed again by its own publisher, wrong in one way, and its announced checksum holds for what is
served; so it is the check named that has to see it, and no other. Where nothing is on offer the answer stays as it is.
As in ``misbehaviour``: each takes the exchange and its own options, and says whether the connection can go on.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from .archives import write_archive
from .bundles import BundleKeys, Cipher, MadeBundle, Packing
from .hostile import HOSTILE_ARCHIVES
from .meanings import offer_bundle
from .misbehaviour import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .delta import ManifestFile
    from .misbehaviour import Exchange

    Entries = tuple[ManifestFile, ...]

__all__ = ["MANIFEST_CHANGES"]

_BLOCK = 16
#: A gigabyte of zeros in 809 bytes of brotli, itself packed: nothing here needs the extra ``delta``.
_BOMB = (
    "eNo7//9/PYMKw6ONDkXv///8/5+/gcVBRqzh3V/7////M05g6DjMdGHv/+f//9szCDEURjDs+v7/z///7A5MCn"
    "zcDt//zQeqYvBgOJLI+OLe/8///8szcDZY6DDc/V3/7/9/ZgVGgXbWBdX/z0Mt2cBQMmrJqCVD0RJ7APFnrt4="
)
_COMPANY = {"company.txt": b"so that there are two files\n"}
_HUNDRED = {f"hundred/{number:02}.txt": b"file %d of a hundred\n" % number for number in range(100)}
_GONE = "hundred/42.txt"


def _packing(offer: MadeBundle) -> Packing:
    return Packing.fresh(offer.keys, encrypt=bool(offer.session_key))


def _publisher(offer: MadeBundle) -> BundleKeys:
    return offer.keys or BundleKeys.generate()


def wrong_key(exchange: Exchange) -> bool:
    """Signed and encrypted by a stranger."""
    offer = exchange.offer
    if offer is None:
        return exchange.send(exchange.reply)
    packing = Packing.fresh(BundleKeys.generate("stranger"), encrypt=offer.keys is None or bool(offer.session_key))
    return offer_bundle(exchange, packing.bundle(offer.version, offer.plain, files=offer.files))


def wrong_session_key(exchange: Exchange) -> bool:
    """The publisher's own session key, but of another bundle."""
    offer = exchange.offer
    if offer is None:
        return exchange.send(exchange.reply)
    packed = Packing.fresh(_publisher(offer)).bundle(offer.version, offer.plain, files=offer.files)
    return offer_bundle(exchange, replace(packed, session_key=Cipher.fresh().session_key(_publisher(offer))))


def bad_padding(exchange: Exchange) -> bool:
    """Decrypts to the right zip with a padding that PKCS#7 does not know."""
    offer = exchange.offer
    if offer is None:
        return exchange.send(exchange.reply)
    packing = Packing.fresh(_publisher(offer))
    packed = packing.bundle(offer.version, offer.plain, files=offer.files)
    if packing.cipher is None:
        raise TypeError("a packing with keys encrypts")
    wrong = bytes(_BLOCK - len(offer.plain) % _BLOCK)
    return offer_bundle(exchange, replace(packed, archive=packing.cipher.encrypt(offer.plain, padding=wrong)))


def truncated_zip(exchange: Exchange, *, at: float = 0.5) -> bool:
    """The zip ends early, and checksum and signature are those of what is left."""
    return _archived(exchange, lambda plain: cut(plain, at))


def hostile_archive(exchange: Exchange, *, case: str = "traversal") -> bool:
    """One of ``HOSTILE_ARCHIVES``, with a checksum and a signature that hold."""
    return _archived(exchange, lambda _: HOSTILE_ARCHIVES[case]())


def _archived(exchange: Exchange, change: Callable[[bytes], bytes]) -> bool:
    offer = exchange.offer
    if offer is None:
        return exchange.send(exchange.reply)
    return offer_bundle(exchange, _packing(offer).bundle(offer.version, change(offer.plain), files=offer.files))


# Manifests: what the service lists is signed file by file, but not as a whole.


def _missing(entries: Entries, _: Packing) -> Entries:
    return entries[:-1]


def _extra(entries: Entries, packing: Packing) -> Entries:
    return (*entries, *packing.manifest({"extra.py": b"print('not in the bundle')\n"}, brotli=False))


def _swapped(entries: Entries, _: Packing) -> Entries:
    first, second, *rest = entries
    return (replace(first, file_name=second.file_name), replace(second, file_name=first.file_name), *rest)


def _renamed(entries: Entries, _: Packing) -> Entries:
    return (replace(entries[0], file_name=f"renamed/{entries[0].file_name}"), *entries[1:])


def _duplicated(entries: Entries, _: Packing) -> Entries:
    return (*entries, replace(entries[-1], file_name=entries[0].file_name))


def _escaping(entries: Entries, _: Packing) -> Entries:
    return (*entries, replace(entries[0], file_name="../capgo_evil.py"))


def _bomb(entries: Entries, packing: Packing) -> Entries:
    bomb = packing.seal(zlib.decompress(base64.b64decode(_BOMB)))
    first = replace(entries[0], file_name=f"{entries[0].file_name}.br", data=bomb)
    return (first, *entries[1:])


#: How a manifest is changed, by the word in the fault's name.
MANIFEST_CHANGES: Mapping[str, Callable[[Entries, Packing], Entries]] = {
    "missing": _missing,
    "extra": _extra,
    "swapped": _swapped,
    "renamed": _renamed,
    "duplicated": _duplicated,
    "escaping": _escaping,
    "bomb": _bomb,
}


def manifest(exchange: Exchange, *, change: str) -> bool:
    """The bundle on offer with a manifest that is wrong in one way; its zip is right."""
    offer = exchange.offer
    if offer is None:
        return exchange.send(exchange.reply)
    bundle, packing = _with_manifest(offer)
    return offer_bundle(exchange, replace(bundle, manifest=MANIFEST_CHANGES[change](bundle.manifest, packing)))


def one_of_a_hundred(exchange: Exchange) -> bool:
    """A hundred files more, in the zip and in the manifest, one of which the store does not have."""
    offer = exchange.offer
    if offer is None:
        return exchange.send(exchange.reply)
    bundle, _ = _with_manifest(offer, _HUNDRED)
    return offer_bundle(exchange, bundle, missing=_GONE)


def sign_the_hundred(offer: MadeBundle) -> None:
    """Make the signatures beforehand; they are remembered."""
    if offer.keys is not None:
        for data in _HUNDRED.values():
            offer.keys.sign_checksum(hashlib.sha256(data).hexdigest())


def _with_manifest(offer: MadeBundle, more: Mapping[str, bytes] = _COMPANY) -> tuple[MadeBundle, Packing]:
    """The bundle with at least two files that a manifest can list, and how it is sealed."""
    packing = _packing(offer)
    listed = {name: data for name, data in offer.files.items() if " " not in name}
    plain = offer.plain
    if more is not _COMPANY or sum(map(bool, listed.values())) < 2:  # noqa: PLR2004
        listed |= more
        plain = write_archive({**offer.files, **more})
    entries = packing.manifest(listed, brotli=False)
    return packing.bundle(offer.version, plain, files=listed, manifest=entries), packing
