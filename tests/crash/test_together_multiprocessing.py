"""P9: an app that starts processes with multiprocessing while an update is being installed."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capgo_client import Updater
from capgo_client.install import leases
from capgo_client.testing import Service, make_bundle

pytestmark = [pytest.mark.promise(9), pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]

#: The app: its start file, which spawned children run again (as ``__mp_main__``). While its update is about to be
#: published, under the install lock, it starts children; each runs from the bundle that is open, and tells what its own
#: Updater says of itself.
_APP = """
import json, multiprocessing, os, sys, threading, warnings
from pathlib import Path
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads; that is what is tested
order = json.loads(os.environ["APP"])
from capgo_client import Updater, current_updater
from capgo_client.seams import Files

reached, go_on = threading.Event(), threading.Event()

class Gate(Files):
    def rename(self, source, target):
        if Path(target).parent.name == "installs":
            reached.set()
            go_on.wait(60)
        super().rename(source, target)

updater = Updater(**order["options"], files=Gate())
bundle = updater.start()

def work(queue):
    own = current_updater()
    own.notify_app_ready()
    own.report_crash(ValueError("in a child"))
    queue.put([bundle.version, own.trigger_update_check(), own.wait(5), (bundle.path / "main.py").read_text()])

if __name__ == "__main__":
    updater.notify_app_ready()
    assert reached.wait(30)
    context = multiprocessing.get_context(order["method"])
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    told = [queue.get(timeout=40) for _ in children]
    for child in children:
        child.join(40)
    codes = [child.exitcode for child in children]
    go_on.set()
    print(json.dumps([told, codes, updater.wait(30), updater.next_bundle and updater.next_bundle.version]))
    updater.close()
"""


@pytest.mark.parametrize("method", METHODS)
def test_children_that_are_started_while_an_update_is_installed_neither_harm_it_nor_take_part(tmp_path, method):
    builtin = tmp_path / "app"
    builtin.mkdir()
    (builtin / "main.py").write_text("builtin")
    script = tmp_path / "start.py"
    script.write_text(_APP)
    with Service() as service:
        options = {
            "app_id": "com.example.notes", "version": "1.0.0", "builtin": str(builtin),
            "data_dir": str(tmp_path / "data"), "update_url": service.update_url, "stats_url": "", "channel_url": "",
        }  # fmt: skip
        service.publish(make_bundle("1.5.0", {"main.py": "1.5.0"}))
        with Updater(**options) as app:
            app.start()
            app.notify_app_ready()
            assert app.wait(20)
        service.publish(make_bundle("1.6.0", {"main.py": "1.6.0", "data.bin": os.urandom(100_000)}))
        before = len(service.checks)
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "APP": json.dumps({"options": options, "method": method})},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told, codes, over, queued = json.loads(done.stdout)
        assert told == [["1.5.0", "unavailable", True, "1.5.0"]] * 3
        assert codes == [0] * 3
        assert len(service.checks) == before + 1  # the children asked nobody
        assert [over, queued] == [True, "1.6.0"]
        with Updater(**options) as app:
            assert app.start().version == "1.6.0"
            app.notify_app_ready()
            assert app.wait(30)
            assert app.verify(app.current).ok
            assert app.failed_update() is None
            assert sorted(bundle.version for bundle in app.bundles()) == ["1.5.0", "1.6.0"]
        leases.let_go(tmp_path / "data")
        assert list((tmp_path / "data" / "staging").iterdir()) == []
