"""The stories that are told on the recording disk: which lives, which service each of them asks, how it has to end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from power_recording import obstacle

from capgo_client.testing import BundleKeys, Service, make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RECORDINGS", "STORIES", "told"]

_ROOT = Path(__file__).parent.parent.parent
_PATIENCE = 900
#: Nobody listens there.
_NOWHERE = "http://127.0.0.1:9/updates"


def _files(version: str, modules: int) -> dict[str, bytes | str]:
    """That many files and a few more, in some folders; some come anew with each version."""
    noise = random.Random(7)
    files: dict[str, bytes | str] = {"main.py": f"print('{version}')", "pkg/__init__.py": "", "version.txt": version}
    for number in range(modules):
        files[f"pkg/part{number % 4}/module{number}.py"] = noise.randbytes(300 + 90 * number)
    files["data/large.bin"] = noise.randbytes(150_000)
    files["data/changed.bin"] = random.Random(version).randbytes(5_000)
    return files


class Shop:
    """A service for each version that is offered, all by the same publisher."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.keys = BundleKeys.generate()
        self._open: dict[str, Service] = {}

    def offering(self, version: str = "", *, modules: int = 22, delta: bool = False) -> Service:
        """Its service; without a version one that has nothing new."""
        if version not in self._open:
            service = self._open[version] = self._stack.enter_context(Service())
            if version:
                bundle = make_bundle(version, _files(version, modules), keys=self.keys, manifest=delta)
                service.publish(bundle, delta_only=delta)
        return self._open[version]

    def url(self, version: str = "", **bundle: Any) -> str:
        """Where to ask for updates."""
        return self.offering(version, **bundle).update_url


def life(stage: str, *acts: str, **fields: Any) -> dict[str, Any]:
    """A ``power_lives.Life``, as the lab reads it."""
    return {"stage": stage, "acts": acts or ("ready",), **fields}


def first_install(shop: Shop) -> dict[str, Any]:
    """A new device: no data directory, not even the folder above it."""
    url = shop.url("2.0.0")
    return {
        "lives": [
            life("first install", "device", "ready", update_url=url, may="1.0.0 2.0.0", final="2.0.0"),
            life("apply, confirm", update_url=url),
        ],
        "after": {"update_url": url},
    }


def update(shop: Shop) -> dict[str, Any]:
    """From the third version to the fourth; the second goes when the fourth has proven itself."""
    url = shop.url("4.0.0")
    return {
        "prelude": [
            life("install 2", update_url=shop.url("2.0.0", modules=10)),
            life("confirm 2, install 3", update_url=shop.url("3.0.0", modules=2)),
            life("confirm 3", update_url=shop.url("3.0.0")),
        ],
        "lives": [
            life("update", update_url=url, may="3.0.0 4.0.0", final="4.0.0"),
            life("apply, confirm, clean up", update_url=url),
        ],
        "after": {"update_url": url},
    }


def delta(shop: Shop) -> dict[str, Any]:
    """The same by its files, most of which are here."""
    url = shop.url("3.0.0", delta=True)
    return {
        "prelude": [life("install 2", update_url=shop.url("2.0.0")), life("confirm 2", update_url=shop.url("2.0.0"))],
        "lives": [
            life("delta update", update_url=url, may="2.0.0 3.0.0", final="3.0.0"),
            life("apply, confirm delta", update_url=url),
        ],
        "after": {"update_url": url},
    }


def roll_back(shop: Shop) -> dict[str, Any]:
    """The third version crashes."""
    url = shop.url("3.0.0")
    return {
        "prelude": [
            life("install 2", update_url=shop.url("2.0.0", modules=2)),
            life("confirm 2, install 3", update_url=url),
        ],
        "lives": [
            life("roll back", "crash:2.0.0", update_url=url, may="3.0.0", final="3.0.0"),
            life("clean up after it", update_url=url),
        ],
        "after": {"update_url": url},
    }


def by_hand(shop: Shop) -> dict[str, Any]:
    """Back to the builtin, an install deleted, and forward again."""
    return {
        "prelude": [
            life("install 2", update_url=shop.url("2.0.0")),
            life("confirm 2, install 3", update_url=shop.url("3.0.0", modules=2)),
            life("confirm 3", update_url=shop.url("3.0.0")),
        ],
        "lives": [
            life("reset", "reset:1.0.0", may="3.0.0", final="3.0.0"),
            life("delete", "delete:2.0.0", may="1.0.0"),
            life("set", "set:3.0.0", "ready"),
            life("open it", may="3.0.0"),
        ],
        "after": {"update_url": shop.url("3.0.0")},
    }


