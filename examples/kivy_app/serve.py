"""Stands in for Capgo's service, on this machine only: it offers what lies in ``next/`` as version 1.1.0."""

from __future__ import annotations

import argparse
import contextlib
import threading
from pathlib import Path

from capgo_client.testing import Service, make_bundle

FOLDER = Path(__file__).resolve().parent
NOTES = "You can strike out what you have bought.\nThe window is green now."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765, help="0 for a free one")
    port = parser.parse_args().port
    with Service(port=port) as service, contextlib.suppress(KeyboardInterrupt):
        service.publish(make_bundle("1.1.0", FOLDER / "next"), comment=NOTES, link="https://example.com/notes/1.1")
        # So slow that you see the bar move.
        service.set_fault("slow-download", bytes_per_second=400)
        print(
            f"Serving until Ctrl-C. Open the app:\n  python {FOLDER / 'start.py'} --service {service.url}", flush=True
        )
        threading.Event().wait()


if __name__ == "__main__":
    main()
