"""A file system of our own (FUSE) that holds everything in memory and writes down each call that changes it.

Run as a program: ``power_disk.py MOUNTPOINT LOGFILE``. It stays in the foreground and writes the log when it is
unmounted. Nothing is cached by the kernel (``direct_io``, no attributes, no names), so that the log has every call in
the order in which it was made; ``flock`` is the kernel's own, as for any FUSE file system that does not have it.

``syncfs`` leaves no trace in FUSE, so who calls it tells the disk: a look at the name ``MARK + "syncfs"`` in the
folder at the top. A look at ``MARK + "mark:" + text`` is a marker.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import sys
import time
from pathlib import Path

import mfusepy
from power_log import MARK, ROOT, Entry, write_log

_BLOCK = 4096
_PR_SET_PDEATHSIG = 1


class _Node:
    """A file (``data``) or a folder (``names``)."""

    def __init__(self, number: int, mode: int, when: int) -> None:
        self.number, self.mode, self.mtime = number, mode, when
        self.data = bytearray()
        self.names: dict[str, _Node] = {}

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


class RecordingDisk(mfusepy.Operations):
    """The operations that libfuse calls, one at a time. Permissions are kept and not enforced."""

    use_ns = True

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self._root = _Node(ROOT, stat.S_IFDIR | 0o700, time.time_ns())
        self._nodes = {ROOT: self._root}  # never forgotten: an open file may outlive its name
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}

    def init_with_config(self, conn_info, config_3):
        if config_3 is not None:
            config_3.hard_remove = config_3.direct_io = 1
            config_3.entry_timeout = config_3.attr_timeout = config_3.negative_timeout = 0.0

    # ---- looking ----

    def _find(self, path: str | None, handle: int | None = None) -> _Node:
        if handle:
            return self._nodes[handle]
        if path is None:  # mfusepy hands on no handle for some calls on a file that has lost its name
            raise mfusepy.FuseOSError(errno.ENOENT)
        node = self._root
        for part in filter(None, path.split("/")):
            if not node.is_folder:
                raise mfusepy.FuseOSError(errno.ENOTDIR)
            found = node.names.get(part)
            if found is None:
                raise mfusepy.FuseOSError(errno.ENOENT)
            node = found
        return node

    def _split(self, path: str) -> tuple[_Node, str]:
        folder, _, name = path.rpartition("/")
        return self._find(folder), name

    def getattr(self, path, fh=None):
        if path and path.startswith("/" + MARK):
            self._told(path[1 + len(MARK) :])
        node = self._find(path, fh)
        return {
            "st_ino": node.number,
            "st_mode": node.mode,
            "st_nlink": 2 if node.is_folder else 1,
            "st_size": len(node.data),
            "st_blocks": (len(node.data) + 511) // 512,
            "st_mtime": node.mtime,
            "st_ctime": node.mtime,
            "st_atime": node.mtime,
            **self._owner,
        }

    def _told(self, text: str) -> None:
        if text == "syncfs":
            self._write_down("syncfs")
        elif text.startswith("mark:"):
            self._write_down("mark", name=text[5:])

    def readdir(self, path, fh):
        return [".", "..", *self._find(path, fh).names]

    def opendir(self, path):
        return self._find(path).number

    def open(self, path, flags):
        return self._find(path).number

    def read(self, path, size, offset, fh):
        return bytes(self._find(path, fh).data[offset : offset + size])

    def statfs(self, path):
        free = 1 << 20
        return {"f_bsize": _BLOCK, "f_frsize": _BLOCK, "f_blocks": free, "f_bfree": free, "f_bavail": free}

    # ---- changing ----

    def _write_down(self, kind: str, **fields) -> int:
        when = time.time_ns()
        self.log.append(Entry(kind, when=when, **fields))
        return when

    def _made(self, kind: str, path: str, mode: int) -> int:
        folder, name = self._split(path)
        if name in folder.names:
            raise mfusepy.FuseOSError(errno.EEXIST)
        number = len(self._nodes) + 1
        when = self._write_down(kind, ino=number, folder=folder.number, name=name, mode=mode)
        folder.names[name] = self._nodes[number] = _Node(number, mode, when)
        return number

    def create(self, path, mode, fi=None):
        return self._made("create", path, stat.S_IFREG | stat.S_IMODE(mode))

    def mkdir(self, path, mode):
        self._made("mkdir", path, stat.S_IFDIR | stat.S_IMODE(mode))
        return 0

    def write(self, path, data, offset, fh):
        node = self._find(path, fh)
        node.mtime = self._write_down("write", ino=node.number, data=data, offset=offset)
        node.data.extend(bytes(max(0, offset - len(node.data))))
        node.data[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path, length, fh=None):
        node = self._find(path, fh)
        node.mtime = self._write_down("truncate", ino=node.number, offset=length)
        node.data = node.data[:length] + bytes(max(0, length - len(node.data)))
        return 0

    def chmod(self, path, mode):
        node = self._find(path)
        self._write_down("chmod", ino=node.number, mode=mode)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def chown(self, path, uid, gid):
        return 0

    def utimens(self, path, times=None):
        self._find(path).mtime = time.time_ns() if times is None else times[1]
        return 0

    def rename(self, old, new):
        (folder, name), (target, new_name) = self._split(old), self._split(new)
        node, there = self._find(old), target.names.get(new_name)
        if there is not None and there.is_folder != node.is_folder:
            raise mfusepy.FuseOSError(errno.EISDIR if there.is_folder else errno.ENOTDIR)
        if there is not None and there.names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self._write_down(
            "rename", ino=node.number, folder=folder.number, name=name, target=target.number, new_name=new_name
        )
        del folder.names[name]
        target.names[new_name] = node
        return 0

    def unlink(self, path):
        folder, name = self._split(path)
        self._write_down("unlink", ino=self._find(path).number, folder=folder.number, name=name)
        del folder.names[name]
        return 0

    def rmdir(self, path):
        folder, name = self._split(path)
        node = self._find(path)
        if node.names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self._write_down("rmdir", ino=node.number, folder=folder.number, name=name)
        del folder.names[name]
        return 0

    def fsync(self, path, datasync, fh):
        self._write_down("fsync", ino=self._find(path, fh).number)
        return 0

    def fsyncdir(self, path, datasync, fh):
        return self.fsync(path, datasync, fh)


def main() -> None:
    """Serve until unmounted, then write the log."""
    mountpoint, log = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # whoever recorded was killed: unmount
    disk = RecordingDisk()
    mfusepy.FUSE(disk, mountpoint, foreground=True, nothreads=True, fsname="capgo-power-disk")
    write_log(disk.log, Path(log))


if __name__ == "__main__":
    main()
