"""Capgo's own command line, as `make interop` installed it, in a project folder of its own.

How it is run without an account: reference/bundle-formats.md section 1. Whatever it wants of the world is on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENTRY = HERE.parents[1] / ".interop" / "node_modules" / "@capgo" / "cli" / "dist" / "index.js"
APP_ID = "com.example.notes"
#: Any plugin of today: the command line picks the newest forms when it finds one of these.
PLUGIN = "8.51.14"
_API_KEY = "12345678-1234-4234-8234-123456789012"
_STUB = "@capgo/capacitor-updater"


def why_not():
    """Why it cannot be run here; empty when it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if ENTRY.is_file() else "Capgo's command line is not installed; run `make interop`"


class CliFailed(Exception):
    """It ended with another exit code than 0; ``args[0]`` is all it said."""


@dataclass(frozen=True)
class Packed:
    """What it made: a file, the checksum it announces, and the session key of an encrypted one."""

    path: Path
    checksum: str
    session_key: str = ""


class CapgoCli:
    """One publisher's project. ``plugin`` is the version of Capgo's plugin that it finds installed; None: none."""

    def __init__(self, folder, *, plugin=PLUGIN):
        self.folder = folder
        folder.mkdir(parents=True)
        self._config = {"appId": APP_ID, "appName": "notes", "webDir": "www", "plugins": {"CapacitorUpdater": {}}}
        self._write("capacitor.config.json", self._config)
        self.install_plugin(plugin)

    # The project

    def install_plugin(self, version):
        """What stands for an installed plugin: its package.json."""
        shutil.rmtree(self.folder / "node_modules", ignore_errors=True)
        dependencies = {} if version is None else {_STUB: version}
        self._write("package.json", {"name": "stub", "version": "1.0.0", "dependencies": dependencies})
        if version is None:
            return
        (self.folder / "node_modules" / _STUB).mkdir(parents=True)
        self._write(f"node_modules/{_STUB}/package.json", {"name": _STUB, "version": version})

    def configure(self, **plugin_options):
        """Set options of the plugin in the project's configuration, such as ``publicKey``."""
        config = json.loads((self.folder / "capacitor.config.json").read_text("utf-8"))
        config["plugins"]["CapacitorUpdater"].update(plugin_options)
        self._write("capacitor.config.json", config)

    @property
    def configured_key(self):
        """The public key that it wrote into the configuration for the plugin."""
        config = json.loads((self.folder / "capacitor.config.json").read_text("utf-8"))
        return config["plugins"]["CapacitorUpdater"]["publicKey"]

    @property
    def public_key_file(self):
        return self.folder / ".capgo_key_v2.pub"

    def _write(self, name, document):
        (self.folder / name).write_text(json.dumps(document, indent=2), "utf-8")

    # Its commands

    def create_keys(self):
        self.run("key", "create")

    def adopt_keys(self, other):
        """Use the keys of another project."""
        for name in (".capgo_key_v2", ".capgo_key_v2.pub"):
            shutil.copyfile(other.folder / name, self.folder / name)
        self.configure(publicKey=other.configured_key)

    def zip(self, tree, version):
        made = json.loads(
            self.run("bundle", "zip", APP_ID, "--path", tree, "--bundle", version, "--json", "--no-code-check")
        )
        return Packed(self.folder / made["filename"], made["checksum"])

    def encrypt(self, packed):
        made = json.loads(self.run("bundle", "encrypt", packed.path, packed.checksum, "--json"))
        return Packed(self.folder / made["filename"], made["checksum"], made["ivSessionKey"])

    def decrypt(self, packed):
        """The plain bytes, after it has compared their checksum."""
        self.run("bundle", "decrypt", packed.path, packed.session_key, "--checksum", packed.checksum)
        return Path(f"{packed.path}_decrypted.zip").read_bytes()

    def upload(self, tree, version, console, *options):
        """`bundle upload` to ``console``, which keeps what came."""
        self.configure(
            localSupa=console.url, localSupaAnon="anon", localApi=f"{console.url}/api", localApiFiles=console.url
        )
        self.run(
            *("bundle", "upload", APP_ID, "--path", tree, "--bundle", version, "--channel", "production"),
            *("--apikey", _API_KEY, "--no-code-check", "--ignore-metadata-check", *options),
        )

    def run(self, *arguments):
        """Run it; return its standard output. Raises CliFailed."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            ["node", "--require", str(HERE / "only_loopback.cjs"), str(ENTRY), *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "CI": "1",
                "CAPGO_DISABLE_TELEMETRY": "1",
                "CAPGO_DISABLE_POSTHOG": "1",
                "CAPGO_SKIP_UPDATE_PROMPT": "1",
            },
        )
        if done.returncode:
            raise CliFailed(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout
