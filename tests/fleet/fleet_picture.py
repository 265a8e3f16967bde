"""The picture of a fleet's days: what the service was asked, and which version the devices ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canvas import Canvas, Colour, width_of
from fleet_story import BAD, BUILTIN, FIRST, FIX, HOUR
from fleet_tally import recovery

if TYPE_CHECKING:
    from fleet_story import Story
    from fleet_tally import Tally

WIDTH, HEIGHT = 1500, 1000
_LEFT, _RIGHT = 110, 30
_TOP = (120, 650)
_TALL = (430, 230)

_INK: Colour = (40, 40, 40)
_FAINT: Colour = (225, 225, 225)
_CHECKS: Colour = (30, 90, 170)
_SPREAD: Colour = (170, 200, 235)
_DOWNLOADS: Colour = (225, 125, 20)
_LIMIT: Colour = (190, 30, 30)
_BAD: Colour = (120, 40, 140)
_FIX: Colour = (40, 120, 40)
_OUTAGE: Colour = (250, 215, 215)
_PLAN: Colour = (250, 240, 200)
_SHADES: tuple[tuple[str, Colour], ...] = (
    (BUILTIN, (200, 200, 200)), (FIRST, (120, 170, 215)), (BAD, (200, 60, 50)), (FIX, (110, 180, 110)),
)  # fmt: skip
_MINUTE = 60


class _Panel:
    """A part of the canvas with axes: time to the right, ``highest`` at the top."""

    def __init__(self, canvas: Canvas, row: int, *, end: float, highest: float) -> None:
        self.canvas = canvas
        self.top, self.tall = _TOP[row], _TALL[row]
        self._end = end
        self._highest = highest
        self.wide = WIDTH - _LEFT - _RIGHT

    def x(self, at: float) -> int:
        return _LEFT + round(at / self._end * self.wide)

    def y(self, value: float) -> int:
        return self.top + self.tall - round(value / self._highest * self.tall)

    def axes(self, ticks: list[tuple[float, str]]) -> None:
        canvas, bottom = self.canvas, self.top + self.tall
        for value, label in ticks:
            canvas.box(_LEFT, self.y(value), self.wide, 1, _FAINT if value else _INK)
            canvas.text(_LEFT - 12 - width_of(label), self.y(value) - 7, label, _INK)
        for hour in range(0, int(self._end / HOUR) + 1, 6):
            at, whole_day = hour * HOUR, hour % 12 == 0
            canvas.box(self.x(at), bottom, 2, 10 if whole_day else 5, _INK)
            if whole_day:
                label = f"day {hour // 24 + 1} {hour % 24:02}:00"
                canvas.text(min(self.x(at) - width_of(label) // 2, WIDTH - width_of(label)), bottom + 16, label, _INK)
        canvas.box(_LEFT, self.top, 2, self.tall, _INK)

    def shade(self, span: tuple[float, float], colour: Colour) -> None:
        left, right = self.x(span[0]), self.x(span[1])
        self.canvas.box(left, self.top, max(3, right - left), self.tall, colour)

    def mark(self, at: float, colour: Colour) -> None:
        for y in range(self.top, self.top + self.tall, 8):
            self.canvas.box(self.x(at), y, 2, 5, colour)


def picture(tally: Tally, story: Story) -> bytes:
    """A PNG of ``WIDTH`` by ``HEIGHT`` pixels."""
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(_LEFT, 14, f"{tally.devices} devices: requests per second at the service", _INK, size=3)
    _requests(canvas, tally, story)
    canvas.text(_LEFT, _TOP[1] - 34, "share of the devices by the version that they run", _INK, size=2)
    _versions(canvas, tally, story)
    return canvas.png()


def _requests(canvas: Canvas, tally: Tally, story: Story) -> None:
    minutes = int(story.end) // _MINUTE
    checks = [sum(tally.checks[i * _MINUTE : (i + 1) * _MINUTE]) / _MINUTE for i in range(minutes)]
    loads = [sum(tally.downloads[i * _MINUTE : (i + 1) * _MINUTE]) / _MINUTE for i in range(minutes)]
    steady = recovery(tally.checks, story.outage, window=_MINUTE).steady
    highest = max(*checks, *loads, 2.2 * steady) * 1.08
    panel = _Panel(canvas, 0, end=story.end, highest=highest)
    _shades(panel, story)
    panel.axes(_ticks(highest))
    _spread(panel, checks)
    _mean(panel, loads, _DOWNLOADS)
    _mean(panel, checks, _CHECKS)
    _limits(panel, tally, story)
    panel.mark(story.bad_at, _BAD)
    panel.mark(story.fix_at, _FIX)
    first = [("checks, mean of 10 min", _CHECKS), ("by the minute", _SPREAD), ("downloads", _DOWNLOADS)]
    _legend(canvas, 50, [*first, ("2 x the steady rate", _LIMIT)])
    _legend(canvas, 84, [("outage", _OUTAGE), ("plan ended", _PLAN), ("bad release", _BAD), ("fix", _FIX)])


def _shades(panel: _Panel, story: Story) -> None:
    panel.shade(story.outage, _OUTAGE)
    panel.shade(story.plan, _PLAN)


def _spread(panel: _Panel, values: list[float]) -> None:
    """From the lowest to the highest minute of each column."""
    columns: dict[int, list[float]] = {}
    for minute, value in enumerate(values):
        columns.setdefault(panel.x(minute * _MINUTE), []).append(value)
    for x, here in columns.items():
        top = panel.y(max(here))
        panel.canvas.box(x, top, 1, panel.y(min(here)) - top + 1, _SPREAD)


def _mean(panel: _Panel, values: list[float], colour: Colour) -> None:
    means = [(i, sum(values[i : i + 10]) / len(values[i : i + 10])) for i in range(0, len(values), 10)]
    panel.canvas.line([(panel.x((i + 5) * _MINUTE), panel.y(mean)) for i, mean in means], colour, thick=2)


def _limits(panel: _Panel, tally: Tally, story: Story) -> None:
    """What the two hours after each trouble are measured against."""
    for trouble in (story.outage, story.plan):
        limit = 2 * recovery(tally.checks, trouble, window=_MINUTE).steady
        left = panel.x(trouble[0] - HOUR)
        panel.canvas.box(left, panel.y(limit), panel.x(trouble[1] + 2 * HOUR) - left, 2, _LIMIT)


def _versions(canvas: Canvas, tally: Tally, story: Story) -> None:
    panel = _Panel(canvas, 1, end=story.end, highest=1.0)
    samples = len(tally.shares)
    for x in range(_LEFT, _LEFT + panel.wide):
        counts = tally.shares[min(samples - 1, (x - _LEFT) * samples // panel.wide)]
        below = 0
        for count, (_, colour) in zip(counts, _SHADES, strict=True):
            top, bottom = panel.y((below + count) / tally.devices), panel.y(below / tally.devices)
            canvas.box(x, top, 1, bottom - top, colour)
            below += count
    panel.axes([(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")])
    for at in (*story.outage, *story.plan, story.bad_at, story.fix_at):
        panel.mark(at, _INK)
    names = ("builtin", "first", "bad", "fix")
    _legend(canvas, _TOP[1] + _TALL[1] + 50, [
        (f"{version} ({name})", colour) for name, (version, colour) in zip(names, _SHADES, strict=True)
    ])  # fmt: skip


def _legend(canvas: Canvas, y: int, entries: list[tuple[str, Colour]]) -> None:
    x = _LEFT
    for label, colour in entries:
        canvas.box(x, y, 22, 14, colour)
        canvas.text(x + 30, y, label, _INK)
        x += 30 + width_of(label) + 40


def _ticks(highest: float) -> list[tuple[float, str]]:
    """Round figures, between four and nine of them."""
    step = next(s * 10.0**power for power in range(-4, 7) for s in (1, 2, 5) if highest / (s * 10.0**power) < 9)
    return [(i * step, f"{i * step:.4g}" if i else "0") for i in range(int(highest / step) + 1)]
