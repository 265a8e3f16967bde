"""A network of a test's own, in which the only name server takes every question and answers none.

``namespaces()`` gives the command that makes it, ``dead_name_server()`` is for the process that was started by it.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import subprocess
import sys

#: What such a test writes into a file, for `dead_name_server` to put in the place of the system's own.
RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n"
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40


def namespaces() -> list[str] | None:
    """The command that makes network and mount namespaces of its own; None where this system does not permit it."""
    program = shutil.which("unshare")
    if program is None or sys.platform != "linux":
        return None
    for options in (["-n", "-m"], ["-r", "-n", "-m"]):
        if subprocess.run([program, *options, "true"], capture_output=True, check=False).returncode == 0:
            return [program, *options]
    return None


def dead_name_server(resolv_conf: str) -> socket.socket:
    """Raise loopback, have the system ask there, and listen; the questions wait in what is returned."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING))
    subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    server.setblocking(False)
    return server


def was_asked(server: socket.socket) -> bool:
    """Whether the system asked it for a name. What shows that a test of it proved anything."""
    try:
        return bool(server.recv(512))
    except BlockingIOError:
        return False
