"""The findings as bars: one panel for each chart, ours in one colour and the yardsticks in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canvas import Canvas, Colour, width_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench_figures import Chart, Findings

#: Two columns, each with labels, bars and what the bars come to.
WIDTH, COLUMNS = 1900, 2
_WIDE = WIDTH // COLUMNS
_LEFT, _VALUE, _MARGIN = 390, 165, 20
_BAR, _GAP = 20, 8
_HEAD, _TITLE, _BELOW = 60, 40, 34

_INK: Colour = (40, 40, 40)
_OURS: Colour = (30, 90, 170)
_OTHERS: Colour = (185, 185, 185)
_LIMIT: Colour = (190, 30, 30)
_AXIS: Colour = (120, 120, 120)


def picture(groups: Mapping[str, Findings]) -> bytes:
    """A PNG, as high as there are bars."""
    places: list[tuple[Chart, int, int]] = []
    ends = [_HEAD] * COLUMNS
    for chart in (chart for findings in groups.values() for chart in findings.charts):
        column = ends.index(min(ends))
        places.append((chart, column * _WIDE, ends[column]))
        ends[column] += _height(chart)
    canvas = Canvas(WIDTH, max(ends))
    _legend(canvas)
    for chart, left, top in places:
        _draw(canvas, chart, left=left, top=top)
    return canvas.png()


def _legend(canvas: Canvas) -> None:
    canvas.box(_MARGIN, 20, 22, 14, _OURS)
    canvas.text(_MARGIN + 30, 20, "capgo-client", _INK)
    canvas.box(_MARGIN + 230, 20, 22, 14, _OTHERS)
    canvas.text(_MARGIN + 260, 20, "what else there is", _INK)
    canvas.box(_MARGIN + 530, 18, 3, 18, _LIMIT)
    canvas.text(_MARGIN + 545, 20, "target or limit", _INK)


def _height(chart: Chart) -> int:
    return _TITLE + len(chart.bars) * (_BAR + _GAP) + _BELOW


def _draw(canvas: Canvas, chart: Chart, *, left: int, top: int) -> None:
    canvas.text(left + _MARGIN, top, f"{chart.title} ({chart.unit})", _INK)
    highest = max([value for _, value in chart.bars] + [chart.limit or 0.0]) or 1.0
    wide = _WIDE - _LEFT - _VALUE
    axis, first = left + _LEFT, top + _TITLE - 4
    tall = len(chart.bars) * (_BAR + _GAP)
    limit = None if chart.limit is None else axis + round(chart.limit / highest * wide)
    for i, (label, value) in enumerate(chart.bars):
        y = first + i * (_BAR + _GAP)
        canvas.text(axis - 12 - width_of(label), y + 3, label, _INK)
        end = axis + max(1, round(value / highest * wide))
        canvas.box(axis, y, end - axis, _BAR, _OURS if label in chart.ours else _OTHERS)
        told = chart.told(value)
        behind = limit is not None and end <= limit + 10 and end + 10 + width_of(told) > limit
        canvas.text((limit or 0) + 12 if behind else end + 10, y + 3, told, _INK)
    canvas.box(axis - 2, first - 4, 2, tall + 4, _AXIS)
    if limit is not None:
        canvas.box(limit - 1, first - 4, 3, tall + 4, _LIMIT)
