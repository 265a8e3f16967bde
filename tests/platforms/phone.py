"""An app's start on a phone, as far as a desktop can play one. Run by test_phone_path.py, in a process of its own.

It is given what the phone lacks and what the phone says about itself, as JSON. Not a test module: nothing of pytest
may be imported here.
"""

from __future__ import annotations

import builtins
import json
import sys
import types


def refuse(*names: str) -> None:
    """Make modules impossible to import, also those that Python itself has loaded on its way here."""

    class Lacking:
        def find_spec(self, fullname, path=None, target=None):
            if fullname.partition(".")[0] in names:
                raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

    for name in [loaded for loaded in sys.modules if loaded.partition(".")[0] in names]:
        del sys.modules[name]
    sys.meta_path.insert(0, Lacking())


def age(allowed: dict[str, list[str]]) -> None:
    """Let the library import from cryptography only what the oldest one has."""
    ordinary = builtins.__import__

    def importing(name, *given, **named):
        asking = named.get("globals") or next(iter(given[:1]), None) or {}
        wanted = named.get("fromlist") or next(iter(given[2:3]), None) or ()
        # cryptography's own Rust imports on behalf of whoever called it, and takes no names.
        if name.partition(".")[0] == "cryptography" and asking.get("__name__", "").startswith("capgo_client"):
            newer = sorted(set(wanted) - set(allowed.get(name, ())))
            if newer:
                raise ImportError(f"cannot import {newer} from {name}: an old cryptography does not have it")
        return ordinary(name, *given, **named)

    builtins.__import__ = importing


def main(given: dict) -> None:
    sys.platform = given["sys_platform"]
    if given["android"]:
        sys.getandroidapilevel = lambda: 34
    sys.path[:0] = given["sys_path"]
    refuse(*given["lacks"])
    if given["old_brotli"]:  # 1.1: without an output limit
        sys.modules["brotli"] = types.ModuleType("brotli")
        sys.modules["brotli"].Decompressor = type("Decompressor", (), {"process": None, "is_finished": None})
    age(given["cryptography"])

    from capgo_client import Updater
    from capgo_client.launcher import run

    updater = Updater(
        given["app_id"],
        "1.4.0",
        given["builtin"],
        entry="main.py",
        public_key=given["public_key"],
        data_dir=given["data_dir"],
        **{name: given[name] for name in ("update_url", "stats_url", "channel_url")},
    )
    run(updater, "main:main")
    loaded = sorted(set(given["lacks"]) & {name.partition(".")[0] for name in sys.modules})
    print(json.dumps({"loaded": loaded, "optimized": sys.flags.optimize, "httpx": "httpx" in sys.modules}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
