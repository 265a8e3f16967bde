"""Two Updaters on one data directory: in one process, in two, in forked and in spawned ones (section 4, promise P9)."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from children import Child, environment, in_child

from capgo_client import BundleStatus
from capgo_client.install import leases
from capgo_client.install.locks import FileLock
from capgo_client.seams import Files

pytestmark = pytest.mark.promise(9)


def _leased(app, bundle):
    """Whether some process holds the lease on an install."""
    lock = FileLock(bundle.path.parent / "lease", files=Files())
    taken = lock.acquire()
    lock.release()
    return not taken


def _end_this_process(app):
    """Let go of what this process ran from, as its end would: ``close()`` alone keeps the lease."""
    app.close()
    leases.let_go(app.data)


def _primary_is_held(app):
    lock = FileLock(app.data / "primary.lock", files=Files())
    taken = lock.acquire()
    lock.release()
    return not taken


# --- a second Updater in this process -------------------------------------------------------------------------------


def test_a_second_updater_opens_what_is_current_and_not_what_is_queued(app):
    app.install("1.5.0")
    app.publish("1.6.0")
    first = app.launch()
    assert first.wait(10)
    assert first.next_bundle.version == "1.6.0"
    second = app.updater()
    assert second.start() == first.current
    assert first.next_bundle.version == "1.6.0"


def test_a_second_updater_is_not_counted(app):
    app.queue("1.5.0")
    app.launch(max_boot_attempts=2, update_url="")
    for _ in range(5):
        assert app.updater(max_boot_attempts=2, update_url="").start().version == "1.5.0"
    assert app.launch(max_boot_attempts=2, update_url="").current.version == "1.5.0"


@pytest.mark.promise(5)
def test_a_second_updater_cannot_confirm(app):
    app.queue("1.5.0")
    first = app.launch(update_url="")
    second = app.updater(update_url="")
    second.start()
    second.notify_app_ready()
    assert first.fallback.is_builtin
    assert [bundle.status for bundle in first.bundles()] == [BundleStatus.PENDING]


@pytest.mark.promise(5)
def test_a_second_updater_cannot_condemn(app):
    app.queue("1.5.0")
    first = app.launch(update_url="")
    second = app.updater(update_url="")
    second.start()
    second.report_crash(ValueError("boom"))
    assert first.failed_update() is None
    first.notify_app_ready()
    assert first.fallback.version == "1.5.0"


def test_a_second_updater_asks_nobody_and_installs_nothing_by_itself(app):
    app.publish("1.5.0")
    app.launch(update_url="")
    second = app.updater(auto_update="always")
    second.start()
    assert second.wait(5)
    assert second.trigger_update_check() == "unavailable"
    assert app.service.requests == []


def test_closing_a_second_updater_harms_nothing_of_the_first(app):
    app.queue("1.5.0")
    first = app.launch(update_url="")
    second = app.updater(update_url="")
    second.start()
    second.close()
    assert _primary_is_held(app)
    assert _leased(app, first.current)
    assert (first.current.path / "main.py").exists()
    first.notify_app_ready()
    assert first.fallback.version == "1.5.0"


def test_when_the_first_closes_the_next_start_decides_again(app):
    app.queue("1.5.0")
    first = app.launch(update_url="")
    second = app.updater(update_url="")
    second.start()
    first.close()
    third = app.updater(update_url="")
    third.start()
    third.notify_app_ready()
    assert third.fallback.version == "1.5.0"


# --- a second process -----------------------------------------------------------------------------------------------

_OPEN_AND_WAIT = """
u = updater()
tell(u.start().version)
input()
u.notify_app_ready()
u.report_crash(ValueError("boom"))
tell([u.fallback.version, str(u.trigger_update_check()), u.next_bundle.version if u.next_bundle else None])
u.close()
"""


def test_a_second_process_opens_what_is_current_and_can_neither_confirm_nor_condemn(app):
    app.install("1.5.0")
    app.queue("1.6.0")
    first = app.launch(update_url="")
    with Child(app, _OPEN_AND_WAIT) as other:
        assert other.heard() == "1.6.0"
        other.go()
        assert other.heard() == ["1.5.0", "unavailable", None]
    assert first.failed_update() is None
    assert _primary_is_held(app)
    assert _leased(app, first.current)
    first.notify_app_ready()
    assert first.fallback.version == "1.6.0"


def test_second_processes_are_not_counted(app):
    app.queue("1.5.0")
    app.launch(max_boot_attempts=2, update_url="")
    for _ in range(3):
        assert in_child(app, "tell(updater(max_boot_attempts=2).start().version)") == ["1.5.0"]
    assert app.launch(max_boot_attempts=2, update_url="").current.version == "1.5.0"


def test_what_another_process_runs_from_is_not_removed_under_it(app):
    app.install("1.5.0")
    body = "u = updater(); tell(str(u.start().path)); input(); tell(os.path.exists(u.current.path / 'main.py'))"
    with Child(app, body) as other:
        path = other.heard()
        updater = app.launch(update_url="")
        assert str(updater.current.path) == path  # this one is the second
        updater.set_next("builtin")
        app.close()
        other.go()
        assert other.heard() is True


def test_an_install_that_a_second_process_runs_from_survives_newer_versions(app):
    app.install("1.5.0")
    first = app.launch(update_url="")
    with Child(app, "u = updater(); tell(str(u.start().path)); input(); tell(os.listdir(u.current.path))") as other:
        other.heard()
        first.close()
        for version in ("1.6.0", "1.7.0", "1.8.0"):
            app.install(version)
        assert "1.5.0" not in {bundle.version for bundle in app.updater().bundles()}
        other.go()
        assert other.heard() == ["main.py"]


def test_a_process_that_is_killed_leaves_no_lock_behind(app):
    app.queue("1.5.0")
    _end_this_process(app)
    with Child(app, "u = updater(); tell(u.start().version); input()") as other:
        assert other.heard() == "1.5.0"
        assert _primary_is_held(app)
        assert _leased(app, app.updater(update_url="").bundles()[0])
        other.kill()
    assert not _leased(app, app.updater(update_url="").bundles()[0])
    updater = app.launch(update_url="")
    assert updater.current.version == "1.5.0"
    updater.notify_app_ready()
    assert updater.fallback.version == "1.5.0"


# --- fork -----------------------------------------------------------------------------------------------------------

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
#: Python 3.12 and later warn of a fork beside threads; that is just what is tested here.
_FORK = "import warnings; warnings.simplefilter('ignore')\n"


@fork
def test_a_forked_childs_updater_is_inert(app):
    app.queue("1.5.0")
    _end_this_process(app)
    body = """
