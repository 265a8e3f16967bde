"""What a whole delta may cost, counted over all its files and threads (promise P7)."""

from __future__ import annotations

import threading

from capgo_client.errors import IntegrityError

__all__ = ["Budget", "Meter", "too_large"]

#: Below this much more than the ratio allows a bomb does no harm, and a harmless file of zeros would break it.
_RATIO_FLOOR = 64 << 20


class Budget:
    """The limits of one delta, in bytes; ``spent`` is what its files that are here already take.

    ``max_download`` is for what comes over the network, which can be counted before it is known what it is: content
    is counted only when a file is whole, and until then each of several threads fills the disk.
    ``max_ratio`` is asked of each file by itself, and what all of them have above it may come to 64 MiB: so the order
    in which files come cannot matter.
    """

    def __init__(self, *, max_file: int, max_total: int, max_ratio: int, max_download: int, spent: int = 0) -> None:
        self.max_file = max_file
        self.max_total = max_total
        self.max_ratio = max_ratio
        self.max_download = max_download
        self._lock = threading.Lock()
        self._total = spent
        self._above = 0
        self._arrived = 0

    def arrived(self, size: int) -> None:
        """Count ``size`` more bytes of the download. Raises IntegrityError ``bundle_too_large``."""
        with self._lock:
            self._arrived += size
            if self._arrived > self.max_download:
                raise too_large(f"the download is larger than {self.max_download} bytes", "max_download_bytes")

    def meter(self, packed: int) -> Meter:
        """Counts the content of one file, which took ``packed`` bytes on the way."""
        return Meter(self, packed)

    def spend(self, size: int, above: int) -> None:
        """Take ``size`` bytes of content, of which ``above`` are more than the ratio allows.

        Raises:
            IntegrityError: ``bundle_too_large``.
        """
        with self._lock:
            self._total += size
            self._above += above
            if self._total > self.max_total:
                raise too_large(f"the bundle is larger than {self.max_total} bytes", "max_bundle_bytes")
            if self._above > _RATIO_FLOOR:
                raise too_large(f"files of it inflate to more than {self.max_ratio} times their size", "max_ratio")


class Meter:
    """One file's account."""

    def __init__(self, budget: Budget, packed: int) -> None:
        self._budget = budget
        self._free = packed * budget.max_ratio
        self.size = 0

    def add(self, size: int) -> None:
        """Count ``size`` more bytes of content. Raises IntegrityError ``bundle_too_large``."""
        before = max(0, self.size - self._free)
        self.size += size
        if self.size > self._budget.max_file:
            raise too_large(f"a file of the bundle is larger than {self._budget.max_file} bytes", "max_file_bytes")
        self._budget.spend(size, max(0, self.size - self._free) - before)


def too_large(message: str, option: str) -> IntegrityError:
    """The error for what breaks a limit, which ``option`` of the Updater sets."""
    hint = f"publish a smaller bundle, or raise Updater({option}=...)"
    return IntegrityError(message, code="bundle_too_large", hint=hint)
