"""Every error this library raises.

Two trees hang under one base. What could not be had::

    CapgoError
    ├── TransferError            we could not get it
    │   ├── DeadlineExceeded     the time that was allowed is over (also a TimeoutError)
    │   ├── Cancelled            close() or a newer order ended the work
    │   ├── NetworkError         no connection, or it broke
    │   └── ServiceError         the service answered, and the answer is no
    │       ├── ChannelRefused   the channel does not let devices choose it
    │       └── RateLimited      it asked us to come back later
    ├── IntegrityError           what we got is wrong
    │   ├── ReplyError           the reply is not what the protocol allows
    │   ├── ChecksumError        the bytes are not the ones that were announced
    │   ├── SignatureError       no proof, or a wrong one, that the publisher made it
    │   ├── ArchiveError         the archive is damaged or breaks a rule of safe extraction
    │   └── BindingError         the bundle's own record says it is something else
    ├── StorageError             this device could not keep it (disk full, no permission, …)
    ├── BundleError              the bundle named cannot be used for what was asked (also a LookupError)
    ├── UpdateRefused            a rule of this device forbids the update (failed before, too old, …)
    ├── ConfigError              an option is wrong; raised when the object is built (also a ValueError)
    └── ClosedError              the method was called after close()

Each carries ``code`` (Capgo's own where there is one, see reference/service-behaviour.md and
plugin-behaviour.md section 5), ``retryable`` (may the same call work later without any change?) and
``hint`` (what the app's developer can do about it).
"""

from __future__ import annotations

__all__ = [
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
    "error_of",
]


class CapgoError(Exception):
    """Base of all errors of this library."""

    code: str = "capgo_error"
    retryable: bool = False
    hint: str = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling calls the class with args alone and would lose code and hint.
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


def _rebuild(cls: type[CapgoError], message: str, attributes: dict[str, object]) -> CapgoError:
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(attributes)
    return error


class TransferError(CapgoError):
    """We could not get it."""

    code = "network_error"
    retryable = True


class DeadlineExceeded(TransferError, TimeoutError):
    """The time that was allowed for the whole exchange is over."""

    code = "timeout_error"


class Cancelled(TransferError):
    """The work was ended from this side."""

    code = "cancelled"


class NetworkError(TransferError):
    """No connection could be made, or it broke."""


class ServiceError(TransferError):
    """The service answered, and the answer is no; ``code`` is the service's own error code.

    ``status`` is the HTTP status, 0 where the refusal was remembered and nothing was sent.
    """

    code = "response_error"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        retryable: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, retryable=retryable, hint=hint)
        self.status = status


class RateLimited(ServiceError):
    """The service asked us to come back later: ``retry_at`` is a wall-clock time (epoch seconds) or None."""

    code = "too_many_requests"

    def __init__(
        self,
        message: str,
        *,
        retry_at: float | None = None,
        status: int = 429,
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, hint=hint)
        self.retry_at = retry_at


class ChannelRefused(ServiceError):
    """The channel named by ``channel`` does not let devices choose it; asking again changes nothing."""

    code = "channel_self_set_not_allowed"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        channel: str = "",
        status: int = 0,
        code: str | None = None,
        retryable: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, retryable=retryable, hint=hint)
        self.channel = channel


class IntegrityError(CapgoError):
    """What we got is wrong."""

    code = "integrity_error"


class ReplyError(IntegrityError):
    """The reply is not what the protocol allows."""

    code = "parse_error"
    retryable = True


class ChecksumError(IntegrityError):
    """The bytes are not the ones that were announced."""

    code = "checksum_fail"


class SignatureError(IntegrityError):
    """There is no proof, or a wrong one, that the publisher made this."""

    code = "decrypt_fail"


class ArchiveError(IntegrityError):
    """The archive is damaged, or breaks a rule of safe extraction or a limit."""

    code = "unzip_fail"


class BindingError(IntegrityError):
    """The record inside the bundle says that it is something else than what was announced."""

    code = "bound_mismatch"


class StorageError(CapgoError):
    """This device could not keep it; ``code`` tells a full disk from the rest."""

    code = "storage_error"
    retryable = True


class BundleError(CapgoError, LookupError):
    """The bundle that was named is unknown, or cannot be used for what was asked."""

    code = "bundle_error"


class UpdateRefused(CapgoError):
    """A rule of this device forbids the update; the service is right to offer it, we are right to refuse."""

    code = "update_refused"


class ConfigError(CapgoError, ValueError):
    """An option is wrong. The message names the option, what it was and what is allowed."""

    code = "invalid_config"


class ClosedError(CapgoError):
    """The method was called after ``close()``."""

    code = "closed"
    hint = "build a new Updater"


def error_of(code: str, message: str, *, status: int) -> CapgoError:
    """The error for an outcome that is no answer: by its code where nothing was answered, else a ServiceError."""
    kinds: dict[str, type[CapgoError]] = {
        DeadlineExceeded.code: DeadlineExceeded,
        NetworkError.code: NetworkError,
        Cancelled.code: Cancelled,
        ClosedError.code: ClosedError,
        ReplyError.code: ReplyError,
    }
    if code in kinds:
        return kinds[code](message, hint="")
    if not status:
        return NetworkError(message, code=code)
    return ServiceError(message, status=status, code=code, retryable=status >= 500 or status == 429)  # noqa: PLR2004