u = updater()
u.start()
pid = os.fork()
if pid == 0:
    u.notify_app_ready()
    u.report_crash(ValueError("in the child"))
    u.moved_to_background(); u.moved_to_foreground()
    tell([u.start().version, u.current.version, u.wait(1), u.trigger_update_check()])
    u.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
tell([u.fallback.version, u.failed_update() is None])
u.notify_app_ready()
tell(u.fallback.version)
"""
    assert in_child(app, _FORK + body) == [
        ["1.5.0", "1.5.0", True, "unavailable"],
        ["1.4.0", True],
        "1.5.0",
    ]


@fork
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "u.close(); sys.exit(0)", "raise SystemExit"])
def test_the_end_of_a_forked_child_releases_none_of_its_parents_locks(app, end):
    app.queue("1.5.0")
    _end_this_process(app)
    body = f"""
u = updater()
u.start()
pid = os.fork()
if pid == 0:
    {end}
os.waitpid(pid, 0)
tell("child gone")
input()
"""
    with Child(app, _FORK + body) as parent:
        assert parent.heard() == "child gone"
        assert _primary_is_held(app)
        assert _leased(app, app.updater(update_url="").bundles()[0])
        parent.go()


@fork
def test_the_end_of_a_forked_child_releases_no_lease_of_what_was_switched_away_from(app):
    app.install("1.5.0")
    app.queue("1.6.0")
    _end_this_process(app)
    body = """
u = updater(reload=lambda: None)
u.start()
u.set("builtin")
pid = os.fork()
if pid == 0:
    sys.exit(0)
os.waitpid(pid, 0)
tell("child gone")
input()
"""
    with Child(app, _FORK + body) as parent:
        assert parent.heard() == "child gone"
        held = {bundle.version: _leased(app, bundle) for bundle in app.updater(update_url="").bundles()}
        assert held["1.6.0"]
        parent.go()


@fork
def test_a_forked_child_that_starts_an_updater_of_its_own_leaves_its_parents_lease_alone(app):
    app.install("1.5.0")
    _end_this_process(app)
    body = """
u = updater()
u.start()
u.close()
pid = os.fork()
if pid == 0:
    own = updater()
    own.start()
    own.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
tell("child gone")
input()
"""
    with Child(app, _FORK + body) as parent:
        assert parent.heard() == "child gone"
        assert _leased(app, app.updater(update_url="").bundles()[0])
        parent.go()


@fork
def test_a_parent_that_dies_frees_its_locks_although_its_child_lives(app):
    app.queue("1.5.0")
    _end_this_process(app)
    body = """
