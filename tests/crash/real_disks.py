"""Small volumes of real file systems, in files, mounted through a loop device. Root alone can have them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

#: For each file system: how large its image is (sparse; xfs and btrfs refuse smaller ones) and how it is made.
MEBI = 1 << 20
KINDS = {
    "ext4": (48 * MEBI, ["mkfs.ext4", "-q", "-F", "-m", "0"]),
    "xfs": (320 * MEBI, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (160 * MEBI, ["mkfs.btrfs", "-q", "-f", "--mixed"]),
}


@dataclass(frozen=True)
class Volume:
    """A mounted file system that is ours alone."""

    kind: str
    root: Path

    def free(self) -> int:
        """Bytes that may still be written, all that was removed given back."""
        for _ in range(2):
            subprocess.run(["sync", "-f", str(self.root)], check=True)
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def give_back(self, ballast: Path) -> None:
        """Remove what ``fill`` made, and wait for its room: XFS gives it back some time after the names are gone."""
        made = [ballast, *(self.root / "crumbs").glob("*")]
        taken = sum(path.stat().st_blocks * 512 for path in made if path.exists())
        wanted = self.free() + taken - MEBI // 8
        ballast.unlink(missing_ok=True)
        shutil.rmtree(self.root / "crumbs", ignore_errors=True)
        end = time.monotonic() + 30
        while self.free() < wanted:
            assert time.monotonic() < end, "the disk keeps the room of what was removed"
            threading.Event().wait(0.05)

    def fill(self, leave: int) -> Path:
        """Take all room but ``leave`` bytes, to the last byte where that is 0; ``give_back`` takes what is returned."""
        ballast, crumbs = self.root / "ballast", self.root / "crumbs"
        crumbs.mkdir()
        self._fill_with(ballast, leave)
        if not leave:
            self._fill_with_crumbs(crumbs)
        return ballast

    def _fill_with_crumbs(self, crumbs: Path) -> None:
        """What is too little for another block of the ballast may still do for small files."""
        try:
            for n in range(20_000):
                (crumbs / str(n)).write_bytes(b"x" * 4096)
        except OSError:
            return
        raise AssertionError("this disk does not fill up")

    def _fill_with(self, ballast: Path, leave: int) -> None:
        fd = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            step, size = 16 * MEBI, 0
            while step >= 4096:
                if self._room() - step < leave:
                    step //= 2
                    continue
                try:
                    os.posix_fallocate(fd, size, step)
                except OSError:
                    step //= 2
                    continue
                size += step
                if self.kind == "btrfs":
                    os.fsync(fd)
        finally:
            os.close(fd)

    def _room(self) -> int:
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize


def why_not(kind: str) -> str:
    """What is missing for volumes of this kind; empty when nothing is."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root may mount"
    tool = KINDS[kind][1][0]
    for each in (tool, "mount", "umount"):
        if shutil.which(each, path=_PATH) is None:
            return f"{each} is not installed"
    if not Path("/dev/loop-control").exists():
        return "this machine has no loop devices"
    return ""


#: Where the tools are that only root needs.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@contextlib.contextmanager
def mounted(kind: str, folder: Path, *options: str):
    """A new volume; unmounted and gone when the block ends, however it ends. LookupError where it cannot be mounted."""
    image, root = folder / f"{kind}.img", folder / kind
    size, command = KINDS[kind]
    with image.open("wb") as file:
        file.truncate(size)
    env = {**os.environ, "PATH": _PATH}
    made = subprocess.run([*command, *options, str(image)], capture_output=True, text=True, check=False, env=env)
    if made.returncode:
        image.unlink()
        raise LookupError(f"{command[0]}: {made.stderr.strip()}")
    root.mkdir()
    done = subprocess.run(
        ["mount", "-t", kind, "-o", "loop", str(image), str(root)], capture_output=True, text=True, check=False, env=env
    )
    try:
        if done.returncode:
            raise LookupError(f"this kernel does not mount {kind}: {done.stderr.strip()}")
        yield Volume(kind, root)
    finally:
        # Lazily where something is still open: it must not stay mounted in any case.
        for how in ([], ["-l"]) if not done.returncode else ():
            if not subprocess.run(["umount", *how, str(root)], capture_output=True, check=False, env=env).returncode:
                break
        root.rmdir()
        image.unlink()
