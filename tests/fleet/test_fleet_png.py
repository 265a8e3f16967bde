"""The picture: a PNG that every viewer reads, of the right size, with what is to be seen in it."""

from __future__ import annotations

import struct
import zlib

import pytest
from canvas import Canvas, width_of
from fleet_picture import HEIGHT, WIDTH, _ticks, picture
from fleet_story import Story
from fleet_tally import Tally

RED = (255, 0, 0)
WHITE = (255, 255, 255)


def read(png):
    """The pixels, by the specification's own rules: signature, chunks with their sums, palette, unfiltered rows."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, rest = [], png[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        name, content = rest[4:8], rest[8 : 8 + length]
        assert struct.unpack(">I", rest[8 + length : 12 + length]) == (zlib.crc32(name + content),)
        chunks.append((name, content))
        rest = rest[12 + length :]
    assert [name for name, _ in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    assert form == [8, 3, 0, 0, 0]
    palette = [tuple(chunks[1][1][i : i + 3]) for i in range(0, len(chunks[1][1]), 3)]
    raw = zlib.decompress(chunks[2][1])
    rows = [raw[i * (width + 1) : (i + 1) * (width + 1)] for i in range(height)]
    assert len(raw) == height * (width + 1)
    assert {row[0] for row in rows} == {0}
    return [[palette[pixel] for pixel in row[1:]] for row in rows]


def test_a_canvas_becomes_a_png_with_its_pixels():
    canvas = Canvas(7, 5)
    canvas.box(1, 2, 3, 2, RED)
    pixels = read(canvas.png())
    assert [[pixel == RED for pixel in row] for row in pixels] == [
        [False] * 7,
        [False] * 7,
        [False, True, True, True, False, False, False],
        [False, True, True, True, False, False, False],
        [False] * 7,
    ]


@pytest.mark.parametrize("box", [(-5, -5, 3, 3), (9, 0, 5, 5), (0, 9, 5, 5), (3, 3, 0, 4), (3, 3, -2, 4)])
def test_what_lies_outside_is_not_drawn(box):
    canvas = Canvas(8, 8)
    canvas.box(*box, RED)
    assert {pixel for row in read(canvas.png()) for pixel in row} == {WHITE}


def test_a_line_joins_its_points_without_gaps():
    canvas = Canvas(10, 10)
    canvas.line([(0, 0), (9, 9), (9, 0)], RED)
    assert all(canvas.colour_at(i, i) == RED for i in range(10))
    assert all(canvas.colour_at(9, i) == RED for i in range(10))
    assert canvas.colour_at(2, 5) == WHITE


def test_a_letter_has_its_shape():
    canvas = Canvas(6, 8)
    canvas.text(0, 0, "1", RED, size=1)
    shown = ["".join("#" if canvas.colour_at(x, y) == RED else "." for x in range(5)) for y in range(7)]
    assert shown == ["..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."]
    assert width_of("1.2", size=3) == 54


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (9.3, ["0", "2", "4", "6", "8"]),
        (0.8, ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]),
        (700.0, ["0", "100", "200", "300", "400", "500", "600", "700"]),
    ],
)
def test_the_axis_has_round_figures(highest, labels):
    assert [label for _, label in _ticks(highest)] == labels


def test_the_picture_shows_the_requests_the_troubles_and_the_versions():
    story = Story()
    seconds = int(story.end) + 7 * 3600
    tally = Tally(
        devices=10, checks=[2] * seconds, downloads=[1] * seconds, shares=[(10, 0, 0, 0)] * 5 + [(0, 0, 4, 6)] * 5,
        answers={}, launches=1, skipped=0, without_app=0, late=0, on_bad=0, unfixed=0, longest_hold=0,
        waits_in_outage=0, digest="",
    )  # fmt: skip
    pixels = read(picture(tally, story))
    assert (len(pixels[0]), len(pixels)) == (WIDTH, HEIGHT)
    seen = {pixel for row in pixels[120:550] for pixel in row}
    assert {(30, 90, 170), (225, 125, 20), (250, 215, 215), (250, 240, 200), (190, 30, 30)} <= seen
    left, right = ({row[x] for row in pixels[650:880]} for x in (300, 1200))
    assert (200, 200, 200) in left
    assert (200, 60, 50) not in left
    assert {(200, 60, 50), (110, 180, 110)} <= right
