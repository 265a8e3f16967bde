"""A canvas with lines, areas and a small type, and the PNG of it: enough for a diagram, and nothing to install."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

Colour = tuple[int, int, int]

#: Five columns of seven points for each character, the lowest bit on top.
_TYPE = {
    " ": "0000000000", "%": "2313086462", "(": "001c224100", ")": "0041221c00", "+": "08083e0808", ",": "0080703000",
    "-": "0808080808", ".": "0000606000", "/": "2010080402", ":": "0000140000", "=": "1414141414", "<": "0008142241",
    "0": "3e5149453e", "1": "00427f4000", "2": "7249494946", "3": "2141494d33", "4": "1814127f10", "5": "2745454539",
    "6": "3c4a494931", "7": "4121110907", "8": "3649494936", "9": "464949291e", "a": "2054547840", "b": "7f28444438",
    "c": "3844444428", "d": "384444287f", "e": "3854545418", "f": "00087e0902", "g": "18a4a49c78", "h": "7f08040478",
    "i": "00447d4000", "j": "2040403d00", "k": "7f10284400", "l": "00417f4000", "m": "7c04780478", "n": "7c08040478",
    "o": "3844444438", "p": "fc18242418", "q": "18242418fc", "r": "7c08040408", "s": "4854545424", "t": "04043f4424",
    "u": "3c4040207c", "v": "1c2040201c", "w": "3c4030403c", "x": "4428102844", "y": "4c9090907c", "z": "4464544c44",
}  # fmt: skip
#: The width of a character with the space after it, and its height with descenders, in points.
PITCH, TALL = 6, 8


class Canvas:
    """``width`` by ``height`` pixels, the origin at the top left; what lies outside is not drawn. 256 colours."""

    def __init__(self, width: int, height: int, *, paper: Colour = (255, 255, 255)) -> None:
        self.width = width
        self.height = height
        self._colours = [paper]
        self._rows = [bytearray(width) for _ in range(height)]

    def colour_at(self, x: int, y: int) -> Colour:
        """The colour of one pixel."""
        return self._colours[self._rows[y][x]]

    def box(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle."""
        ink = self._ink(colour)
        left, right = max(0, x), min(self.width, x + width)
        if right <= left:
            return
        for row in self._rows[max(0, y) : max(0, y + height)]:
            row[left:right] = bytes((ink,)) * (right - left)

    def line(self, points: list[tuple[int, int]], colour: Colour, *, thick: int = 1) -> None:
        """Join the points."""
        for (x0, y0), (x1, y1) in pairwise(points):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for step in range(steps + 1):
                self.box(x0 + (x1 - x0) * step // steps, y0 + (y1 - y0) * step // steps, thick, thick, colour)

    def text(self, x: int, y: int, text: str, colour: Colour, *, size: int = 2) -> None:
        """Write from ``x`` to the right; ``y`` is the top. Lower case, figures and a few signs are known."""
        for i, character in enumerate(text):
            for column, bits in enumerate(bytes.fromhex(_TYPE[character])):
                for row in range(TALL):
                    if bits >> row & 1:
                        self.box(x + (i * PITCH + column) * size, y + row * size, size, size, colour)

    def png(self) -> bytes:
        """The file."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        rows = b"".join(b"\0" + row for row in self._rows)
        palette = bytes(part for colour in self._colours for part in colour)
        chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)

    def _ink(self, colour: Colour) -> int:
        if colour not in self._colours:
            self._colours.append(colour)
        return self._colours.index(colour)


def width_of(text: str, *, size: int = 2) -> int:
    """How many pixels wide a text is."""
    return len(text) * PITCH * size


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
