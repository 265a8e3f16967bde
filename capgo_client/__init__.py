"""Live updates for Python apps from the Capgo service, built to fail safe.

::

    from capgo_client import Updater

    updater = Updater(app_id="com.example.notes", version="1.4.0", builtin="app")
    bundle = updater.start()        # never raises, never waits on a dead network
    ...                             # open the app from bundle.path
    updater.notify_app_ready()      # "this version works"
    updater.close()
"""

from __future__ import annotations

from capgo_client._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.asking import MissingFiles
    from capgo_client.bundle import Bundle, BundleStatus
    from capgo_client.errors import (
        ArchiveError,
        BindingError,
        BundleError,
        Cancelled,
        CapgoError,
        ChannelRefused,
        ChecksumError,
        ClosedError,
        ConfigError,
        DeadlineExceeded,
        IntegrityError,
        NetworkError,
        RateLimited,
        ReplyError,
        ServiceError,
        SignatureError,
        StorageError,
        TransferError,
        UpdateRefused,
    )
    from capgo_client.event_stream import EventStream
    from capgo_client.events import Event
    from capgo_client.explain import Explanation
    from capgo_client.life.delays import DelayCondition
    from capgo_client.protocol.channels import Channel, ChannelStatus
    from capgo_client.protocol.outcomes import (
        Blocked,
        Builtin,
        Failed,
        Limited,
        ManifestEntry,
        Outcome,
        PlanEnded,
        Update,
        UpToDate,
    )
    from capgo_client.protocol.sizes import DownloadSize, FileSize
    from capgo_client.updater import Updater, Verification, current_updater

__all__ = [
    "ArchiveError",
    "BindingError",
    "Blocked",
    "Builtin",
    "Bundle",
    "BundleError",
    "BundleStatus",
    "Cancelled",
    "CapgoError",
    "Channel",
    "ChannelRefused",
    "ChannelStatus",
    "ChecksumError",
    "ClosedError",
    "ConfigError",
    "DeadlineExceeded",
    "DelayCondition",
    "DownloadSize",
    "Event",
    "EventStream",
    "Explanation",
    "Failed",
    "FileSize",
    "IntegrityError",
    "Limited",
    "ManifestEntry",
    "MissingFiles",
    "NetworkError",
    "Outcome",
    "PlanEnded",
    "RateLimited",
    "ReplyError",
    "ServiceError",
    "SignatureError",
    "StorageError",
    "TransferError",
    "UpToDate",
    "Update",
    "UpdateRefused",
    "Updater",
    "Verification",
    "__version__",
    "current_updater",
]

#: Where each public name lives. Each is loaded when it is first used, so that importing the package costs nothing and
#: `import capgo_client.testing` (which every pytest run of an app does) loads no updater.
_HOMES = {
    "asking": ("MissingFiles",),
    "bundle": (
        "Bundle",
        "BundleStatus",
    ),
    "errors": (
        "ArchiveError",
        "BindingError",
        "BundleError",
        "Cancelled",
        "CapgoError",
        "ChannelRefused",
        "ChecksumError",
        "ClosedError",
        "ConfigError",
        "DeadlineExceeded",
        "IntegrityError",
        "NetworkError",
        "RateLimited",
        "ReplyError",
        "ServiceError",
        "SignatureError",
        "StorageError",
        "TransferError",
        "UpdateRefused",
    ),
    "event_stream": ("EventStream",),
    "events": ("Event",),
    "explain": ("Explanation",),
    "life.delays": ("DelayCondition",),
    "protocol.channels": (
        "Channel",
        "ChannelStatus",
    ),
    "protocol.outcomes": (
        "Blocked",
        "Builtin",
        "Failed",
        "Limited",
        "ManifestEntry",
        "Outcome",
        "PlanEnded",
        "UpToDate",
        "Update",
    ),
    "protocol.sizes": (
        "DownloadSize",
        "FileSize",
    ),
    "updater": (
        "Updater",
        "Verification",
        "current_updater",
    ),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