def clean_up(shop: Shop) -> dict[str, Any]:
    """What killed lives left lying about."""
    url = shop.url("2.0.0", modules=10)
    return {
        "prelude": [
            life("install 2", update_url=url),
            life("confirm 2", "ready", "clutter", update_url=url),
        ],
        "lives": [life("clean up", update_url=url, may="2.0.0", final="2.0.0")],
        "after": {"update_url": url},
    }


def half_deleted(shop: Shop) -> dict[str, Any]:
    """An app that deletes an install is killed between the two halves of it; the next life empties the trash."""
    return {
        "prelude": [
            life("install 2", update_url=shop.url("2.0.0")),
            life("confirm 2, install 3", update_url=shop.url("3.0.0", modules=2)),
            life("confirm 3", update_url=shop.url("3.0.0")),
            life("reset", "reset:1.0.0"),
        ],
        "lives": [
            life("delete, killed", "killed", "delete:2.0.0", may="1.0.0", final="2.0.0"),
            life("empty the trash", update_url=shop.url()),
        ],
        "after": {"update_url": shop.url("2.0.0")},
    }


def statistics(shop: Shop) -> dict[str, Any]:
    """Events pile up while nobody takes them, then go in several batches."""
    url = shop.offering().stats_url
    return {
        "prelude": [life("some wait", "ready", "events:30", stats_url=_NOWHERE)],
        "lives": [
            life("statistics: enqueue", "ready", "events:60", stats_url=_NOWHERE, may="1.0.0", final="1.0.0"),
            life("statistics: flush", "ready", "drained", "events:5", "drained", stats_url=url),
        ],
        "after": {},
    }


def channel(shop: Shop) -> dict[str, Any]:
    """Chosen, chosen anew, and given back."""
    service = shop.offering()
    for name in ("beta", "alpha"):
        service.add_channel(name, allow_self_set=True)
    urls = {"update_url": service.update_url, "channel_url": service.channel_url}
    return {
        "lives": [
            life("channel set", "device", "channel:beta", "ready", "channel:alpha", may="1.0.0", final="1.0.0", **urls),
            life("channel unset", "channel:", "ready", **urls),
        ],
        "after": {"update_url": shop.url()},
    }


#: Those that install something, and so differ with ``syncfs`` and without.
INSTALLING = ("first install", "update", "delta update")
STORIES: dict[str, Callable[[Shop], dict[str, Any]]] = {
    "first install": first_install,
    "update": update,
    "delta update": delta,
    "roll back": roll_back,
    "clean up": clean_up,
    "by hand": by_hand,
    "half deleted": half_deleted,
    "statistics": statistics,
    "channel": channel,
}


#: Each story, and whether ``syncfs`` is there.
RECORDINGS = [(name, whole) for name in STORIES for whole in ((True, False) if name in INSTALLING else (True,))]


@contextlib.contextmanager
def _images(tmp_path: Path) -> Iterator[str]:
    """A folder for the images; in memory where there is one, for nothing of them has to last."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        memory = tmp_path
    with tempfile.TemporaryDirectory(prefix="capgo-power-", dir=memory, ignore_cleanup_errors=True) as folder:
        yield folder


def told(name: str, tmp_path: Path, *, whole: bool, **order: Any) -> dict[str, Any]:
    """Have the lab tell a story; skips where its disk cannot be had."""
    if why := obstacle():
        pytest.skip(why)
    builtin = tmp_path / "builtin"
    builtin.mkdir()
    (builtin / "main.py").write_text("print('builtin')")
    with contextlib.ExitStack() as stack:
        shop = Shop(stack)
        story = STORIES[name](shop)
        order = {
            "name": f"{name} {'syncfs' if whole else 'fsync'}",
            "whole": whole,
            "folder": str(tmp_path),
            "images": stack.enter_context(_images(tmp_path)),
            "common": {"builtin": str(builtin), "public_key": shop.keys.public_pem},
            "prelude": [],
            **story,
            **order,
        }
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("power_lab.py"))],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])},
        )
    if "cannot be mounted" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
