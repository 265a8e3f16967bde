"""The face's methods that ask the service: the latest version, sizes, channels. Each blocks for a stated time."""

from __future__ import annotations

from capgo_client.updater.plumbing import Plumbing
from capgo_client.worker import Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from capgo_client.asking import MissingFiles
    from capgo_client.protocol.channels import Channel, ChannelStatus
    from capgo_client.protocol.outcomes import ManifestEntry, Outcome
    from capgo_client.protocol.sizes import DownloadSize

__all__ = ["AskingMethods"]


class AskingMethods(Plumbing):
    """Part of ``Updater``."""

    def get_latest(self, channel: str = "", *, include_bundle_size: bool = False) -> Outcome:
        """Ask the service now: an Update, UpToDate, Blocked or Builtin outcome. Blocks for ``response_timeout``.

        ``include_bundle_size`` also fills an Update's ``missing`` and ``download_size``: a look at the disk and a
        second question, each time as long.

        Raises:
            RateLimited: it asked to wait; also when an earlier answer did, and then nothing is sent.
            ServiceError: it answered with an error; ``on_premise_app`` for "plan ended" and its look-alikes.
            TransferError: no answer (time-out, no network).
            ReplyError: what answered is not the service.
        """
        self._require_open()
        return self._asking.get_latest(channel, include_bundle_size=include_bundle_size)

    def get_missing_bundle_files(
        self, manifest: Iterable[ManifestEntry | Mapping[str, object]], *, session_key: str = ""
    ) -> MissingFiles:
        """What of a delta update is not on this device yet; nothing is asked and nothing downloaded.

        Raises:
            IntegrityError: the manifest, or a hash in it, is not what the key proves.
        """
        self._require_open()
        return self._asking.missing(manifest, session_key=session_key)

    def get_bundle_download_size(
        self, manifest: Iterable[ManifestEntry | Mapping[str, object]], *, version: str = ""
    ) -> DownloadSize:
        """Ask the service how large these files are; what it cannot tell stands in the answer, file by file.

        Blocks for ``response_timeout``. Raises ConfigError where ``update_url`` is empty.
        """
        self._require_open()
        return self._asking.download_size(manifest, version=version)

    def set_channel(self, channel: str, *, trigger_auto_update: bool = False) -> ChannelStatus:
        """Ask for updates of another channel from now on: kept on this device, stronger than ``default_channel``.

        Blocks for ``response_timeout``. ``trigger_auto_update`` runs a check afterwards, in the background.

        Raises:
            ChannelRefused: devices may not choose it (also told as ``channel_private``). With the code
                ``public_channel_self_set_not_allowed`` the stored choice is dropped: the device gets it by asking
                for none.
            ConfigError: no name (``missing_parameter``), not permitted (``disabled_by_config``), no ``channel_url``.
            RateLimited: the same channel was asked for within a minute, or the service asked to wait before.
            ServiceError, TransferError, ReplyError: see ``errors``; nothing changed.
            StorageError: the choice cannot be kept.
        """
        self._require_open()
        return self._asking.set_channel(channel, trigger_auto_update=trigger_auto_update)

    def unset_channel(self, *, trigger_auto_update: bool = False) -> ChannelStatus:
        """Forget what ``set_channel()`` chose; ``default_channel`` counts again. Asks nobody. Raises StorageError."""
        self._require_open()
        return self._asking.unset_channel(trigger_auto_update=trigger_auto_update)

    def get_channel(self) -> ChannelStatus:
        """Ask the service which channel this device is on. It does not check the name, so nothing here is kept.

        Blocks for ``response_timeout``; raises as ``set_channel``.
        """
        self._require_open()
        return self._asking.get_channel()

    def list_channels(self) -> tuple[Channel, ...]:
        """Ask which channels there are for this device. Blocks for ``response_timeout``; raises as ``set_channel``."""
        self._require_open()
        return self._asking.list_channels()

    def trigger_update_check(self) -> Literal["queued", "already_running", "unavailable"]:
        """Run a cycle now, in the background; in mode "off" it downloads without queueing.

        ``"already_running"`` is a check that was asked for before: it may have its answer, so what was published a
        moment ago may need another call after ``app_ready``. ``"unavailable"``: before ``start()``, in a second process
        of the app, or where checks are turned off.
        """
        self._require_open()
        if self._is_inert:
            return "unavailable"
        return self._engine.submit(Order(by_app=True))
