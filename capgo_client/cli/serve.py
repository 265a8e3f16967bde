"""``capgo-client serve``: the test kit's service on loopback, for an app in any language or a person at a keyboard."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from capgo_client.cli.choosing import find, listing
from capgo_client.cli.interrupts import interruptible
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.publishing import private_key, published_version, source_tree, tell_refusal, tell_remarks
from capgo_client.seams import Clock
from capgo_client.testing import (
    Service,
    black_hole,
    hanging_proxy,
    make_bundle,
    refused_url,
    silent_peer,
    tls_stall,
)
from capgo_client.testing.backend import kind_of
from capgo_client.testing.faults import ENDPOINTS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from capgo_client.cli.source_tree import Refusal
    from capgo_client.testing import BundleKeys, Fault, MadeBundle, Reply, Request
    from capgo_client.testing.control import Decision
    from capgo_client.testing.tls import Kind

__all__ = ["register", "run"]

_CERTIFICATE = "certificate-"
_PATHS = {"update_url": "/updates", "stats_url": "/stats", "channel_url": "/channel_self"}
#: What stands in the service's place for the faults that come before HTTP.
_PEERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "refused": refused_url,
    "black-hole": black_hole,
    "silent-peer": silent_peer,
    "tls-stall": tls_stall,
    "proxy-hang": hanging_proxy,
}
#: Long enough to cost nothing; Windows sees Ctrl-C only between two waits (seconds).
_NAP = 1.0
_HIGHEST_PORT = 65535


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run a loopback service that behaves like Capgo's, or misbehaves as told",
        description=(
            "Run a loopback service that behaves like Capgo's, until Ctrl-C."
            " It prints its URLs, and each request with its answer."
        ),
    )
    parser.add_argument("--list", action="store_true", help="print every fault with its description, and end")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="where to listen; default: a free port")
    parser.add_argument("--tls", action="store_true", help="https, with a throw-away authority; prints its file")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line: the URLs, then each request")
    faults = parser.add_argument_group("faults")
    faults.add_argument("--fault", action="append", default=[], metavar="NAME", help="misbehave so; may be repeated")
    faults.add_argument("--on", choices=ENDPOINTS, help="at this endpoint; default: where the fault makes sense")
    which = faults.add_mutually_exclusive_group()
    which.add_argument("--nth", type=int, metavar="N", help="only the n-th such request, counted from 1")
    which.add_argument("--probability", type=float, metavar="P", help="each such request with this chance, 0 to 1")
    faults.add_argument("--seed", type=int, metavar="S", help="makes --probability repeatable")
    offer = parser.add_argument_group("what it offers")
    offer.add_argument("--bundle", type=Path, metavar="DIR", help="offer what lies in this folder")
    offer.add_argument("--version", metavar="V", help="as this version")
    offer.add_argument("--keys", type=Path, metavar="FILE", help="signed and encrypted with this private key (PEM)")
    offer.add_argument("--manifest", action="store_true", help="also file by file, for delta updates")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 when the folder holds what no device would install.

    Raises:
        UsageMistake: The options make no sense together.
    """
    if args.list:
        sys.stdout.write("\n".join(listing()) + "\n")
        return 0
    _check(args)
    faults = [find(name) for name in args.fault]
    keys = private_key(args.keys)
    if refused := _refused(args):
        return tell_refusal(args, "served", refused)
    bundle = _bundle(args, keys)
    with contextlib.suppress(KeyboardInterrupt), interruptible(), ExitStack() as stack:
        log = _Log(as_json=args.json)
        service = stack.enter_context(_service(args, faults, log))
        if bundle is not None:
            service.publish(bundle)
        urls = {name: f"{service.url}{path}" for name, path in _PATHS.items()}
        for fault in faults:
            urls |= _set(fault, service, stack, args)
        if service.has_tls:
            urls["ca_file"] = str(service.ca_path)
        log.begin(urls, faults, bundle)
        _wait_for_ever()
    return 0


def _check(args: argparse.Namespace) -> None:
    if not 0 <= args.port <= _HIGHEST_PORT:
        raise UsageMistake(f"--port {args.port}: ports go from 0 to {_HIGHEST_PORT}")
    if args.nth is not None and args.nth < 1:
        raise UsageMistake(f"--nth {args.nth}: requests are counted from 1")
    if args.probability is not None and not 0 <= args.probability <= 1:
        raise UsageMistake(f"--probability {args.probability:g}: a chance is from 0 to 1")
    if (args.bundle is None) != (args.version is None):
        raise UsageMistake("--bundle and --version belong together: the folder, and the version that it is")
    if args.version is not None:
        published_version(args.version)
    if args.bundle is None and (args.keys or args.manifest):
        raise UsageMistake("--keys and --manifest say how --bundle is offered; give a --bundle as well")


def _refused(args: argparse.Namespace) -> Sequence[Refusal]:
    """What no device would install of the folder, told as ``pack`` tells it. Raises UsageMistake."""
    if args.bundle is None:
        return ()
    tree = source_tree(args.bundle, to_seal=False)
    tell_remarks(tree)
    return tree.refused


