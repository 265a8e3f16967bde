"""The test kit: a real service on loopback that behaves, and misbehaves, like Capgo's; bundles; clocks; disks.

    from capgo_client.testing import Service, make_bundle

    with Service() as service:
        service.publish(make_bundle("1.1.0", {"main.py": "print('new')"}))
        with service.fault("drip-body"):
            ...  # start the app here: it opens within three seconds

A ``Stage`` is a whole device, so that every fault of the list can be had on it, those of the disk, the clock and the
app too, each alone, for the n-th occasion, or with a probability and a seed::

    from capgo_client.testing import FAULTS, Stage

    with Stage(tmp_path) as stage:
        stage.publish("1.1.0")
        with FAULTS["disk-full"].arrange(stage, nth=3):
            assert stage.launch().current.version == "1.0.0"
        stage.launch()  # the world is healthy again

Under pytest the fixtures ``capgo_service``, ``capgo_bundle``, ``capgo_data_dir``, ``capgo_updater``, ``capgo_stage``,
``capgo_respx`` and ``capgo_fault``, and a marker of that last name, are there without any import (see
``capgo_client.testing.pytest_plugin``). Each name below is loaded when it is first used; ``respx_routes`` needs respx.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import BundleKeys, MadeBundle, make_bundle
    from .cases import CASES, Case
    from .channels import ChannelRules
    from .clock import FakeClock
    from .delta import ManifestFile
    from .faults import FAULTS, ActiveFault, Fault, FaultUnavailableError
    from .files import FaultyFiles, Stopped
    from .hostile import HOSTILE_ARCHIVES
    from .in_process import respx_routes
    from .peers import BlackHole, Peer, black_hole, hanging_proxy, refused_url, silent_peer, tls_stall
    from .plans import Plan
    from .publisher import Publisher
    from .service import Service
    from .stage import Stage
    from .wire import Reply, Request

__all__ = [
    "CASES",
    "FAULTS",
    "HOSTILE_ARCHIVES",
    "ActiveFault",
    "BlackHole",
    "BundleKeys",
    "Case",
    "ChannelRules",
    "FakeClock",
    "Fault",
    "FaultUnavailableError",
    "FaultyFiles",
    "MadeBundle",
    "ManifestFile",
    "Peer",
    "Plan",
    "Publisher",
    "Reply",
    "Request",
    "Service",
    "Stage",
    "Stopped",
    "black_hole",
    "hanging_proxy",
    "make_bundle",
    "refused_url",
    "respx_routes",
    "silent_peer",
    "tls_stall",
]

_HOMES = {
    "bundles": ("BundleKeys", "MadeBundle", "make_bundle"),
    "cases": ("CASES", "Case"),
    "channels": ("ChannelRules",),
    "clock": ("FakeClock",),
    "delta": ("ManifestFile",),
    "faults": ("FAULTS", "ActiveFault", "Fault", "FaultUnavailableError"),
    "files": ("FaultyFiles", "Stopped"),
    "hostile": ("HOSTILE_ARCHIVES",),
    "in_process": ("respx_routes",),
    "peers": ("BlackHole", "Peer", "black_hole", "hanging_proxy", "refused_url", "silent_peer", "tls_stall"),
    "plans": ("Plan",),
    "publisher": ("Publisher",),
    "service": ("Service",),
    "stage": ("Stage",),
    "wire": ("Reply", "Request"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
