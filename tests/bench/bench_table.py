"""All findings as one table: for the terminal, and as markdown for the docs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench_figures import Findings, Line, Ratio

HEAD = ("benchmark", "wall", "CPU", "peak", "spread", "ratio", "target", "verdict, note")
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

Row = tuple[str, ...]


def seconds(value: float | None) -> str:
    """With three figures that count, in the unit that suits; empty for None."""
    if value is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{_three(value / size)} {unit}"
    return f"{_three(value * 1e6)} us"


def size(value: float | None) -> str:
    """Bytes, in the unit that suits (1 MB is a million)."""
    if value is None:
        return ""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= one:
            return f"{_three(value / one)} {unit}"
    return f"{value:.0f} B"


def count(value: float) -> str:
    """A large number in words."""
    for unit, one in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= one:
            return f"{_three(value / one)} {unit}"
    return f"{value:.0f}"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _line(line: Line) -> Row:
    counted = f"{count(line.instructions)} instructions" if line.instructions else ""
    note = "; ".join(part for part in (counted, line.note) if part)
    spread = "" if line.spread is None else f"{line.spread:.0%}"
    return (line.what, seconds(line.wall), seconds(line.cpu), size(line.peak), spread, "", "", note)


def _ratio(ratio: Ratio) -> Row:
    target = "" if ratio.target is None else f"{ratio.target:.2f}"
    return (f"= {ratio.what}", "", "", "", "", f"{ratio.value:.2f}", target, ratio.verdict)


def rows(groups: Mapping[str, Findings]) -> list[Row]:
    """A heading for each group, what was measured in it, then its ratios, then what is to be said."""
    found: list[Row] = []
    empty = ("",) * (len(HEAD) - 1)
    for name, findings in groups.items():
        found.append((f"[{name}]", *empty))
        found += map(_line, findings.lines)
        found += map(_ratio, findings.ratios)
        found += [(f"({remark})", *empty) for remark in findings.remarks]
    return found


def text(groups: Mapping[str, Findings]) -> str:
    """For a terminal; remarks and headings do not widen the first column."""
    table = [HEAD, *rows(groups)]
    widths = [max((len(row[i]) for row in table if i or any(row[1:])), default=0) for i in range(len(HEAD))]
    return "\n".join(_aligned(row, widths) for row in table) + "\n"


def _aligned(row: Row, widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    cells = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
    return "  ".join((first, *cells, row[-1])).rstrip()


def markdown(groups: Mapping[str, Findings]) -> str:
    """The same table for the docs."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" + "|--:" * (len(HEAD) - 2) + "|---|"]
    for row in rows(groups):
        first = f"**{row[0].strip('[]')}**" if row[0].startswith("[") else row[0]
        lines.append("| " + " | ".join((first.replace("|", "\\|"), *row[1:])) + " |")
    return "\n".join(lines) + "\n"


def rewritten(document: str, block: Iterable[str]) -> str:
    """The document with what stands between its markers replaced. Raises ValueError where the markers are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{''.join(block)}{END}{after}"
