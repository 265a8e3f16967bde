"""An X display for tests, and what can be seen on it: the server's own frame buffer."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 800, 600
#: Nothing that a test waits for takes longer, on a busy machine either (seconds).
PATIENCE = 40.0
#: Between two looks at the screen (seconds).
GLANCE = 0.03


def missing(reason):
    """`make gui` on a machine that was set up for it takes no excuse."""
    if os.environ.get("CAPGO_GUI") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class Picture:
    """What was on the screen at one moment; the file is a dump as `xwd` makes it."""

    def __init__(self, dump):
        header = struct.unpack(">25I", dump[:100])
        size, self.width, self.height, order, self._bits, self._stride, colours = (
            header[i] for i in (0, 4, 5, 7, 11, 12, 19)
        )
        assert (self._bits, header[2]) == (32, 2), "the screen is not of the kind that Xvfb was asked for"
        self._pixels = memoryview(dump)[size + colours * 12 :]
        self._channels = (2, 1, 0) if order == 0 else (1, 2, 3)

    def colour_at(self, x, y):
        place = y * self._stride + x * 4
        return tuple(self._pixels[place + channel] for channel in self._channels)

    def row(self, y):
        """The colours of one row, from left to right."""
        return [self.colour_at(x, y) for x in range(self.width)]

    def count(self, colour, *, left=0, top=0, right=None, bottom=None):
        """How many pixels of an area have that colour, as nearly as a screen gives it."""
        seen = Counter()
        for y in range(top, bottom or self.height):
            begin, end = (y * self._stride + x * 4 for x in (left, right or self.width))
            seen.update(self._pixels[begin:end].cast("I"))
        near = (pixel.to_bytes(4, sys.byteorder) for pixel in seen)
        return sum(
            seen[int.from_bytes(pixel, sys.byteorder)]
            for pixel in near
            if is_near([pixel[channel] for channel in self._channels], colour)
        )

    def png(self):
        """The file that a person looks at."""
        import zlib

        red, green, blue = self._channels
        lines = []
        for y in range(self.height):
            line = bytes(self._pixels[y * self._stride : y * self._stride + self.width * 4])
            mixed = bytearray(self.width * 3)
            mixed[0::3], mixed[1::3], mixed[2::3] = line[red::4], line[green::4], line[blue::4]
            lines.append(b"\0" + bytes(mixed))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
        parts = [
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def is_near(one, other):
    return all(abs(a - b) <= 3 for a, b in zip(one, other, strict=True))


class Screen:
    """`display` goes into the environment of what shall be seen here; `dump` is the file with the whole picture."""

    def __init__(self, display, folder):
        self.display = display
        self.dump = folder / "Xvfb_screen0"

    def picture(self):
        return Picture(self.dump.read_bytes())

    def wait_until_empty(self):
        """Until every window is gone: the next test is to find the screen as it was."""
        self.wait_for(lambda picture: picture.count((0, 0, 0)) == WIDTH * HEIGHT, "the empty screen")

    def wait_for(self, holds, what):
        """Look again and again until `holds(picture)`; returns that picture."""
        end = time.monotonic() + PATIENCE
        while True:
            picture = self.picture()
            if holds(picture):
                return picture
            if time.monotonic() > end:
                seen = self.dump.with_name("seen.png")
                seen.write_bytes(picture.png())
                pytest.fail(f"{what} was not seen on the screen; {seen} was")
            threading.Event().wait(GLANCE)

    def wait_for_colour(self, colour, *, at=(400, 560)):
        return self.wait_for(lambda picture: is_near(picture.colour_at(*at), colour), f"the colour {colour} at {at}")

    def do(self, *orders):
        """As a person does it, by `xdotool`: ("mousemove", "740", "40", "click", "1")."""
        if shutil.which("xdotool") is None:
            missing("nobody can click here: the package xdotool is not installed")
        command = ["xdotool", *map(str, orders)]
        environment = os.environ | {"DISPLAY": self.display}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=PATIENCE, check=False)
        return done.stdout.decode().split()

    def windows(self):
        """How many windows are to be seen; the screen itself has no class."""
        return len(self.do("search", "--onlyvisible", "--class", "."))

    def click(self, x, y):
        self.do("mousemove", x, y, "click", 1)


@contextlib.contextmanager
def x_server(folder):
    """An X server for as long as it is needed; gives the `Screen`."""
    if shutil.which("Xvfb") is None:
        missing("there is no display to draw on: the package xvfb is not installed")
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", str(folder)]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp", "-noreset"],
        pass_fds=[write_end],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as told:
            number = told.readline().strip()
        assert number, "Xvfb ended before it had a display"
        yield Screen(f":{number}", folder)
    finally:
        server.terminate()
        server.wait(PATIENCE)
