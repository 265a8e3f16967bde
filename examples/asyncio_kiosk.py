"""An asyncio service that updates itself: a display in a hall, a till, a sensor; it runs for months and nobody looks.

    python examples/asyncio_kiosk.py        # plays with it, against a service on this machine

To make a project of it, put the first part into ``app/main.py``, which every update brings anew, and the second into
``start.py`` beside that folder, which is installed once and never updated. systemd keeps it running::

    # /etc/systemd/system/kiosk.service
    [Unit]
    After=network.target
    [Service]
    Type=notify
    ExecStart=/opt/kiosk/venv/bin/python /opt/kiosk/start.py
    ExecReload=/bin/kill -HUP $MAINPID
    User=kiosk
    Restart=always
    RestartSec=5
    WatchdogSec=60
    [Install]
    WantedBy=multi-user.target

``systemctl reload kiosk`` looks for an update and changes over as soon as it is there; else that happens at night.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from capgo_client import EventStream, Updater, current_updater
from capgo_client.launcher import restart, run

# ---- app/main.py: what an update replaces ----------------------------------------------------------------------------

#: Where the next version differs.
GREETING = "Welcome."
PORT = int(os.environ.get("KIOSK_PORT", "8080"))
#: The hour, by the clock on the wall, in which nobody is disturbed.
NIGHT = 4


class Kiosk:
    """Answers every request of the browser on this machine with one line."""

    def __init__(self, updater: Updater) -> None:
        self.updater = updater
        self.end, self.wants_restart = asyncio.Event(), False
        self.in_a_hurry_until, self.asks_again = 0.0, False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.TimeoutError):  # who connects and says nothing is not waited for
            await asyncio.wait_for(reader.readline(), 2)
            line = f"{GREETING} This is version {self.updater.current.version}.\n"
            writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(line)}\r\n\r\n{line}".encode())
            await asyncio.wait_for(writer.drain(), 2)
        writer.close()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.end.set)
        loop.add_signal_handler(signal.SIGHUP, self.hurry)
        server = await asyncio.start_server(self.answer, "127.0.0.1", PORT)
        async with self.updater.events("app_ready") as news:
            # It listens: this version works. One that gets stuck before this is replaced after ``app_ready_timeout``.
            self.updater.notify_app_ready()
            tell_systemd("READY=1")
            tasks = [asyncio.create_task(each) for each in (self.end.wait(), self.beat(), self.follow(news))]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        server.close()
        for task in tasks:
            task.cancel()
        while visits := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(visits)  # who has asked already is answered
        for task in done:
            task.result()  # what one of them raised leaves the app here, and counts as a crash

    def hurry(self) -> None:
        self.in_a_hurry_until = time.monotonic() + 600  # what comes later than that waits for the night
        self.asks_again = self.updater.trigger_update_check() == "already_running"  # that one may have asked too early
        self.look()

    async def follow(self, news: EventStream) -> None:
        """Told in this loop whenever the service was asked: for the log, and to change over if something has come."""
        async for event in news:
            print(event.status, flush=True)
            self.look()
            if self.asks_again:
                self.hurry()
        await self.end.wait()  # the updater was closed

    async def beat(self) -> None:
        """While this loop goes round systemd's watchdog is content. Else it ends the process, and starts it anew."""
        while True:
            tell_systemd("WATCHDOG=1")
            self.look()
            await asyncio.sleep(20)

    def look(self) -> None:
        """Change over where something waits and this is a good moment."""
        is_good = time.localtime().tm_hour == NIGHT or time.monotonic() < self.in_a_hurry_until
        if is_good and self.updater.next_bundle:
            self.wants_restart = True
            self.end.set()


def tell_systemd(text: str) -> None:
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(text.encode(), address.replace("@", "\0", 1))


def main() -> None:
    kiosk = Kiosk(current_updater())
    asyncio.run(kiosk.serve())
    if kiosk.wants_restart:
        restart()  # the port is free again, and the next version opens in this same process


# ---- start.py: installed once, never updated -------------------------------------------------------------------------


def start(app: Path, **options: Any) -> None:
    """Run the newest good version of what lies in ``app``. A real start file has options of its own, or none."""
    updater = Updater(
        "com.example.kiosk",
        "1.0.0",
        app,
        entry="main.py",
        period_check_delay=3600.0,  # seconds; it asks less often after failures, and a month without network is no harm
        reload=restart,  # a version that hangs before it is ready is replaced, though nobody is there to start it again
        **options,
    )
    run(updater, "main:main")


# ---- the demo: plays the device, the service, the publisher and a visitor; no part of an app -------------------------


def demo() -> None:
    """Start it, publish the next version, and reload it as systemd would."""
    from capgo_client.testing import Service, make_bundle

    first = Path(__file__).read_text("utf-8")
    second = first.replace('GREETING = "Welcome."', 'GREETING = "Welcome back."')
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        app = Path(folder, "app")
        app.mkdir()
        (app / "main.py").write_text(first, "utf-8")
        urls = {name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")}
        options = json.dumps({"data_dir": f"{folder}/device", "trust_env": False, **urls})
        command = [sys.executable, __file__, str(app), options]
        with subprocess.Popen(command, env={**os.environ, "KIOSK_PORT": port}) as kiosk:
            print("A visitor reads:", visit(port, "1.0.0"), flush=True)
            service.publish(make_bundle("2.0.0", {"main.py": second}))
            print("2.0.0 is published. $ systemctl reload kiosk", flush=True)
            kiosk.send_signal(signal.SIGHUP)
            print("A visitor reads:", visit(port, "2.0.0"), flush=True)
            kiosk.terminate()


def visit(port: str, version: str) -> str:
    """What it answers as soon as it is of that version; between two versions nobody listens for a moment."""
    said, end = "nothing", time.monotonic() + 30
    while version not in said and time.monotonic() < end:
        time.sleep(0.1)
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            said = answer.read().decode().strip()
    return said


if __name__ == "__main__":
    if sys.argv[1:]:  # the demo's own launches
        start(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    else:
        demo()
