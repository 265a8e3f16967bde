"""Run by ``measuring.Start``: start() an app once, say how that went, and let main end without close().

The order is JSON: ``options`` of the Updater, and how this process is to be:
``hang_lookup``  no name lookup ever returns
``resolv_conf``  in namespaces of its own: loopback up, this file instead of /etc/resolv.conf, and a name server that
                 listens and never answers
``ready``        say notify_app_ready() after start()
``linger``       wait for a line on stdin before main ends
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from dead_name_server import dead_name_server, was_asked


def hang_every_lookup():
    real, reached = socket.getaddrinfo, threading.Event()

    def hang(host, *args, **kwargs):
        if str(host).endswith(".test"):
            reached.set()
            threading.Event().wait()
        return real(host, *args, **kwargs)

    socket.getaddrinfo = hang
    return reached


def tcp_sockets():
    """How many of this process's descriptors are TCP sockets."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(path.name))) as sock:
                count += sock.type == socket.SOCK_STREAM
        except OSError:
            continue  # no socket
    return count


def main():
    order = json.loads(sys.argv[1])
    hanging = hang_every_lookup() if order.get("hang_lookup") else None
    server = dead_name_server(order["resolv_conf"]) if order.get("resolv_conf") else None

    from capgo_client import Updater

    updater = Updater("com.example.notes", "1.4.0", **order["options"])
    began = time.monotonic()
    version = updater.start().version
    took = time.monotonic() - began
    if order.get("ready"):
        updater.notify_app_ready()
    if hanging is not None:
        hanging.wait(10)
    if order.get("linger"):
        sys.stdin.readline()
    else:
        updater.wait(5)
    if server is not None and not was_asked(server):
        sys.exit("the system did not ask the dead name server, so this run proved nothing")
    told = updater.explain()
    report = {
        "began": began,
        "took": took,
        "version": version,
        "code": told.answer_code,
        "text": told.result,
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "sockets": tcp_sockets(),
        "ended": time.monotonic(),
    }
    print(json.dumps(report), flush=True)


main()
