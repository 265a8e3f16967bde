"""What is measured of others, one action for each process: ``bench_peers.py ACTION OPTIONS`` (a JSON object)."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

Options = dict[str, Any]
APP, VERSION = "bench", "1.0.0"


def make_repository(o: Options) -> Options:
    """Sign the files of ``targets`` as a TUF repository in ``repository``: what a publisher does once."""
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

    expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
    signer = CryptoSigner.generate_ed25519()
    roles = {"root": Root(expires=expires), "targets": Targets(expires=expires)}
    roles |= {"snapshot": Snapshot(expires=expires), "timestamp": Timestamp(expires=expires)}
    for role in roles:
        roles["root"].add_key(signer.public_key, role)
    for path in Path(o["targets"]).iterdir():
        roles["targets"].targets[path.name] = TargetFile.from_file(path.name, str(path))
    roles["root"].consistent_snapshot = False
    folder = Path(o["repository"], "metadata")
    folder.mkdir(parents=True)
    for role, signed in roles.items():
        metadata = Metadata(signed)
        metadata.sign(signer)
        metadata.to_file(str(folder / f"{role}.json"))
    shutil.copy(folder / "root.json", folder / "1.root.json")
    return {}


def _folders(o: Options) -> tuple[Path, Path, Path]:
    folder = Path(o["folder"])
    metadata, targets, app = folder / "metadata", folder / "targets", folder / "app"
    for each in (metadata, targets, app):
        each.mkdir(parents=True)
    shutil.copy(o["root"], metadata / "root.json")
    return metadata, targets, app


def _tuf(o: Options) -> Any:
    from tuf.ngclient import Updater

    metadata, targets, _ = _folders(o)
    return Updater(
        str(metadata),
        f"{o['url']}/metadata/",
        str(targets),
        f"{o['targets_url']}/",
        bootstrap=Path(o["root"]).read_bytes(),
    )


def _tufup(o: Options) -> Any:
    from tufup.client import Client

    metadata, targets, app = _folders(o)
    return Client(
        app_name=APP,
        app_install_dir=app,
        current_version=VERSION,
        metadata_dir=metadata,
        metadata_base_url=f"{o['url']}/metadata/",
        target_dir=targets,
        target_base_url=f"{o['targets_url']}/",
        extract_dir=app,
    )


def _timed(act: Any) -> Options:
    began, cpu = time.monotonic(), time.process_time()
    act()
    return {"own_wall": time.monotonic() - began, "own_cpu": time.process_time() - cpu, "own_peak": _peak()}


def _peak() -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def tuf_update(o: Options) -> Options:
    """Refresh, fetch, verify, unpack; python-tuf itself stops before unpacking. Nothing is flushed to the disk."""
    client = _tuf(o)

    def act() -> None:
        client.refresh()
        path = client.download_target(client.get_targetinfo("bundle.zip"))
        with zipfile.ZipFile(path) as archive:
            archive.extractall(Path(o["folder"], "app"))

    return _timed(act)


def tufup_update(o: Options) -> Options:
    """As its documentation has it; unpacked into the place itself, so that moving it there costs nothing."""
    client = _tufup(o)

    def act() -> None:
        if client.check_for_updates() is None:
            sys.exit("tufup found no update")
        client.download_and_apply_update(skip_confirmation=True, install=lambda **_: None)

    told = _timed(act)
    if not any(Path(o["folder"], "app").iterdir()):
        sys.exit("tufup installed nothing")
    return told


def httpx_check(o: Options) -> Options:
    """``count`` posts over one client whose connection is kept, after a few that do not count."""
    import httpx

    verify: Any = True
    if o.get("ca"):
        import ssl

        verify = ssl.create_default_context(cafile=o["ca"])
    count = o["count"]
    with httpx.Client(timeout=3, verify=verify) as client:

        def act() -> None:
            for _ in range(count):
                client.post(o["url"], json=o["body"]).json()

        for _ in range(5):
            client.post(o["url"], json=o["body"]).json()
        told = _timed(act)
    return {name: value / count for name, value in told.items() if name != "own_peak"}


# ---- how long a check blocks ----


def blocked(o: Options) -> Options:
    """How long a check of ``who`` takes; whatever it ends with."""
    check = {"tuf": _tuf_check, "tufup": _tufup_check, "velopack": _velopack_check, "httpx": _httpx_check}[o["who"]](o)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    try:
        said = repr(check())[:60]
    except BaseException as exc:
        said = type(exc).__name__
    return {"seconds": time.monotonic() - began, "said": said}


def _tuf_check(o: Options) -> Any:
    return _tuf(o).refresh


def _tufup_check(o: Options) -> Any:
    return _tufup(o).check_for_updates


def _httpx_check(o: Options) -> Any:
    import httpx

    return lambda: httpx.get(o["url"], timeout=3).status_code


_NUSPEC = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://schemas.microsoft.com/packaging/2010/07/nuspec.xsd"><metadata><id>bench</id>
<title>bench</title><description>bench</description><authors>bench</authors><version>1.0.0</version>
<channel>linux</channel><mainExe>bench</mainExe><os>linux</os><rid>linux-x64</rid></metadata></package>
"""


def _velopack_check(o: Options) -> Any:
    import velopack

    root = Path(o["folder"])
    current, packages, program = root / "current", root / "packages", root / "UpdateNix"
    for each in (current, packages):
        each.mkdir(parents=True)
    program.touch()
    (current / "sq.version").write_text(_NUSPEC, "utf-8")
    place = velopack.VelopackLocatorConfig(root, program, packages, current / "sq.version", current, True)
    return velopack.UpdateManager(o["url"], None, place).check_for_updates


def main() -> None:
    action, options = globals()[sys.argv[1]], json.loads(sys.argv[2])
    print(json.dumps(action(options)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