u = updater()
u.start()
seen, see = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(see, b"here")
    input()
    os._exit(0)
os.read(seen, 4)
tell(pid)
os._exit(0)
"""
    with Child(app, _FORK + body) as parent:
        child = parent.heard()
        parent._process.wait(10)
        try:
            updater = app.launch(update_url="")
            updater.notify_app_ready()
            assert updater.fallback.version == "1.5.0"
        finally:
            os.kill(child, signal.SIGKILL)


@fork
def test_a_parent_that_dies_while_it_installs_frees_that_too_although_its_child_lives(app):
    app.publish("1.5.0")
    _end_this_process(app)
    body = """
u = updater()
u.start()
u.notify_app_ready()
input()
seen, see = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(see, b"here")
    input()
    os._exit(0)
os.read(seen, 4)
tell(pid)
os._exit(0)
"""
    with (
        app.service.set_fault("silence", on="download"),
        Child(app, _FORK + body, update_url=app.service.update_url) as parent,
    ):
        app.service.wait_for_requests(1, on="download")
        parent.go()
        child = parent.heard()
        parent._process.wait(10)
    try:
        updater = app.launch()
        assert updater.wait(10)
        assert updater.next_bundle is not None, str(updater.explain())
    finally:
        os.kill(child, signal.SIGKILL)


@fork
def test_a_fork_at_any_time_leaves_the_child_able_to_end(app):
    app.publish("1.5.0")
    body = """
u = updater(auto_update="always")
def start():
    u.start(); u.notify_app_ready(); u.wait(10)
thread = threading.Thread(target=start)
thread.start()
codes = set()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        u.current if u._engine.session else None
        u.close()
        sys.exit(0)
    codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
thread.join()
tell([sorted(codes), u.current.version, u.fallback.version])
"""
    assert in_child(app, _FORK + body, update_url=app.service.update_url) == [[[0], "1.5.0", "1.5.0"]]


# --- spawn ----------------------------------------------------------------------------------------------------------

_SPAWNING = """
import json, multiprocessing, os
from capgo_client import Updater, current_updater

updater = Updater(max_boot_attempts=2, **json.loads(os.environ["APP"]))
bundle = updater.start()

def work(queue):
    updater.notify_app_ready()
    updater.report_crash(ValueError("in a child"))
    queue.put([bundle.version, current_updater() is updater])

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for _ in range(2):
        child = context.Process(target=work, args=(queue,))
        child.start()
        print(json.dumps(queue.get(timeout=20)), flush=True)
        child.join(20)
    print(json.dumps([updater.fallback.version, updater.failed_update() is None]), flush=True)
    updater.close()
"""


def test_children_that_multiprocessing_spawns_count_as_second_processes(app):
    app.queue("1.5.0")
    script = app.builtin.parent / "start.py"
    script.write_text(_SPAWNING)
    with Child(app, "", script=script) as parent:
        assert [parent.heard() for _ in range(3)] == [["1.5.0", True], ["1.5.0", True], ["1.4.0", True]]
    assert app.launch(max_boot_attempts=2, update_url="").current.version == "1.5.0"


# --- many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.promise(2)
def test_two_processes_that_start_at_once_both_open_and_one_of_them_decides(app):
    app.queue("1.5.0")
    body = "u = updater(); tell(u.start().version); u.notify_app_ready(); input(); tell(u._engine.may_write)"
    with Child(app, body) as one, Child(app, body) as other:
        opened = {one.heard(), other.heard()}
        # The one that comes second may look before the first has written what it opens.
        assert opened <= {"1.5.0", "1.4.0"}
        assert "1.5.0" in opened
        one.go()
        other.go()
        assert sorted([one.heard(), other.heard()]) == [False, True]
    assert app.updater(update_url="").fallback.version == "1.5.0"


def test_threads_of_one_process_that_start_at_once_share_one_launch(app):
    app.queue("1.5.0")
    updater = app.updater(update_url="", max_boot_attempts=2)
    barrier = threading.Barrier(8)
    opened = []

    def start():
        barrier.wait(5)
        opened.append(updater.start())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(opened) == 8
    assert all(bundle is opened[0] for bundle in opened)
    assert app.launch(update_url="", max_boot_attempts=2).current.version == "1.5.0"


def test_the_child_environment_holds_the_same_app(app):
    # A guard for this file: a child with another data directory would prove nothing.
    assert str(app.data) in environment(app)["APP"]
