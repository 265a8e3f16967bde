"""A whole day with marked secrets: none of them is in a log, an error, an event or an explanation (promise P6)."""

from __future__ import annotations

import contextlib
import logging
import traceback

import pytest
from besieged import APP_ID, OURS, STRANGER
from depot import Depot, cut, hang_up, refuse

from capgo_client import CapgoError, ConfigError, Updater
from capgo_client.testing import Service, hanging_proxy, make_bundle

pytestmark = pytest.mark.promise(6)

PASSWORD, KEY, CUSTOM, TOKEN = "hunter2horse", "key-7f3a9c", "jane@example.org", "tok-91b2"
DEVICE = "0f0e0d0c-0b0a-4908-8706-050403020100"
BUNDLES = [make_bundle(f"1.5.{n}", {"main.py": f"print({n})\n"}, keys=OURS, manifest=bool(n % 2)) for n in range(8)]


def redirect(handler, _):
    handler.send_response(302)
    handler.send_header("Location", f"http://me:{PASSWORD}@updates.example.invalid/x?token={TOKEN}")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


#: What the host of the downloads does with each bundle in turn.
FAILURES = [refuse(404), refuse(403), cut(20), redirect, hang_up]
#: What the service does with a check, statistics and channels.
FAULTS = ["http-500", "html-200", "not-json", "redirect-to-http", "reset-in-body", "empty-reply", "http-429-seconds"]


class Day:
    """Everything that anybody could have written down."""

    def __init__(self, root):
        self.heard = []
        self.depot = Depot()
        self.service = Service()
        self.service.start()
        self.options = {
            "builtin": root / "app",
            "data_dir": root / "data",
            "update_url": self.url("updates"),
            "stats_url": self.url("stats"),
            "channel_url": self.url("channel_self"),
            "public_key": [OURS.public_pem, STRANGER.public_pem],
            "custom_id": CUSTOM,
            "device_id": DEVICE,
            "allow_modify_url": True,
            "default_channel": "production",
        }
        (root / "app").mkdir()

    def url(self, name):
        return self.service.url.replace("//", f"//me:{PASSWORD}@") + f"/{name}?key={KEY}&device_id={DEVICE}"

    def note(self, thing):
        self.heard.append(str(thing))

    def tried(self, call, *arguments, **named):
        """What came of a call, as an app would log it."""
        try:
            self.note(repr(call(*arguments, **named)))
        except CapgoError as exc:
            self.note(f"{exc} {exc!r} {exc.hint} {''.join(traceback.format_exception(exc))}")
            return False
        return True

    @contextlib.contextmanager
    def launch(self, **options):
        with Updater(APP_ID, "1.4.0", **{**self.options, **options}) as updater:
            for event in ("download", "download_failed", "update_available", "update_check_result", "set_next",
                          "no_need_update", "app_ready", "set", "channel_private"):  # fmt: skip
                updater.on(event, self.note)
            updater.start()
            updater.notify_app_ready()
            self.note(updater)
            self.note(repr(updater._engine.config))
            yield updater
            updater.wait(10)
            self.note(updater.explain())
            self.note(repr(updater.explain()))

    def end(self):
        self.service.stop()
        self.depot.close()


@pytest.fixture
def day(tmp_path):
    made = Day(tmp_path)
    yield made
    made.end()


def live_through(day):
    worked = failed = 0
    for number, bundle in enumerate(BUNDLES):
        path = f"/b{number}.zip"
        url = day.depot.put(path, bundle.archive)
        url = url.replace("//", f"//me:{PASSWORD}@").replace("key=7", f"key={KEY}")
        day.depot.scripts[path] = [FAILURES[number]] * 2 if number < len(FAILURES) else []
        day.service.publish(bundle, url=url)
        with day.launch() as updater:
            if number == 0:
                worked += day.tried(updater.get_channel)
                worked += day.tried(updater.list_channels)
                failed += not day.tried(updater.set_channel, "no such channel")
                failed += not day.tried(updater.set_update_url, f"ftp://me:{PASSWORD}@x/?key={KEY}")
                day.tried(updater.set_custom_id, CUSTOM.upper())
            worked += day.tried(updater.get_latest)
            day.tried(updater.download, url, bundle.version, session_key=bundle.session_key, checksum=bundle.checksum)
            failed += not day.tried(updater.download, url, "1.9.9", session_key=bundle.session_key[1:], checksum="x")
    for fault in FAULTS:
        day.service.set_fault(fault)
        with day.launch() as updater:
            failed += not day.tried(updater.get_latest)
            failed += not day.tried(updater.list_channels)
        day.service.clear_faults()
    with hanging_proxy() as proxy, day.launch(
        proxy=proxy.url.replace("//", f"//me:{PASSWORD}@"), response_timeout=0.2
    ) as updater:  # fmt: skip
        failed += not day.tried(updater.get_latest)
    return worked, failed


def mistakes(day):
    """What a developer gets wrong once, with the secrets in it."""
    wrong = {
        "update_url": f"ftp://me:{PASSWORD}@example.com/?key={KEY}",
        "stats_url": f"http://me:{PASSWORD}@example.com/?key={KEY}",
        "channel_url": f"https://me:{PASSWORD}@example.com:port/?key={KEY}",
        "proxy": f"socks5://me:{PASSWORD}@example.com",
        "public_key": OURS.public_pem[:-80],
        "custom_id": CUSTOM * 9,
        "device_id": DEVICE + "0",
    }
    for name, value in wrong.items():
        with pytest.raises(ConfigError) as caught:
            Updater(APP_ID, "1.4.0", **{**day.options, name: value})
        day.note(f"{caught.value} {caught.value!r} {caught.value.hint}")


def test_no_secret_of_a_whole_day_is_in_anything_that_is_written_or_shown(day, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    worked, failed = live_through(day)
    assert worked >= 9
    assert failed >= 15  # which of them depends on whom the worker is ahead of
    mistakes(day)
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    ours = [record for record in caplog.records if record.name.startswith("capgo_client")]
    assert len(ours) > 30
    # Of others too: httpx writes whole URLs, unless it is kept from that.
    logged = "\n".join(formatter.format(record) for record in caplog.records)
    shown = "\n".join((logged, *day.heard, *capfd.readouterr()))
    assert "1.5.6" in shown
    secrets = {
        "a password": PASSWORD,
        "a key in a query": KEY,
        "a token that a server sent": TOKEN,
        "the custom id": CUSTOM,
        "the custom id that was set": CUSTOM.upper(),
        "a query": "?key=",
        "the device id in a query": "device_id=",
        "the public key": OURS.public_pem.splitlines()[2],
        **{f"session key {n}": bundle.session_key[30:90] for n, bundle in enumerate(BUNDLES)},
        **{f"signed checksum {n}": bundle.checksum[30:90] for n, bundle in enumerate(BUNDLES)},
    }
    found = {
        name: shown[max(0, at - 200) : at + 60] for name, secret in secrets.items() if (at := shown.find(secret)) >= 0
    }
    assert found == {}
    assert DEVICE not in logged
