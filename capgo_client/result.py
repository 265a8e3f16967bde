"""What an update cycle came to, as the app, the log and ``explain()`` are told."""

from __future__ import annotations

from capgo_client.bundle import BundleStatus
from capgo_client.protocol.outcomes import Failed, Limited, PlanEnded
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.bundle import Bundle
    from capgo_client.protocol.outcomes import Outcome

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a cycle came to. ``action`` is one of nothing, queued, ready, refused, paused, failed, skipped.

    ``paused``: the service answers, and not this app or not now (plan ended, rate limit); no error (decision 14).
    """

    action: str
    message: str
    code: str = ""
    outcome: Outcome | None = None
    bundle_id: str = ""

    @property
    def status(self) -> str:
        """The message of ``app_ready``; ``disabled`` is the plugin's word for checks that are off."""
        return self.code if self.code == "disabled" else self.message

    def seen_with(self, opened: Bundle) -> Result:
        """The same once ``opened`` is open: a start that waited has opened what was queued for it."""
        if self.action != "queued" or self.bundle_id != opened.id:
            return self
        if opened.status is BundleStatus.ERROR:
            return replace(self, action="refused", message=f"{opened.version} was opened and rolled back")
        return replace(self, action="nothing", message=f"{opened.version} is open")

    @property
    def is_outage(self) -> bool:
        """Whether the service gave no answer to act on: then nothing that could not be fetched again may go (P8)."""
        return self.code == "retry_after" or isinstance(self.outcome, (Failed, Limited, PlanEnded))

    @property
    def fetched_all(self) -> bool:
        """Whether what the service just offered is on disk: what was downloaded, in part or whole, is needed no more.

        After any other answer a partial stays, for an offer that comes again.
        """
        return self.action in ("queued", "ready")
