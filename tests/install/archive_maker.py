"""Writes zips field by field, so that each can be wrong by itself."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

UTF8, DESCRIPTOR = 0x0800, 0x0008
FILE, FOLDER, LINK = 0o100644, 0o040755, 0o120777


def deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


@dataclass(frozen=True)
class Item:
    """One entry; None means "what is right". ``local`` overrides fields in the local header only."""

    name: str | bytes
    data: bytes = b""
    method: int = 0
    flags: int = UTF8
    mode: int | None = None
    dos: int = 0
    host: int = 3
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    packed_size: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    offset: int | None = None
    before: bytes = b""
    after: bytes = b""
    local: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """An item with every field settled."""

    name: bytes
    packed: bytes
    packed_size: int
    size: int
    crc: int
    item: Item


def settle(item: Item) -> Ready:
    packed = item.packed
    if packed is None:
        packed = deflate(item.data) if item.method == 8 else item.data
    return Ready(
        name=item.name.encode() if isinstance(item.name, str) else item.name,
        packed=packed,
        packed_size=len(packed) if item.packed_size is None else item.packed_size,
        size=len(item.data) if item.size is None else item.size,
        crc=zlib.crc32(item.data) if item.crc is None else item.crc,
        item=item,
    )


def local_header(item: Item) -> bytes:
    own = replace(item, **item.local) if item.local else item
    ready, settled = settle(own), settle(item)
    name = ready.name if "name" in item.local else settled.name
    head = struct.pack(
        "<4s5HL2L2H", b"PK\3\4", 20, own.flags, own.method, 0, 0x5A21, ready.crc, ready.packed_size, ready.size,
        len(name), len(own.extra),
    )  # fmt: skip
    return head + name + own.extra


def central_header(item: Item, offset: int) -> bytes:
    ready = settle(item)
    mode = item.mode
    if mode is None:
        mode = FOLDER if ready.name.endswith(b"/") else FILE
    head = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\1\2", 20, item.host, 20, 0, item.flags, item.method, 0, 0x5A21, ready.crc,
        ready.packed_size, ready.size, len(ready.name), len(item.extra), len(item.comment), item.disk, 0,
        mode << 16 | item.dos, offset if item.offset is None else item.offset,
    )  # fmt: skip
    return head + ready.name + item.extra + item.comment


def end_record(count: int, size: int, offset: int, /, **wrong: int) -> bytes:
    fields = {"disk": 0, "start": 0, "here": count, "count": count, "size": size, "offset": offset, "comment": 0}
    return struct.pack("<4s4H2LH", b"PK\5\6", *{**fields, **wrong}.values())


def end_record64(count: int, size: int, offset: int, /, **wrong: int) -> bytes:
    """The ZIP64 record and its locator."""
    fields = {"length": 44, "by": 45, "need": 45, "disk": 0, "start": 0, "here": count, "count": count, "size": size}
    locator = {"at": offset + size, "locator_disk": 0, "disks": 1}
    known = {**fields, "offset": offset, **locator}
    known.update(wrong)
    *record, at, disk, disks = known.values()
    return struct.pack("<4sQ2H2L4Q", b"PK\6\6", *record) + struct.pack("<4sLQL", b"PK\6\7", disk, at, disks)


def make_zip(*items: Item | str, zip64: bool = False, end: dict[str, int] | None = None, tail: bytes = b"") -> bytes:
    """The archive; a plain text is a file of that name holding ``x``. ``end`` overrides fields of the end record(s)."""
    body, central = b"", b""
    entries = [Item(item, b"x") if isinstance(item, str) else item for item in items]
    for item in entries:
        body += item.before
        central += central_header(item, len(body))
        body += local_header(item) + settle(item).packed + item.after
    place = (len(entries), len(central), len(body))
    wrong = end or {}
    if zip64:
        last = end_record64(*place, **wrong) + end_record(0xFFFF, len(central), len(body))
    else:
        last = end_record(*place, **wrong)
    return body + central + last + tail
