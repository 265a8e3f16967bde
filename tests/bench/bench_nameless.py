"""Runs a command where the only name server never answers: ``unshare -n -m python bench_nameless.py RESOLV COMMAND``.

In network and mount namespaces of its own, as `dead_name_server` describes them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from dead_name_server import dead_name_server


def main() -> None:
    server = dead_name_server(sys.argv[1])
    os.set_inheritable(server.fileno(), True)  # it stays open as long as the command runs
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
