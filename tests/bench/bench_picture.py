"""The findings as bars: one panel for each chart, ours in one colour and the yardsticks in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canvas import Canvas, Colour, width_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench_figures import Chart, Findings

WIDTH = 1500
_LEFT, _RIGHT, _VALUE = 330, 40, 130
_BAR, _GAP = 20, 8
_TITLE, _BELOW = 40, 34

_INK: Colour = (40, 40, 40)
_OURS: Colour = (30, 90, 170)
_OTHERS: Colour = (185, 185, 185)
_LIMIT: Colour = (190, 30, 30)
_AXIS: Colour = (120, 120, 120)


def picture(groups: Mapping[str, Findings]) -> bytes:
    """A PNG, as high as there are bars."""
    charts = [chart for findings in groups.values() for chart in findings.charts]
    canvas = Canvas(WIDTH, 60 + sum(map(_height, charts)))
    canvas.box(_LEFT, 20, 22, 14, _OURS)
    canvas.text(_LEFT + 30, 20, "capgo-client", _INK)
    canvas.box(_LEFT + 230, 20, 22, 14, _OTHERS)
    canvas.text(_LEFT + 260, 20, "what else there is", _INK)
    canvas.box(_LEFT + 530, 18, 3, 18, _LIMIT)
    canvas.text(_LEFT + 545, 20, "target or limit", _INK)
    top = 60
    for chart in charts:
        _draw(canvas, chart, top)
        top += _height(chart)
    return canvas.png()


def _height(chart: Chart) -> int:
    return _TITLE + len(chart.bars) * (_BAR + _GAP) + _BELOW


def _draw(canvas: Canvas, chart: Chart, top: int) -> None:
    canvas.text(20, top, f"{chart.title} ({chart.unit})", _INK, size=2)
    highest = max([value for _, value in chart.bars] + [chart.limit or 0.0]) or 1.0
    wide = WIDTH - _LEFT - _RIGHT - _VALUE
    first = top + _TITLE - 4
    for i, (label, value) in enumerate(chart.bars):
        y = first + i * (_BAR + _GAP)
        canvas.text(_LEFT - 12 - width_of(label), y + 3, label, _INK)
        length = max(1, round(value / highest * wide))
        canvas.box(_LEFT, y, length, _BAR, _OURS if label in chart.ours else _OTHERS)
        canvas.text(_LEFT + length + 10, y + 3, chart.told(value), _INK)
    tall = len(chart.bars) * (_BAR + _GAP)
    canvas.box(_LEFT - 2, first - 4, 2, tall + 4, _AXIS)
    if chart.limit is not None:
        canvas.box(_LEFT + round(chart.limit / highest * wide) - 1, first - 4, 3, tall + 4, _LIMIT)
