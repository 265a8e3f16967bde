"""One device that brings bundles by their files, below the face: a store, a server of files, and what was told."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

from depot import Depot

from capgo_client.arrival import STEP_TIMEOUT, Arrival
from capgo_client.install.audit import audit
from capgo_client.install.store import Store
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.protocol.outcomes import ManifestEntry, Update
from capgo_client.seams import Clock, Files
from capgo_client.verify.pem import parse_public_key

DATA = Path(__file__).parent.parent / "data"
BUNDLES = DATA / "bundles"
PUBLIC_KEY = (BUNDLES / "keys" / "capgo_key_v2.pub").read_text()


def tree(version):
    """Path to SHA-256 of a fixture's files, without the empty ones: Capgo's command line lists none of those."""
    files = json.loads((BUNDLES / "tree.json").read_text("utf-8"))[version]["files"]
    return {name: facts["sha256"] for name, facts in files.items() if facts["size"]}


def contents(folder):
    """Path to content of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hashes(files):
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


class Stage:
    def __init__(self, folder):
        self.depot = Depot()
        self.client = HttpClient(user_agent="test", trust_env=False)
        self.files = Files()
        self.store = Store(folder / "data", files=self.files)
        self.store.prepare()
        self.builtin = folder / "app"
        self.builtin.mkdir()
        self.config = SimpleNamespace(
            app_id="org.example.kivyapp",
            version="0.1.0",
            builtin=self.builtin,
            keys=(),
            entry="",
            require_bound=False,
            max_download_bytes=1 << 30,
            max_bundle_bytes=4 << 30,
            max_file_bytes=1 << 30,
            max_files=50_000,
            max_ratio=200,
        )
        self.scope = Scope(60, step=STEP_TIMEOUT)
        self.notes = []
        self.shown = []
        self.installed = []
        self.stop = lambda: False

    def trust(self, pem=PUBLIC_KEY):
        self.config.keys = (parse_public_key(pem),)

    def arrival(self):
        service = SimpleNamespace(client=lambda: self.client)
        return Arrival(self.config, store=self.store, service=service, files=self.files, clock=Clock())

    def bring(self, update):
        install = self.arrival().bring(
            update,
            scope=self.scope,
            progress=lambda done, total: self.shown.append((done, total)),
            should_stop=self.stop,
            write_down=self._write_down,
            note=lambda action, name: self.notes.append((action, name)),
        )
        if type(self.files) is Files:
            assert not list(self.store.staging.iterdir())
            assert not list(self.store.downloads.iterdir())
        assert audit(self.store.installs / install.id, files=Files(), should_stop=lambda: False) == ()
        return self.store.app_path(install.id)

    def _write_down(self, install):
        self.installed.append(install)
        return install

    def update(self, version, manifest, *, session_key="", checksum="", url=""):
        return Update(
            version=version, manifest=tuple(manifest), session_key=session_key, checksum=checksum, url=url, status=200
        )

    def entry(self, name, content, *, served=None, path=None):
        """An entry for ``content``, and what the server has for it."""
        url = self.depot.put(path or f"/o/{len(self.depot.objects)}", content if served is None else served)
        return ManifestEntry(name, hashlib.sha256(content).hexdigest(), url)

    def zipped(self, files):
        """A zip on the server: its URL and its checksum."""
        path = self.store.folder.parent / "made.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        data = path.read_bytes()
        path.unlink()
        return self.depot.put("/made.zip", data), hashlib.sha256(data).hexdigest()

    def serve_fixtures(self):
        """Everything that Capgo's command line made, under the addresses that the fixtures name."""
        for path in (BUNDLES / "served").rglob("*"):
            if path.is_file():
                name = path.relative_to(BUNDLES / "served").as_posix()
                # Kept as .py_, or the linters would judge them.
                self.depot.objects["/" + name.removesuffix("_")] = path.read_bytes()
        with zipfile.ZipFile(BUNDLES / "v1.zip") as archive:
            # Three megabytes that the archive holds as well.
            self.depot.objects["/objects/5ceb78b335aabf6a571c9b11"] = archive.read("assets/big.dat")
        for path in BUNDLES.glob("v*.zip"):
            self.depot.objects["/" + path.name] = path.read_bytes()

    def manifest(self, name):
        text = (BUNDLES / f"manifest-{name}.json").read_text("utf-8")
        entries = json.loads(text.replace("@BASE@", self.depot.base).replace("@DEVICE@", "d"))
        return tuple(ManifestEntry(e["file_name"], e["file_hash"], e["download_url"]) for e in entries)

    def offer(self, name):
        """The reply to an update check as the service would give it for a fixture."""
        return (BUNDLES / f"updates-{name}.json").read_text("utf-8").replace("@BASE@", self.depot.base)

    def close(self):
        self.client.close()
        self.depot.close()
