"""Draw what the pages show: `python docs/drawings/draw.py` writes docs/images/*.svg; a test compares.

Each drawing brings its own background, and other colours where the reader's system is dark.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).resolve().parents[1] / "images"

_STYLE = """\
.paper{fill:#fff;stroke:#d5dbe1}.t{fill:#1f2933}.q{fill:#52606d}.l{stroke:#52606d;fill:none;stroke-width:1.4}
.h{fill:#52606d}.node{fill:#eef2f7;stroke:#7b8794}.good{fill:#d8f3e0;stroke:#2f855a}.bad{fill:#fde0de;stroke:#c0392b}
.trial{fill:#fff1cf;stroke:#b7791f}.open{fill:#cfe3fb;stroke:#2b6cb0}.new{fill:#d8f3e0;stroke:#2f855a}
.work{fill:#e7e3f7;stroke:#6b5bb5}
@media(prefers-color-scheme:dark){.paper{fill:#1b2027;stroke:#3b444f}.t{fill:#e8ecf1}.q{fill:#a9b4c0}
.l{stroke:#a9b4c0}.h{fill:#a9b4c0}.node{fill:#2a323c;stroke:#8894a1}.good{fill:#1e4630;stroke:#5fc389}
.bad{fill:#552523;stroke:#e57f75}.trial{fill:#4f3d14;stroke:#dcaa4c}.open{fill:#1e3c5f;stroke:#6aa9ee}
.new{fill:#1e4630;stroke:#5fc389}.work{fill:#37305c;stroke:#a597ec}}"""

_ARROW = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="h" d="M0 0L8 4L0 8z"/></marker></defs>'
)


@dataclass
class Drawing:
    """Shapes on a sheet of so many units; what is added first lies lowest."""

    width: int
    height: int
    title: str
    shapes: list[str] = field(default_factory=list)

    def box(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        self.shapes.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>')

    def text(self, x: float, y: float, *lines: str, anchor: str = "start", kind: str = "t", size: int = 13) -> None:
        for number, line in enumerate(lines):
            at = f'x="{x:g}" y="{y + number * (size + 3):g}" font-size="{size}" text-anchor="{anchor}"'
            self.shapes.append(f'<text class="{kind}" {at}>{escape(line)}</text>')

    def arrow(self, *points: tuple[float, float]) -> None:
        path = " L".join(f"{x:g} {y:g}" for x, y in points)
        self.shapes.append(f'<path class="l" marker-end="url(#a)" d="M{path}"/>')

    def line(self, *points: tuple[float, float], dashed: bool = False) -> None:
        path = " L".join(f"{x:g} {y:g}" for x, y in points)
        dashes = 'stroke-dasharray="3 4" ' if dashed else ""
        self.shapes.append(f'<path class="l" {dashes}d="M{path}"/>')

    def dot(self, x: float, y: float, *, end: bool = False) -> None:
        self.shapes.append(f'<circle class="h" cx="{x:g}" cy="{y:g}" r="{4 if end else 7}"/>')
        if end:
            self.shapes.append(f'<circle class="l" cx="{x:g}" cy="{y:g}" r="8"/>')

    def svg(self) -> str:
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(self.title)}"',
                'font-family="system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">',
                f"<title>{escape(self.title)}</title><style>{_STYLE}</style>",
                _ARROW,
                f'<rect class="paper" x=".5" y=".5" width="{self.width - 1}" height="{self.height - 1}" rx="10"/>',
                *self.shapes,
                "</svg>\n",
            ]
        )


# ---- what a version goes through ----

_MIDDLE, _HALF, _TALL = 400, 135, 44


def states() -> Drawing:
    """The states of a downloaded version, and what moves it from one to the next."""
    sheet = Drawing(940, 730, "What a version goes through, from the offer to the verdict")
    left, right = _MIDDLE - _HALF, _MIDDLE + _HALF

    def state(kind: str, y: float, *lines: str, x: float = _MIDDLE, half: float = _HALF) -> None:
        sheet.box(kind, x - half, y - _TALL / 2, 2 * half, _TALL)
        sheet.text(x, y + (5 if len(lines) == 1 else -3), *lines, anchor="middle", size=14)

    def down(y: float, to: float, *said: str) -> None:
        sheet.arrow((_MIDDLE, y), (_MIDDLE, to))
        sheet.text(_MIDDLE + 12, (y + to) / 2 + (4 if len(said) == 1 else -4), *said, kind="q")

    sheet.dot(_MIDDLE, 24)
    down(31, 66, "update check")
    state("node", 88, "offered by the service")
    sheet.arrow((left, 88), (84, 88))
    sheet.dot(74, 88, end=True)
    sheet.text(96, 60, "failed here before, goes", "back too far, or no key", kind="q")
    down(110, 166, "fetched, checked, unpacked, sealed")
    state("node", 188, "on disk, verified (pending)")
    down(210, 266, "by itself, or set_next()")
    state("node", 288, "queued for the next start")
    down(310, 376, "start(): the attempt is", "written down first")
    state("trial", 398, "open, on trial")
    sheet.arrow((left, 386), (left - 50, 386), (left - 50, 410), (left, 410))
    sheet.text(left - 60, 394, "killed before ready,", "and starts are left", anchor="end", kind="q")
    down(420, 496, "notify_app_ready()")
    state("good", 518, "confirmed:", "the one to fall back on")
    down(540, 606, "a newer version", "confirms itself")
    state("good", 628, "previous: kept as well")
    sheet.arrow((left, 628), (left - 50, 628), (left - 50, 518), (left, 518))
    sheet.text(left - 60, 569, "the newer one", "was condemned", anchor="end", kind="q")
    down(650, 690, "the next but one confirms itself")
    sheet.dot(_MIDDLE, 701, end=True)

    state("bad", 518, "condemned:", "refused when offered", x=822, half=100)
    sheet.arrow((right, 398), (775, 398), (775, 496))
    sheet.text(
        right + 12,
        416,
        "it crashed (for good);",
        "ready timer, or no start left",
        "(one more try after a day)",
        kind="q",
    )
    sheet.arrow((right, 518), (722, 518))
    sheet.text(right + 14, 508, "three crashes in a row", kind="q")
    sheet.arrow((875, 496), (875, 88), (right, 88))
    sheet.text(865, 200, "another checksum,", "or the day is over", anchor="end", kind="q")
    return sheet


# ---- when a mode asks, waits and opens ----


@dataclass(frozen=True)
class Start:
    """One start of the app, in tenths of its width: how long it waits, what is open from when, what is done."""

    name: str
    opens: tuple[tuple[float, str], ...]
    waits: float = 0.0
    works: tuple[tuple[float, float, str], ...] = ()
    said: tuple[tuple[float, str], ...] = ()


_LATER = (1.6, 5.4, "asks, fetches")
_AGAIN = (1.6, 3.6, "asks")
#: By the name of the file.
MODES = {
    "atBackground": (
        Start("a start", ((0, "1.0.0"),), works=(_LATER,), said=((5.4, "queued"),)),
        Start("the next", ((0, "1.0.1"),), works=(_AGAIN,)),
    ),
    "atInstall": (
        Start("first start of a new installer", ((4, "1.0.1"),), waits=4, works=((0, 4, "asks, fetches"),)),
        Start("the next", ((0, "1.0.1"),), works=(_AGAIN,)),
    ),
    "onLaunch": (
        Start("a start", ((4, "1.0.1"),), waits=4, works=((0, 4, "asks, fetches"),)),
        Start("the next", ((1.6, "1.0.1"),), waits=1.6, works=((0, 1.6, "asks"),)),
    ),
    "always": (
        Start(
            "a start",
            ((4, "1.0.1"), (8.2, "1.0.2")),
            waits=4,
            works=((0, 4, "asks, fetches"), (5, 8.2, "asks, fetches")),
            said=((8.2, "reload"),),
        ),
        Start("the next", ((1.6, "1.0.2"),), waits=1.6, works=((0, 1.6, "asks"),)),
    ),
    "onlyDownload": (
        Start("a start", ((0, "1.0.0"),), works=(_LATER,), said=((6.4, "the app: set_next()"),)),
        Start("the next", ((0, "1.0.1"),), works=(_AGAIN,)),
    ),
    "off": (
        Start("a start", ((0, "1.0.0"),), said=((2, "nobody is asked"),)),
        Start("the next", ((0, "1.0.0"),)),
    ),
}
_LABELS, _PROCESS, _GAP = 92, 318, 16
#: Tenths that have room for a sentence.
_WIDE = 3


def timeline(mode: str) -> Drawing:
    """Two starts of the app in one mode: 1.0.1 is published before the first of them."""
    sheet = Drawing(_LABELS + 2 * _PROCESS + _GAP + 14, 132, f"Mode {mode}: when is asked, waited and opened")
    for y, name in ((52, "app"), (86, "service")):
        sheet.text(14, y, name, kind="q")
    for number, start in enumerate(MODES[mode]):
        _draw_start(sheet, start, _LABELS + number * (_PROCESS + _GAP))
    return sheet


def _draw_start(sheet: Drawing, start: Start, left: float) -> None:
    def at(tenths: float) -> float:
        return left + tenths * _PROCESS / 10

    sheet.text(left, 22, f"{start.name}: start()", kind="q", size=12)
    if start.waits:
        sheet.box("trial", left, 34, at(start.waits) - left, 28)
        sheet.text((left + at(start.waits)) / 2, 52, "waits", anchor="middle")
    ends = [tenths for tenths, _ in start.opens[1:]] + [10]
    for (begin, version), end in zip(start.opens, ends, strict=True):
        sheet.box("open" if version == "1.0.0" else "new", at(begin), 34, at(end) - at(begin), 28)
        sheet.text(
            (at(begin) + at(end)) / 2, 52, f"{version} is open" if end - begin > _WIDE else version, anchor="middle"
        )
    for begin, end, what in start.works:
        sheet.box("work", at(begin), 70, at(end) - at(begin), 24)
        sheet.text((at(begin) + at(end)) / 2, 86, what, anchor="middle", size=12)
    for when, what in start.said:
        sheet.line((at(when), 62), (at(when), 106), dashed=True)
        sheet.text(at(when), 120, what, anchor="middle", kind="q", size=12)


def drawings() -> dict[str, str]:
    """Every file and what is in it."""
    made = {"states.svg": states().svg()}
    return made | {f"mode-{mode}.svg": timeline(mode).svg() for mode in MODES}


if __name__ == "__main__":
    for name, text in drawings().items():
        (IMAGES / name).write_text(text, "utf-8")
