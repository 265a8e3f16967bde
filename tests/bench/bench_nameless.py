"""Runs a command where the only name server never answers: ``unshare -n -m python bench_nameless.py RESOLV COMMAND``.

In network and mount namespaces of its own: raises loopback, replaces resolv.conf, and holds port 53 open, so that
questions are taken and not answered.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys


def main() -> None:
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
    subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    os.set_inheritable(server.fileno(), True)  # it stays open as long as the command runs
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
