"""The rows of a run as a Markdown table: what was measured, beside its yardstick of the same run, and whether the goal is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Row:
    """A figure. `ratio` is how many times the yardstick's speed it has."""

    what: str
    figure: str
    yardstick: str = ""
    ratio: float | None = None
    goal: str = ""
    is_met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        met = {None: "", True: "met", False: "**missed**"}[self.is_met]
        return self.what, self.figure, self.yardstick, "" if self.ratio is None else f"{self.ratio:.2f}", self.goal, met

    def line(self) -> str:
        return "; ".join(cell for cell in self.cells() if cell)


def as_table(rows: Iterable[Row]) -> str:
    lines = ["| what | figure | yardstick | ratio | goal | |", "| --- | ---: | --- | ---: | --- | --- |"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines)


def speed(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:,.0f} MB/s ({seconds:.2f} s)"
