"""What one update check led to. "No update" and "could not ask" are never the same value.

Codes and messages are the service's own where it gave them (reference/service-behaviour.md sections 0.1 and 1.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "NO_ZIP_URL",
    "Blocked",
    "Builtin",
    "Failed",
    "Limited",
    "ManifestEntry",
    "Outcome",
    "PlanEnded",
    "UpToDate",
    "Update",
]

#: The service's way of saying "manifest only, there is no archive" (reference/service-behaviour.md section 1.6).
NO_ZIP_URL = "https://404.capgo.app/no.zip"


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file of a delta update, as the service names it; nothing in it is trusted yet."""

    file_name: str
    file_hash: str
    download_url: str = field(repr=False)  # its query names the device


@dataclass(frozen=True, slots=True)
class Outcome:
    """Base of all outcomes: ``kind`` is one word for each class, ``code`` says which reason, ``message`` in prose."""

    code: str = ""
    message: str = ""
    status: int = 0

    @property
    def kind(self) -> str:
        """The class in one word: update, up_to_date, blocked, builtin, plan_ended, rate_limited or failed."""
        return _KINDS[type(self)]


@dataclass(frozen=True, slots=True)
class Update(Outcome):
    """The service offers a version. ``url`` is empty where there is no archive (manifest only).

    ``missing`` and ``download_size`` (bytes as the service knows them) are filled where ``get_latest()`` was asked to.
    """

    version: str = ""
    # An app may log what it is offered: an address names the device and may be signed, the rest is of use to nobody.
    url: str = field(default="", repr=False)
    session_key: str = field(default="", repr=False)
    checksum: str = field(default="", repr=False)
    manifest: tuple[ManifestEntry, ...] = field(default=(), repr=False)
    link: str = ""
    comment: str = ""
    breaking: bool = False
    missing: tuple[ManifestEntry, ...] = field(default=(), repr=False)
    download_size: int = 0

    @property
    def list_mark(self) -> str:
        """What stands for the files of ``manifest``, in whatever order; the checksum does not (nobody signs a list)."""
        import hashlib  # not for those who only start

        lines = sorted(f"{entry.file_name}\n{entry.file_hash}\n" for entry in self.manifest)
        return f"files:{hashlib.sha256(''.join(lines).encode(errors='surrogatepass')).hexdigest()}"


@dataclass(frozen=True, slots=True)
class UpToDate(Outcome):
    """The version that we reported is the one the channel wants."""


@dataclass(frozen=True, slots=True)
class Blocked(Outcome):
    """There is a version, and a rule of the channel keeps it from this device. ``version`` may be empty.

    ``breaking`` says that only a new installer (the store's, the shop's) brings this version.
    """

    version: str = ""
    breaking: bool = False


@dataclass(frozen=True, slots=True)
class Builtin(Outcome):
    """The channel wants the version that ships inside the installer."""


@dataclass(frozen=True, slots=True)
class PlanEnded(Outcome):
    """Unknown app, plan ended, over quota, or a failure of the service's database: they look alike on the wire.

    ``retry_at`` as for Limited; the service itself never gives one here, a proxy in front of it may.
    """

    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Limited(Outcome):
    """Too many requests. ``retry_at`` is a wall-clock time in epoch seconds, None where none was given."""

    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Failed(Outcome):
    """No answer that could be used. ``retry_at`` as above where the reply carried a Retry-After (503).

    ``status`` is 0 where nothing was heard at all.
    """

    retry_at: float | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same request may soon be answered otherwise without a change at either end.

        A 4xx blames the request, a refusal with 200 the channel's settings: asking again at once changes neither.
        An answer that cannot be read (a captive portal), a server's fault and silence pass by themselves.
        """
        if 200 <= self.status < 300:  # noqa: PLR2004
            return self.code == "parse_error"
        return not 400 <= self.status < 500 or self.status in (408, 425, 429)  # noqa: PLR2004


_KINDS: dict[type[Outcome], str] = {
    Update: "update",
    UpToDate: "up_to_date",
    Blocked: "blocked",
    Builtin: "builtin",
    PlanEnded: "plan_ended",
    Limited: "rate_limited",
    Failed: "failed",
}
