"""``python -m capgo_client``: the command line."""

from __future__ import annotations

import sys

from capgo_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
