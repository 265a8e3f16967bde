"""Brotli, undone in small steps: what comes out is counted before it is kept.

A file of a delta may travel compressed, its name then ends in ``.br`` (reference/bundle-formats.md section 5). The
library is an extra (``capgo-client[delta]``), and one without an output limit (before 1.2) counts as none: nothing
could stop a bomb there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capgo_client.errors import ChecksumError, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["can_inflate", "inflate", "unwrap"]

_STEP = 128 * 1024
#: What old command lines put around bytes that they did not compress: "as it is", then "this was the last piece".
_RAW_HEADS = (b"\x1b\x00\x06", b"\x0b\x02\x80")
_RAW_TAIL = b"\x03"


def can_inflate() -> bool:
    """Whether a brotli with an output limit is here."""
    return _library() is not None


def inflate(chunks: Iterable[bytes], *, name: str) -> Iterator[bytes]:
    """What the brotli stream in ``chunks`` holds, in pieces of about 128 KiB; the stream must end where they do.

    Raises:
        TransferError: ``brotli_missing``.
        ChecksumError: ``download_manifest_brotli_fail``: damaged, cut off, or with bytes after its end.
    """
    brotli = _library()
    if brotli is None:
        raise TransferError(
            f"the file {name[:80]!a} comes compressed, and brotli 1.2 or later is not installed",
            code="brotli_missing",
            retryable=False,
            hint="install capgo-client[delta], or upload with a zip",
        )
    engine = brotli.Decompressor()
    try:
        for chunk in chunks:
            yield from _pieces(engine, chunk)
    except brotli.error as exc:
        raise _damaged(name, "is damaged, or bytes follow its end") from exc
    if not engine.is_finished():
        raise _damaged(name, "ends too early")


def unwrap(data: bytes) -> bytes | None:
    """The bytes inside the wrapper of old command lines, None where there is none (plugin-behaviour.md section 8.2)."""
    if data == _RAW_HEADS[0]:
        return b""
    head = len(_RAW_HEADS[0])
    wrapped = len(data) > head and data.startswith(_RAW_HEADS) and data.endswith(_RAW_TAIL)
    return data[head : -len(_RAW_TAIL)] if wrapped else None


def _pieces(engine: Any, chunk: bytes) -> Iterator[bytes]:
    piece = engine.process(chunk, output_buffer_limit=_STEP)
    # Having taken all input does not mean that all output is out; and an engine that is finished takes nothing more.
    while piece or not engine.can_accept_more_data():
        yield piece
        if engine.is_finished():
            return
        piece = engine.process(b"", output_buffer_limit=_STEP)


def _library() -> Any:
    try:
        import brotli  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except Exception:  # a library that is there and does not load is none
        return None
    return brotli if hasattr(brotli.Decompressor, "can_accept_more_data") else None


def _damaged(name: str, why: str) -> ChecksumError:
    return ChecksumError(
        f"the compressed file {name[:80]!a} {why}",
        code="download_manifest_brotli_fail",
        hint="damaged on the way, or not brotli although its name ends in .br",
    )
