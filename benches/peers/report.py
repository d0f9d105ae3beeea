"""Writes what was measured: a table and a plot for the documentation, and the figures as JSON.

The one rule: a ratio never stands without the two figures it was made from.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from pathlib import Path

    from benches.machine import Machine


@dataclass(frozen=True)
class Figure:
    """Medians of one job by both sides, and all rounds."""

    job: str
    yardstick: str
    ours: float
    theirs: float
    goal: float | None
    our_rounds: list[float]
    their_rounds: list[float]

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.ratio >= self.goal

    def line(self) -> str:
        goal = "" if self.goal is None else f", goal {self.goal:.2f}: {'met' if self.is_met else 'MISSED'}"
        return f"{self.job}: {self.ours:.3f} s; {self.yardstick} {self.theirs:.3f} s; ratio {self.ratio:.2f}{goal}"


@dataclass(frozen=True)
class Group:
    """Figures on the same input with the same cores."""

    title: str
    size: int
    files: int
    figures: list[Figure]
    peak_mib: int
    has_goals: bool


def write(folder: Path, machine: Machine, groups: list[Group], missing: list[str], note: str = "") -> None:
    """results.md, results.svg and results.json in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(as_page(machine, groups, missing, note), encoding="utf-8")
    (folder / "results.svg").write_text(as_plot(groups), encoding="utf-8")
    figures = {"machine": machine.as_json(), "missing": missing, "groups": [asdict(group) for group in groups]}
    (folder / "results.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def as_page(machine: Machine, groups: list[Group], missing: list[str], note: str) -> str:
    day = dt.datetime.now(tz=dt.UTC).date()
    lines = [
        "# Results",
        "",
        f"Written by `python -m benches.peers` on {day}.",
        f"{machine.processor} ({', '.join(machine.flags)}), {machine.cores_used} of {machine.cores} cores,",
        f"{machine.memory_gib} GiB of memory, {machine.kernel}, Python {machine.python}.",
        "All input and output in memory-backed storage; process start excluded.",
        "",
        "A ratio is the yardstick's time by Shoal's: above 1, Shoal is faster.",
        "Medians; every round is in `results.json` beside this page.",
        "",
        "![Ratios of the table below, on a logarithmic scale, with a mark at each goal](results.svg)",
    ]
    if note:
        lines += ["", f"**{note}**"]
    if missing:
        lines += ["", f"Not there, so left out: {'; '.join(missing)}."]
    for group in groups:
        lines += ["", f"## {group.title[0].upper()}{group.title[1:]}", ""]
        if group.files > 1:
            lines += [f"{group.size / 1e6:,.0f} MB in {group.files:,} files.", ""]
        lines += [
            "| job | Shoal s | MB/s | yardstick | s | ratio | goal | |",
            "| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |",
        ]
        for figure in group.figures:
            goal = figure.goal if group.has_goals else None
            met = "" if goal is None else "met" if figure.is_met else "**missed**"
            cells = (
                figure.job,
                f"{figure.ours:.3f}",
                f"{group.size / figure.ours / 1e6:,.0f}",
                f"{figure.yardstick}",
                f"{figure.theirs:.3f}",
                f"{figure.ratio:.2f}",
                "" if goal is None else f"{goal:.2f}",
                met,
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", f"Most memory of a Shoal process, mapped pages of the store included: {group.peak_mib} MiB."]
    return "\n".join(lines) + "\n"


STYLE = """<style>
text { fill: #555 }
.met { fill: #2a7f9e }
.missed { fill: #c0504d }
.axis { stroke: #999; stroke-width: .5 }
.goal { stroke: #222; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #bbb } .goal { stroke: #eee } }
</style>"""
BAR, GAP, LEFT, WIDTH = 16, 8, 480, 420
LOW, HIGH = 0.25, 32.0


def x_of(ratio: float) -> float:
    """Place of a ratio on the logarithmic scale."""
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * WIDTH


def as_plot(groups: list[Group]) -> str:
    """Bars of all ratios that have a goal, from 1 to the left or right, and a mark at each goal."""
    shown = [
        (group, figure) for group in groups if group.has_goals for figure in group.figures if figure.goal is not None
    ]
    height = len(shown) * (BAR + GAP) + 60
    size = f'viewBox="0 0 {LEFT + WIDTH + 70} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        STYLE,
    ]
    for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32):
        x = x_of(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" y1="20" x2="{x:.1f}" y2="{height - 30}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{tick:g}</text>')
    for row, (group, figure) in enumerate(shown):
        y = 24 + row * (BAR + GAP)
        start, end = sorted((x_of(1), x_of(figure.ratio)))
        scale = f"{group.files:,} files" if group.files > 1 else f"{group.size / 2**30:g} GiB"
        label = f"{figure.job} / {figure.yardstick} ({scale})"
        kind = "met" if figure.is_met else "missed"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{kind}" x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}"/>')
        parts.append(f'<text x="{max(end, x_of(1)) + 5:.1f}" y="{y + 12}">{figure.ratio:.2f}</text>')
        goal = x_of(figure.goal or 1)
        parts.append(f'<line class="goal" x1="{goal:.1f}" y1="{y - 2}" x2="{goal:.1f}" y2="{y + BAR + 2}"/>')
    parts.append(
        f'<text x="{LEFT}" y="12">yardstick by Shoal: right of 1, Shoal is faster; the mark is the goal</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"
