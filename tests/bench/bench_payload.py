"""Makes what is updated to: ``python bench_payload.py KIND FOLDER ...``; kept between runs, for it takes a while.

Contents are seeded: words and some noise, which deflate packs about two to one.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
import tarfile
import time
import zipfile
from pathlib import Path

from capgo_client.testing.archives import write_archive
from capgo_client.testing.bundles import BundleKeys, Packing

_POOL = 8 << 20
_WORDS = 6000


class Contents:
    """Files of any size, each of its own, as fast as copying."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(self._random.choices(letters, k=self._random.randint(2, 11))) for _ in range(_WORDS)]
        text = " ".join(self._random.choices(words, k=_POOL // 5)).encode()
        self._text = text[:_POOL]
        self._noise = self._random.randbytes(_POOL)

    def file(self, size: int) -> bytes:
        """Pieces of text with a fifth of noise, from places that never come twice in a row."""
        made = bytearray()
        while len(made) < size:
            source, longest = (self._noise, 400) if self._random.random() < 0.35 else (self._text, 1200)
            at = self._random.randrange(len(source) - longest)
            made += source[at : at + self._random.randint(longest // 4, longest)]
        return bytes(made[:size])

    def files(self, count: int, size: int) -> dict[str, bytes]:
        """In folders of fifty."""
        return {f"part{i // 50:03}/file{i:05}.dat": self.file(size) for i in range(count)}


def _write_zip(folder: Path, plain: bytes) -> dict[str, object]:
    """The bundle as it is served, plain and encrypted, and what the service and openssl are told about both."""
    keys = BundleKeys.generate()
    sealed = Packing.fresh(keys)
    assert sealed.cipher is not None
    (folder / "plain.zip").write_bytes(plain)
    (folder / "sealed.zip").write_bytes(sealed.seal(plain))
    (folder / "public.pem").write_text(keys.public_pem, "utf-8")
    digest = hashlib.sha256(plain).hexdigest()
    return {
        "sha256": digest,
        "zip_bytes": len(plain),
        "plain": {"checksum": digest, "session_key": ""},
        "sealed": {"checksum": sealed.sign(digest), "session_key": sealed.session_key},
        "aes_key": sealed.cipher.key.hex(),
        "aes_vector": sealed.cipher.vector.hex(),
    }


def make_zip(folder: Path, count: int, size: int) -> dict[str, object]:
    """One whole bundle."""
    files = Contents().files(count, size)
    return {"files": count, "bytes": count * size, **_write_zip(folder, write_archive(files))}


def make_tuf(folder: Path, count: int, size: int) -> dict[str, object]:
    """The same files as the two targets of a TUF repository: a zip, and the archive that tufup wants."""
    files = Contents().files(count, size)
    targets = folder / "targets"
    targets.mkdir()
    (targets / "bundle.zip").write_bytes(write_archive(files))
    with tarfile.open(targets / "bench-1.0.1.tar.gz", "w:gz", compresslevel=6) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), 0o644, int(time.time())
            archive.addfile(entry, io.BytesIO(data))
    return {"files": count, "bytes": count * size}


def make_delta(folder: Path, count: int, size: int, changed: int) -> dict[str, object]:
    """Three versions after the first: one file changed, many changed, and all renamed; each also as a whole."""
    contents = Contents()
    first = contents.files(count, size)
    many = {**first, **{name: contents.file(size) for name in list(first)[:: count // changed][:changed]}}
    name = list(first)[count // 2]
    versions = {
        "first": first,
        "one": {**first, name: contents.file(size)},
        "many": many,
        "renamed": {f"moved/{name}": data for name, data in first.items()},
    }
    told: dict[str, object] = {"files": count, "bytes": count * size}
    for version, files in versions.items():
        place = folder / version
        place.mkdir()
        told[version] = {**_write_zip(place, write_archive(files)), **_write_manifest(place, files, first)}
    return told


def _write_manifest(folder: Path, files: dict[str, bytes], first: dict[str, bytes]) -> dict[str, object]:
    """Every file is listed, only what is new lies there to be fetched: a client that fetches more fails."""
    import brotli

    there = {hashlib.sha256(data).digest() for data in first.values()}
    entries, packed_bytes, fetched = [], 0, 0
    for i, (name, data) in enumerate(files.items()):
        entries.append({"file_name": f"{name}.br", "file_hash": hashlib.sha256(data).hexdigest(), "place": f"{i}.br"})
        if hashlib.sha256(data).digest() not in there:
            packed = brotli.compress(data)
            (folder / f"{i}.br").write_bytes(packed)
            packed_bytes += len(packed)
            fetched += 1
    (folder / "manifest.json").write_text(json.dumps(entries), "utf-8")
    return {"packed_bytes": packed_bytes, "fetched": fetched}


def make_big(folder: Path, megabytes: int, files: int) -> dict[str, object]:
    """A bundle that is written piece by piece, so that it may be larger than what memory there is.

    Of as many files whatever its size: what each file costs in memory is another question.
    """
    contents = Contents()
    path = folder / "plain.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(files):
            entry = zipfile.ZipInfo(f"part{i // 50:03}/file{i:05}.dat", (2025, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents.file(megabytes * 1_000_000 // files))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)
    return {"files": files, "bytes": megabytes * 1_000_000, "plain": {"checksum": digest, "session_key": ""}}


def _digest(file) -> str:
    found = hashlib.sha256()
    while piece := file.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def main() -> None:
    makers = {"zip": make_zip, "tuf": make_tuf, "delta": make_delta, "big": make_big}
    kind, folder, *numbers = sys.argv[1:]
    told = makers[kind](Path(folder), *map(int, numbers))
    Path(folder, "meta.json").write_text(json.dumps(told, indent=1), "utf-8")


if __name__ == "__main__":
    main()