def _bundle(args: argparse.Namespace, keys: BundleKeys | None) -> MadeBundle | None:
    if args.bundle is None:
        return None
    try:
        return make_bundle(args.version, args.bundle, keys=keys, manifest=args.manifest)
    except OSError as exc:
        raise UsageMistake(f"{exc.filename} cannot be read: {exc.strerror}") from exc
    except (ImportError, ValueError) as exc:
        raise UsageMistake(f"--bundle {args.bundle}: {exc}") from exc


def _service(args: argparse.Namespace, faults: list[Fault], log: _Log) -> _Told:
    certificates = [fault.name.removeprefix(_CERTIFICATE) for fault in faults if fault.where == "certificate"]
    kind: Kind = certificates[0] if certificates else "valid"  # type: ignore[assignment]  # the registry's names
    service = _Told(log, tls=args.tls or bool(certificates), certificate=kind, port=args.port)
    try:
        service.start()
    except OSError as exc:
        raise UsageMistake(f"--port {args.port}: cannot listen there ({exc.strerror})") from exc
    return service


def _set(fault: Fault, service: Service, stack: ExitStack, args: argparse.Namespace) -> dict[str, str]:
    """Have one fault; return the URLs that change by it.

    Raises:
        UsageMistake: It is not one of a service.
    """
    if fault.where == "certificate":
        return {}
    if fault.name in _PEERS:
        peer = stack.enter_context(_PEERS[fault.name]())
        url = peer if isinstance(peer, str) else peer.url
        return {"proxy": url} if fault.name == "proxy-hang" else {name: url + path for name, path in _PATHS.items()}
    if fault.perform is None:
        raise UsageMistake(
            f"{fault.name} is not a fault of the service; capgo-client simulate and the test kit have it"
        )
    service.set_fault(fault.name, on=args.on, nth=args.nth, probability=args.probability, seed=args.seed)
    return {}


def _wait_for_ever() -> NoReturn:
    never = threading.Event()
    while True:
        never.wait(_NAP)


class _Told(Service):
    """A service that tells of each request."""

    def __init__(self, log: _Log, *, tls: bool, certificate: Kind, port: int) -> None:
        super().__init__(tls=tls, certificate=certificate, port=port)
        self._log = log

    def _decide(self, request: Request) -> Decision:
        decision = super()._decide(request)
        self._log.tell(request, decision.reply, "" if decision.fault is None else decision.fault.fault.name)
        return decision


class _Log:
    """Prints whole lines, whichever thread they come from, and goes on serving when nobody reads them any more."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._clock = Clock()
        self._began = self._clock.monotonic()

    def begin(self, urls: dict[str, str], faults: list[Fault], bundle: MadeBundle | None) -> None:
        """Say where it is and what it does."""
        offers = "" if bundle is None else bundle.version
        if self._as_json:
            self._print(json.dumps({**urls, "offers": offers, "faults": [fault.name for fault in faults]}))
            return
        lines = [f"{name:<12} {url}" for name, url in urls.items()]
        lines += [f"{'offers':<12} {offers or 'nothing'}"]
        lines += [f"{'fault':<12} {fault.name}: {fault.description}" for fault in faults]
        self._print("\n".join([*lines, "Serving until Ctrl-C."]))

    def tell(self, request: Request, reply: Reply, fault: str) -> None:
        """One request, and what came of it."""
        row = {
            "seconds": round(self._clock.monotonic() - self._began, 3),
            "method": _plain(request.method),
            "path": _plain(request.path),
            "endpoint": kind_of(request),
            "from": _asker(request),
            "fault": fault,
            # What a fault makes of it is the fault's business.
            "status": None if fault else reply.status,
            "answer": f"fault {fault}" if fault else _said(reply),
        }
        if self._as_json:
            self._print(json.dumps(row))
            return
        status = "" if fault else f"{reply.status} "
        asker = f" ({row['from']})" if row["from"] else ""
        self._print(f"{row['seconds']:8.3f} s  {row['method']} {row['path']}{asker} -> {status}{row['answer']}")

    def _print(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def _asker(request: Request) -> str:
    """App, version and, of statistics, what happened; never who the device is."""
    body = request.json
    events = body if isinstance(body, list) else [body]
    first = events[0] if events and isinstance(events[0], dict) else {}
    actions = [event["action"] for event in events if isinstance(event, dict) and "action" in event]
    parts = [first.get("app_id"), first.get("version_name"), ", ".join(map(str, actions))]
    return _plain(" ".join(str(part) for part in parts if part))


def _said(reply: Reply) -> str:
    """What an answer says, in a few words."""
    try:
        said = json.loads(reply.body)
    except ValueError:
        return f"{len(reply.body)} bytes"
    if not isinstance(said, dict):
        return f"{len(reply.body)} bytes"
    if said.get("url") and said.get("version"):
        return f"offers {said['version']}"
    return _plain(str(said.get("error") or said.get("kind") or said.get("status") or "ok"))


def _plain(text: str) -> str:
    """Nothing that could move the cursor of the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
